"""Settings of verdicts: what excludes a cell, rules, the healthy reference, supervised models. Floor 1."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from cellseg.base_config import Settings
from cellseg.types import STAINS, Stain, Status

MOST_GRAVE: tuple[Status, ...] = ("excluded", "abnormal", "uncertain", "healthy")
"""When several verdicts meet, the first of these wins."""


class Condition(Settings):
    """What a cell is asked: one column and bounds, or conditions of which all, or any, hold.

    NaN is neither above nor below: a condition on it does not hold.
    """

    column: str = ""
    """name of a numeric column of the cells table; its unit is in its name."""
    above: float | None = None
    """holds when the value is greater."""
    below: float | None = None
    """holds when the value is less; with above too: outside of both."""
    all: tuple[Condition, ...] | None = None
    """holds when all of these do; with any too: both must hold."""
    any: tuple[Condition, ...] | None = None
    """holds when one of these does."""

    @model_validator(mode="after")
    def _check_condition(self) -> Self:
        what = "a rule" if isinstance(self, Rule) else "a condition"
        parts = [part for part in (self.all, self.any) if part is not None]
        bounds = [bound for bound in (self.above, self.below) if bound is not None]
        if () in parts:
            raise ValueError(f"{what} with an empty all or any asks nothing; put conditions in, or take it away")
        if parts and (self.column or bounds):
            raise ValueError(f"{what} has a column with bounds, or all and any, not both; move the column into all")
        if not parts and not self.column:
            raise ValueError(f"{what} needs a column with above or below, or all, or any")
        if not parts and not bounds:
            raise ValueError(f"{what} needs above, below or both")
        if self.above is not None and self.below is not None and self.above < self.below:
            raise ValueError(
                f"every value is above {self.above:g} or below {self.below:g}; for what lies between, put both under all"
            )
        return self

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in plain(self).items() if value not in (None, "")}


class Rule(Condition):
    """One rule: a column and bounds, or conditions; a cell that it hits gets `status`."""

    name: str = ""
    """what reasons call the rule; empty: no name."""
    status: Literal["abnormal", "uncertain"] = "abnormal"
    """what the cell becomes."""
    stains: tuple[Stain, ...] = STAINS
    """slides the rule applies to."""
    tissues: tuple[str, ...] = ()
    """tissues that the rule applies to, by the column `tissue`; empty: all, and cells without one."""

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if ";" in self.name or not self.name.isprintable():
            raise ValueError(f"name {self.name!r} has a semicolon or a line break, which part reasons; take it out")
        return self


class ReferenceSettings(Settings):
    """How cells are compared with those of the sheet's `reference` samples of the same stain."""

    enabled: bool = True
    """false: only rules and the model judge."""
    features: tuple[str, ...] = (
        "area_um2", "eccentricity", "solidity", "circularity", "od_hematoxylin_mean", "od_hematoxylin_sd",
        "nearest_neighbor_um",
    )  # fmt: skip
    """columns that the score is made of, by name (`area_um2`), pattern (`*_gray_erythrocyte_*`) or family (`shape`); those that a stain does not have are left out and named in the log."""
    score: Literal["covariance", "isolation_forest", "nearest", "rms", "max"] = "covariance"
    """how the robust z of the features become one score: covariance: Mahalanobis distance, robust and shrunk; isolation_forest; nearest: distance to the n_nearest-th healthy cell; rms, max: root mean square, or the largest."""
    decide: Literal["fdr", "p_value"] = "fdr"
    """fdr: the share of healthy cells among those called is bounded, slide by slide; p_value: each cell by itself."""
    abnormal_fdr: float = Field(default=0.05, gt=0, lt=1)
    """fraction; decide fdr: of the cells called abnormal so many are expected to be healthy at most."""
    uncertain_fdr: float = Field(default=0.2, gt=0, lt=1)
    """fraction; decide fdr: cells that only this looser bound calls are uncertain."""
    abnormal_p: float = Field(default=0.01, gt=0, lt=1)
    """fraction; decide p_value: a cell is abnormal where no more of the healthy cells are as strange."""
    uncertain_p: float = Field(default=0.05, gt=0, lt=1)
    """fraction; decide p_value: a cell is uncertain where no more of the healthy cells are as strange."""
    z_clip: float = Field(default=6.0, gt=0)
    """robust z; larger ones count as this, so that one wild feature does not rule."""
    trim: float = Field(default=0.02, ge=0, lt=0.5)
    """covariance: fraction of the reference's cells, the strangest, that shape neither centre nor covariance."""
    n_trees: int = Field(default=100, ge=10, le=2000)
    """isolation_forest: trees."""
    n_nearest: int = Field(default=10, ge=1, le=200)
    """nearest: the distance to this nearest healthy cell is the score."""
    max_fit_cells: int = Field(default=20000, ge=100, le=1000000)
    """cells that the fit looks at; of more, an even draw over samples."""
    folds: int = Field(default=10, ge=2, le=100)
    """parts of the reference samples that are held out in turn, for p-values; at most one a sample."""
    seed: int = Field(default=0, ge=0)
    """of trees and draws."""
    drift_shift: float = Field(default=1.5, gt=0)
    """healthy robust z; a slide whose median cell lies farther out in a feature is reported as drifted."""
    interval: float = Field(default=0.95, gt=0, lt=1)
    """fraction of healthy reference cells inside the interval that reasons quote."""
    reason_z: float = Field(default=2.0, ge=0)
    """robust z; a feature beyond it is named as a reason."""
    min_cells: int = Field(default=50, ge=3)
    """cells; a reference of fewer judges nothing."""
    by_tissue: bool = False
    """true: cells are compared with healthy cells of their own tissue, where the reference has `min_cells` of them; else with all."""

    @model_validator(mode="after")
    def _check(self) -> ReferenceSettings:
        for kind in ("fdr", "p"):
            strict, loose = getattr(self, f"abnormal_{kind}"), getattr(self, f"uncertain_{kind}")
            if strict > loose:
                raise ValueError(f"abnormal_{kind} {strict} is over uncertain_{kind} {loose}")
        return self


