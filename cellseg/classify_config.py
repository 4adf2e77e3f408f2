"""Settings of verdicts: what excludes a cell, rules, the healthy reference, supervised models. Floor 1."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from cellseg.base_config import Settings
from cellseg.types import STAINS, Stain, Status

MOST_GRAVE: tuple[Status, ...] = ("excluded", "abnormal", "uncertain", "healthy")
"""When several verdicts meet, the first of these wins."""


class Rule(Settings):
    """One rule: a column and bounds; a cell outside of them gets `status`."""

    column: str
    """name of a numeric column of the cells table; its unit is in its name."""
    above: float | None = None
    """the rule hits when the value is greater."""
    below: float | None = None
    """the rule hits when the value is less."""
    status: Literal["abnormal", "uncertain"] = "abnormal"
    """what the cell becomes."""
    stains: tuple[Stain, ...] = STAINS
    """slides the rule applies to."""
    tissues: tuple[str, ...] = ()
    """tissues that the rule applies to, by the column `tissue`; empty: all, and cells without one."""

    @model_validator(mode="after")
    def _check(self) -> Rule:
        if self.above is None and self.below is None:
            raise ValueError("a rule needs above, below or both")
        return self


class ReferenceSettings(Settings):
    """Robust z against the cells of the sheet's `reference` samples of the same stain."""

    enabled: bool = True
    """false: only rules judge."""
    features: tuple[str, ...] = (
        "area_um2", "eccentricity", "solidity", "circularity", "od_hematoxylin_mean", "od_hematoxylin_sd",
        "nearest_neighbor_um",
    )  # fmt: skip
    """columns that the score is made of; those that a stain does not have are left out and named in the log."""
    score: Literal["rms", "max", "covariance", "isolation_forest", "nearest"] = "rms"
    """how features become one score: root mean square or largest of their robust z; distance by a robust covariance with shrinkage; isolation forest; distance to the nearest healthy cells."""
    relative: bool = False
    """true: features are measured against the slide's own cells that look normal, so that stain and scale of a slide matter less."""
    decide: Literal["quantile", "fdr"] = "quantile"
    """quantile: a score over those of the fractions of healthy cells below; fdr: p-values, with the share of false alarms among the abnormal held per slide."""
    z_clip: float = Field(default=10.0, gt=0)
    """robust z; larger ones count as this, so that one wild feature does not rule."""
    uncertain_quantile: float = Field(default=0.95, gt=0, lt=1)
    """fraction of healthy reference cells; a score over theirs is at least uncertain."""
    abnormal_quantile: float = Field(default=0.99, gt=0, lt=1)
    """fraction of healthy reference cells; a score over theirs is abnormal."""
    abnormal_fdr: float = Field(default=0.05, gt=0, lt=1)
    """fraction; decide fdr: at most so many of the cells called abnormal are expected to be healthy."""
    uncertain_fdr: float = Field(default=0.2, gt=0, lt=1)
    """fraction; decide fdr: cells that only this looser bound would call are uncertain."""
    n_trees: int = Field(default=200, ge=10, le=2000)
    """isolation_forest: trees."""
    n_nearest: int = Field(default=10, ge=1, le=200)
    """nearest: the distance to this nearest healthy cell is the score."""
    max_fit_cells: int = Field(default=20000, ge=100, le=1000000)
    """cells that a fit looks at; of more, an even draw over samples."""
    seed: int = Field(default=0, ge=0)
    """of draws and trees."""
    drift_shift: float = Field(default=1.0, gt=0)
    """healthy robust z; a slide whose cells' median lies farther from the reference's in a feature is reported as drifted."""
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
        if self.uncertain_quantile > self.abnormal_quantile:
            raise ValueError(
                f"uncertain_quantile {self.uncertain_quantile} is over abnormal_quantile {self.abnormal_quantile}"
            )
        if self.abnormal_fdr > self.uncertain_fdr:
            raise ValueError(f"abnormal_fdr {self.abnormal_fdr} is over uncertain_fdr {self.uncertain_fdr}")
        return self


class ModelSettings(Settings):
    """A supervised model made by `cellseg train classifier`."""

    weights: str = ""
    """empty: none; redcell: the one in the package, for red cells in smears; or a .safetensors file of your own."""
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
    """fraction; a cell is uncertain where both answers are needed to be right this often."""
    healthy_interval: bool = True
    """true: reasons quote the interval of healthy cells, in the slide's own terms where the feature is relative to the slide."""


class ExcludeSettings(Settings):
    """Which cells are not judged; each keeps its row, with the reason."""

    border: bool = True
    """cells cut by the image's border."""
    min_area_um2: float = Field(default=10.0, ge=0)
    """um2; smaller ones are more likely debris."""
    min_focus_fraction: float = Field(default=0.3, ge=0, le=1)
    """fraction of the slide's median edge sharpness; cells under it are out of focus."""
    tissues: tuple[str, ...] = ()
    """tissues, by the column `tissue`, whose cells alone are judged (such as [adenocarcinoma]); empty: all."""


class ClassifySettings(Settings):
    """The verdict on each cell: exclusion first, then rules and reference; the graver verdict wins."""

    exclude: ExcludeSettings = ExcludeSettings()
    rules: tuple[Rule, ...] = (
        Rule(column="area_um2", above=120.0, status="abnormal", stains=("he", "hdab")),
        Rule(column="solidity", below=0.8, status="uncertain", stains=("he", "hdab")),
    )
    """list of {column, above, below, status, stains, tissues}: a nucleus over 12 um wide is abnormal, one too ragged is not decided."""
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
