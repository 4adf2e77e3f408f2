"""Fits on many sets of rows, each made once, in threads; and margins of the rows left out. Floor 4: arrays only."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.calibration import Calibration
from cellseg.classify.supervised import Classifier, LinearMember, ModelFeature, TreeMember, predict_margin
from cellseg.classify.travel import Travel, fit_travel, relate, slide_frame
from cellseg.classify_config import TrainClassifierSettings
from cellseg.errors import ConfigError
from cellseg.measure.view import Look
from cellseg.train.grouped import Split, grouped_splits, random_splits, training_weights
from cellseg.train.members import fit_members
from cellseg.train.selection import stable_features, usable_features
from cellseg.types import Progress, silent

_SURE = 8.0
"""Log-odds; a network that is surer of a cell than that is not heard any louder."""


@dataclass(frozen=True)
class SlideCells:
    """What values relative to a slide are made of: cells of each slide as measured, labelled or not.

    `kind` and `share` are those of `Travel`; `values` has of each slide the features (k, p) of some cells that can be
    judged; `of` (n,) int64 says which slide each labelled cell is of.
    """

    kind: Literal["slide", "normal"]
    share: float
    values: tuple[NDArray[np.float64], ...]
    of: NDArray[np.int64]


@dataclass(frozen=True)
class TrainingCells:
    """Cells whose class is known, one row each.

    Attributes
    ----------
    matrix : (n, p) ndarray of float64
        Features as measured; what is not finite was not measured.
    abnormal : (n,) ndarray of bool
        The truth.
    groups, classes : (n,) ndarray of str
        Patient or slide ("" is unknown), and fine class.
    names : tuple of str
        Columns of the cells table, one a feature.
    where : str
        What messages call the table.
    slides : SlideCells or None
        Cells of the same slides, where models see values relative to them beside those as measured.
    crops : (n, S, S, C) ndarray of uint8, optional
        Pictures of the cells, where a network shall look at them.
    """

    matrix: NDArray[np.float64]
    abnormal: NDArray[np.bool_]
    groups: NDArray[np.str_]
    classes: NDArray[np.str_]
    names: tuple[str, ...]
    where: str = "labelled cells"
    slides: SlideCells | None = None
    crops: NDArray[np.uint8] | None = None

    def take(self, rows: NDArray[np.int64]) -> TrainingCells:
        """These rows alone."""
        slides = self.slides and replace(self.slides, of=self.slides.of[rows])
        return TrainingCells(
            self.matrix[rows], self.abnormal[rows], self.groups[rows], self.classes[rows], self.names, self.where,
            slides, None if self.crops is None else self.crops[rows],
        )  # fmt: skip

    def travel_of(self, rows: NDArray[np.int64]) -> Travel | None:
        """How values are made relative to slides by a model of these rows: their healthy cells alone shape it."""
        if self.slides is None:
            return None
        healthy = self.matrix[rows[~self.abnormal[rows]]]
        return fit_travel(healthy, self.names, kind=self.slides.kind, share=self.slides.share)

    def seen(self, rows: NDArray[np.int64], travel: Travel | None) -> NDArray[np.float64]:
        """What a model of this travel sees of these rows: (k, p) as measured, beside them (k, p) relative to the slide.

        Relative values are NaN in columns that do not travel, and in slides of too few cells. Without travel there are
        none.
        """
        matrix = self.matrix[rows]
        if travel is None or self.slides is None:
            return matrix
        at = np.array([self.names.index(name) for name in travel.columns], np.int64)
        relative = np.full(matrix.shape, np.nan)
        of = self.slides.of[rows]
        for slide in np.unique(of).tolist():
            own = np.flatnonzero(of == slide)
            frame = slide_frame(self.slides.values[slide][:, at], travel)
            relative[np.ix_(own, at)] = relate(matrix[np.ix_(own, at)], frame)
        return np.hstack([matrix, relative])

    def feature(self, column: int) -> tuple[str, bool]:
        """Name of a column of `seen`, and whether its values are relative to the slide."""
        return self.names[column % len(self.names)], column >= len(self.names)


@dataclass(frozen=True)
class MarginFit:
    """Members that are not calibrated yet, and the columns of `TrainingCells.seen` (rising) that they look at.

    With `look`, a network that was trained on the same cells, the last member reads its log-odds, which stand behind
    the columns.
    """

    columns: NDArray[np.int64]
    members: tuple[LinearMember | TreeMember, ...]
    travel: Travel | None = None
    look: Look | None = None

    def seen(self, cells: TrainingCells, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the members look at (k, p) of these rows."""
        matrix = cells.seen(rows, self.travel)[:, self.columns]
        if self.look is None or cells.crops is None:
            return matrix
        return np.column_stack([matrix, self.look.logits(cells.crops[rows])])

    def margin(self, cells: TrainingCells, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log-odds (k,) of these rows."""
        return predict_margin(self.bare(), self.seen(cells, rows))

    def bare(self) -> Classifier:
        """A model with these members whose calibration changes nothing and which has no conformal scores."""
        nothing = np.empty(0)
        unknown = dict.fromkeys(("healthy_median", "healthy_low", "healthy_high"), np.nan)
        n_features = self.columns.size + (self.look is not None)
        features = tuple(ModelFeature(str(at), relative=False, **unknown) for at in range(n_features))
        return Classifier(
            features=features, members=self.members,
            member_weights=np.full(len(self.members), 1.0 / len(self.members)),
            calibration=Calibration(kind="platt", a=1.0, b=0.0), prior=0.5, threshold=0.5,
            conformal_healthy=nothing, conformal_abnormal=nothing, conformal_healthy_weights=nothing,
            conformal_abnormal_weights=nothing, stain="", classes={}, story={},
        )  # fmt: skip


MarginFits = dict[bytes, MarginFit]
"""Fits by the rows that they were made on (`rows.tobytes()`): two folds with the same rows share one."""


def splits_of(cells: TrainingCells, rows: NDArray[np.int64], settings: TrainClassifierSettings, n: int) -> list[Split]:
    """Cross-validation of some rows (rising) in `n` folds at most, as the settings want it; its rows are of `cells`.

    Raises
    ------
    ConfigError
        If there are too few groups, or a fold would leave one class alone.
    """
    groups, abnormal = cells.groups[rows], cells.abnormal[rows]
    if settings.groups == "required":
        splits = grouped_splits(groups, max_folds=n, train_only=settings.train_only_groups)
    else:
        splits = random_splits(abnormal, n_folds=settings.random_folds, seed=settings.seed)
    if not splits:
        raise ConfigError(
            f"{cells.where}: {np.unique(groups).size} groups, {int(abnormal.sum())} abnormal and "
            f"{int((~abnormal).sum())} healthy cells to cross-validate on; expected two of each at least, and three "
            "groups to test on groups held out from everything; label more slides"
        )
    splits = [Split(rows[split.train], rows[split.test], split.left_out) for split in splits]
    for split in splits:
        others = np.concatenate([other.test for other in splits if other is not split])
        for part, act in ((split.train, "train"), (others, "calibrate")):
            if np.unique(cells.abnormal[part]).size < 2:
                side = "abnormal" if not cells.abnormal[part].any() else "healthy"
                raise ConfigError(
                    f"{cells.where}: without {', '.join(split.left_out) or 'a fold'} there is no {side} cell to "
                    f"{act} on; label such cells on more slides"
                )
    return splits


def fit_margins(
    cells: TrainingCells,
    row_sets: Iterable[NDArray[np.int64]],
    settings: TrainClassifierSettings,
    *,
    made: MarginFits | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> MarginFits:
    """A fit on each set of rows (rising), each once; the same for any number of workers.

    Parameters
    ----------
    cells : TrainingCells
        All cells.
    row_sets : iterable of (k,) ndarray of int64
        Rows to train on.
    settings : TrainClassifierSettings
        Kind of model, selection, balance.
    made : dict, optional
        Fits that exist; new ones are added to it.
    workers : int
        Threads; each fit takes one.
    progress : callable
        Called with (fits done, fits in all).
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    made = {} if made is None else made
    todo = {rows.tobytes(): rows for rows in row_sets if rows.tobytes() not in made}
    with warnings.catch_warnings(), threadpool_limits(1):
        # a fit that has not settled to the last digit ranks as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        # sums in BLAS depend on its number of threads, which is the process's; that of OpenMP is each thread's own
        with ThreadPoolExecutor(workers, initializer=threadpool_limits, initargs=(1, "openmp")) as pool:
            futures = {pool.submit(_fit, cells, rows, settings): key for key, rows in todo.items()}
            for done, future in enumerate(as_completed(futures), start=1):
                made[futures[future]] = future.result()
                progress(done, len(todo))
    return made


def _fit(cells: TrainingCells, rows: NDArray[np.int64], settings: TrainClassifierSettings) -> MarginFit:
    travel = cells.travel_of(rows)
    matrix = cells.seen(rows, travel)
    matrix = np.where(np.isfinite(matrix), matrix, np.nan)
    cells = cells.take(rows)
    columns = usable_features(matrix, settings.max_missing)
    if settings.select == "stable":
        columns = columns[
            stable_features(
                matrix[:, columns], cells.abnormal, cells.groups,
                share=settings.stable_share, strength=settings.stable_strength,
            )
        ]  # fmt: skip
    if not columns.size:
        raise ConfigError(
            f"{cells.where}: none of {matrix.shape[1]} features varies and was measured in "
            f"{1 - settings.max_missing:.0%} of the cells; give others in the setting features"
        )
    weights = training_weights(
        cells.abnormal, cells.groups, cells.classes, balance=settings.balance, power=settings.balance_power
    )
    members = fit_members(matrix[:, columns], cells.abnormal, weights, settings)
    if not settings.look.enabled or cells.crops is None:
        return MarginFit(columns, members, travel)
    from cellseg.train.look import fit_look

    look = fit_look(cells.crops, cells.abnormal, weights, settings.look, seed=settings.seed)
    return MarginFit(columns, (*map(_widened, members), _looking(columns.size)), travel, look)


def _widened(member: LinearMember | TreeMember) -> LinearMember | TreeMember:
    """The member with one more feature behind its own, which it does not look at."""
    if isinstance(member, TreeMember):
        return member
    return replace(
        member, centre=np.append(member.centre, 0.0), scale=np.append(member.scale, 1.0),
        fill=np.append(member.fill, 0.0), weights=np.append(member.weights, 0.0),
    )  # fmt: skip


def _looking(n_features: int) -> LinearMember:
    """A member that takes the log-odds behind `n_features` as they are."""
    nothing = np.zeros(n_features + 1)
    weights = nothing.copy()
    weights[-1] = 1.0
    return LinearMember(
        centre=nothing, scale=np.ones(n_features + 1), fill=nothing, weights=weights, bias=0.0, clip=_SURE
    )


def left_out_margins(cells: TrainingCells, splits: Sequence[Split], made: MarginFits) -> NDArray[np.float64]:
    """Margins (n,) of all cells, each by the fit that its fold left it out of; NaN where no fold tests it."""
    margin = np.full(cells.abnormal.size, np.nan)
    for split in splits:
        margin[split.test] = made[split.train.tobytes()].margin(cells, split.test)
    return margin