class ModelSettings(Settings):
    """A supervised model made by `cellseg train classifier`."""

    weights: str = ""
    """empty: none; redcell: the one in the package, for red cells in smears; or a .safetensors file of your own."""
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
    """fraction; a cell is uncertain where both answers are needed to be right this often."""
    share: Literal["model", "slide"] | Annotated[float, Field(gt=0, lt=1)] = "model"
    """share of abnormal cells that abnormal_probability assumes: model: as in its training; slide: estimated from the slide's own cells; or a figure. It moves probabilities, no verdict."""


class ExcludeSettings(Settings):
    """Which cells are not judged; each keeps its row, with the reason."""

    border: bool = True
    """cells cut by the image's border."""
    seam: bool = False
    """true: also cells joined from the pieces of several windows, which are whole as a rule."""
    min_area_um2: float = Field(default=10.0, ge=0)
    """um2; smaller ones are more likely debris."""
    min_focus_fraction: float = Field(default=0.3, ge=0, le=1)
    """fraction of the slide's median edge sharpness; cells under it are out of focus."""
    max_saturated_fraction: float = Field(default=0.25, ge=0, le=1)
    """fraction of the cell's pixels; with more at the sensor's limit (`saturated_fraction`) it is saturated; 1: off."""
    max_overlap_fraction: float = Field(default=1.0, ge=0, le=1)
    """fraction of the outline; with more of it against other cells (`touching_share`, family touching) a cell overlaps them; 1: off."""
    clump_area_ratio: float = Field(default=1.5, ge=0)
    """times the slide's median area; a larger whole cell with two notches is several that overlap (family outline, where it is measured); 0: off."""
    clump_notch_fraction: float = Field(default=0.05, ge=0)
    """fraction of the cell's mean radius; what counts as a notch of a clump is deeper, in the mean of all but its deepest."""
    clump_stains: tuple[Stain, ...] = ("giemsa",)
    """stains whose cells are whole and round, so that notches tell of clumps."""
    tissues: tuple[str, ...] = ()
    """tissues, by the column `tissue`, whose cells alone are judged (such as [adenocarcinoma]); empty: all."""


class ClassifySettings(Settings):
    """The verdict on each cell: exclusion first, then rules and reference; the graver verdict wins."""

    exclude: ExcludeSettings = ExcludeSettings()
    rules: tuple[Rule, ...] = (
        Rule(column="area_um2", above=120.0, status="abnormal", stains=("he", "hdab")),
        Rule(column="solidity", below=0.8, status="uncertain", stains=("he", "hdab")),
    )
    """list of {column, above, below, name, status, stains, tissues}, or with all or any, lists of {column, above, below, all, any}, in place of the column: a nucleus over 12 um wide is abnormal, one too ragged is not decided."""
    reference: ReferenceSettings = ReferenceSettings()
    model: ModelSettings = ModelSettings()


class LabelSettings(Settings):
    """What the classes of labelled cells mean: healthy, abnormal, or nothing that a model should learn.

    The classes `healthy` and `abnormal` mean themselves wherever no list says otherwise.
    """

    names: dict[str, str] = Field(default={})
    """class as files write it (such as a number) -> its name; the lists below take both."""
    healthy: tuple[str, ...] = ()
    """classes of healthy cells."""
    abnormal: tuple[str, ...] = ()
    """classes of abnormal cells."""
    ignored: tuple[str, ...] = Field(default=(), validation_alias=AliasChoices("ignored", "drop"))
    """classes whose cells get no row."""

    @model_validator(mode="after")
    def _check(self) -> LabelSettings:
        of: dict[str, str] = {}
        for side in ("healthy", "abnormal", "ignored"):
            for listed in getattr(self, side):
                name = self.names.get(listed, listed)
                if of.setdefault(name, side) != side:
                    raise ValueError(f"class {name!r} is both {of[name]} and {side}; keep it in one list")
        return self


class TrainLookSettings(Settings):
    """A network that looks at pictures of the cells, trained on the same cells as a member of the model."""

    enabled: bool = False
    """true: train one; it needs the images."""
    side_px: int = Field(default=48, ge=16, le=256, multiple_of=8)
    """px; side of a picture."""
    mpp: float = Field(default=0.25, gt=0)
    """um a pixel of the picture; with side_px the field, which should hold a large cell and some of what is around it."""
    width: int = Field(default=24, ge=4, le=128)
    """channels of the first convolution; the last has 4 times as many."""
    epochs: int = Field(default=8, ge=1, le=1000)
    """times as many pictures as there are cells are drawn, by the cells' weights."""
    batch: int = Field(default=128, ge=8, le=4096)
    """pictures a step."""
    rate: float = Field(default=0.003, gt=0)
    """highest learning rate, of one rise and one long fall."""
    weight_decay: float = Field(default=0.01, ge=0)
    """pull of weights to zero."""
    smoothing: float = Field(default=0.02, ge=0, lt=0.5)
    """how far from 0 and 1 the targets are, so that odd labels do not make it sure."""


class TrainClassifierSettings(Settings):
    """How `cellseg train classifier` makes a supervised model, and how it is tested."""

    model: Literal["logistic", "boosting", "both"] = "both"
    """logistic regression, gradient boosted trees, or the mean of their log-odds."""
    features: tuple[str, ...] = ()
    """columns by name (`area_um2`), pattern (`*_erythrocyte_*`) or family (`shape`); empty: all that was measured but identity, position, orientation, flags and what segmenter and tissue map say."""
    without: tuple[str, ...] = ()
    """columns by name, pattern or family that are left out after all."""
    max_missing: float = Field(default=0.5, ge=0, lt=1)
    """fraction; columns that more of the cells lack are left out."""
    relative: Literal["none", "slide", "normal"] = "none"
    """none: values as measured alone; slide: beside them each value against all cells of its sample that can be judged; normal: against those of them that look normal."""
    relative_share: float = Field(default=0.4, gt=0, le=1)
    """normal: fraction of a sample's cells, those nearest to the healthy cells trained on, that are taken for normal."""
    select: Literal["none", "stable"] = "none"
    """stable: of the features, those that part abnormal from healthy in the same direction on most groups; chosen anew in every fold."""
    stable_share: float = Field(default=0.8, gt=0.5, le=1)
    """fraction of groups that must agree on the direction."""
    stable_strength: float = Field(default=0.05, ge=0, lt=0.5)
    """AUROC over 0.5 (or under), mean of the groups, that a feature must reach alone."""
    balance: Literal["class", "class_and_group", "class_group_and_type"] = "class"
    """class: healthy and abnormal count alike; class_and_group: inside of each, groups more alike than their cells; class_group_and_type: inside of each group its fine classes too."""
    balance_power: float = Field(default=0.5, ge=0, le=1)
    """a group (and fine class) counts by its cells to this power: 0 all alike, 1 by their cells."""
    groups: Literal["required", "cells_are_independent"] = "required"
    """required: cells of one patient or slide are never parted by cross-validation; cells_are_independent: rows are parted at random, for tables whose rows are patients."""
    train_only_groups: tuple[str, ...] = ()
    """groups that are only ever trained on, such as one that holds a single class."""
    max_folds: int = Field(default=20, ge=2, le=1000)
    """of at most so many groups each is left out in turn; of more, they are left out in so many parts."""
    inner_folds: int = Field(default=20, ge=2, le=1000)
    """the same for the cross-validation inside of each fold, that calibration and conformal scores come from."""
    random_folds: int = Field(default=10, ge=2, le=100)
    """parts of a random split: of cells_are_independent, and of the test for leaks."""
    calibration: Literal["platt", "isotonic"] = "platt"
    """how log-odds become probabilities, fitted on groups that were left out: a sigmoid, or a rising staircase."""
    prior: Literal["groups"] | Annotated[float, Field(gt=0, lt=1)] = "groups"
    """share of abnormal cells that probabilities assume; groups: the mean of the shares of the groups trained on; 0.5: no opinion."""
    threshold: Literal["even"] | Annotated[float, Field(gt=0, lt=1)] = "even"
    """probability over which a cell is called abnormal; even: that of a cell that speaks for neither class, the share assumed."""
    look: TrainLookSettings = TrainLookSettings()
    penalty: float = Field(default=0.01, gt=0)
    """logistic: weight of half the squared coefficients against the mean loss of a cell; larger is smoother."""
    clip: float = Field(default=5.0, gt=0)
    """logistic: robust z; values farther out count as this."""
    max_steps: int = Field(default=500, ge=10)
    """logistic: steps of the optimiser."""
    trees: int = Field(default=150, ge=1, le=5000)
    """boosting: number of trees."""
    learning_rate: float = Field(default=0.08, gt=0, le=1)
    """boosting: how far each tree goes."""
    max_leaves: int = Field(default=12, ge=2, le=255)
    """boosting: leaves a tree."""
    min_leaf_cells: int = Field(default=40, ge=1)
    """boosting: training cells a leaf has at least."""
    l2: float = Field(default=5.0, ge=0)
    """boosting: pull of leaves to zero."""
    feature_share: float = Field(default=0.15, gt=0, le=1)
    """boosting: fraction of the features that each split may choose from, drawn anew."""
    seed: int = Field(default=0, ge=0)
    """of trees, random splits and permutations."""
    leak_gap: float = Field(default=0.1, ge=0, le=0.5)
    """AUROC; a random split that is better than groups left out by more is reported as flattery."""
    leak_accuracy: float = Field(default=0.9, gt=0, le=1)
    """balanced accuracy with which one column alone may tell the group before it is reported."""
