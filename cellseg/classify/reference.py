"""What healthy cells look like: the reference as data, and its file's form. Floor 3: arrays and plain values.

A feature's robust z is (value - median) / (1.4826 MAD) of the healthy cells, so that up to half of them may be wild
without moving it (Rousseeuw & Croux 1993, JASA 88:1273). A scorer (`novelty.py`) makes of a cell's z one score; what
the score means is told by healthy cells that the fit had not seen (`discovery.py`). A reference may hold a fit for each
tissue beside that of all cells: cells are judged by their own tissue's where it is usable, else by that of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.discovery import HeldOut
from cellseg.classify.novelty import Plain, Scorer, scorer_from_dict
from cellseg.classify.words import write_interval, write_number
from cellseg.errors import ModelError
from cellseg.types import Stain

FORMAT_VERSION = 3
_DECIMALS = 6
_NO_SCORES = HeldOut(np.empty(0), np.empty(0))


@dataclass(frozen=True)
class FeatureFit:
    """One feature among healthy cells: median, MAD * 1.4826 and the interval that reasons quote, in its unit."""

    median: float
    mad: float
    low: float
    high: float


@dataclass(frozen=True)
class ReferenceFit:
    """What healthy cells of one stain look like; `fault` says why it can judge nothing, and is empty when it can.

    `n_cells` healthy cells shaped it. `parted_by` says what was held out together for p-values: whole samples, or,
    where there was one alone, cells. `tissues` holds the fits of cells in one tissue alone, by its name; those have
    none of their own.
    """

    stain: Stain
    n_cells: int
    features: Mapping[str, FeatureFit]
    left_out: Mapping[str, str]
    scorer: Scorer
    z_clip: float
    held_out: HeldOut = _NO_SCORES
    fault: str = ""
    parted_by: str = "samples"
    tissues: Mapping[str, ReferenceFit] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether cells can be judged by it."""
        return not self.fault

    @property
    def all_features(self) -> tuple[str, ...]:
        """Features of this fit and of those of the tissues, each once."""
        return tuple(dict.fromkeys(name for fit in (self, *self.tissues.values()) for name in fit.features))

    def robust_z(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Robust z (n, p) of values (n, p) in the order of `features`; not clipped, NaN where not measured."""
        centre = np.array([one.median for one in self.features.values()])
        values = np.where(np.isfinite(values), values, np.nan)
        return np.asarray((values - centre) / np.array([one.mad for one in self.features.values()]))

    def score(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores (n,) of robust z (n, p), rounded so that tables decide as we do; NaN where nothing was measured."""
        return np.round(score_z(self.scorer, z, self.z_clip), _DECIMALS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; with fits for tissues under `tissues` where there are any."""
        if not self.tissues:
            return self._plain()
        return self._plain() | {"tissues": {name: fit._plain() for name, fit in sorted(self.tissues.items())}}

    def _plain(self) -> dict[str, Any]:
        """Plain values of this fit, without those of tissues."""
        return {
            "format_version": FORMAT_VERSION,
            "stain": self.stain,
            "n_cells": self.n_cells,
            "usable": self.usable,
            "reason": self.fault,
            # files have their keys sorted, and the scorer knows features by their order
            "feature_order": list(self.features),
            "features": {name: asdict(feature) for name, feature in self.features.items()},
            "features_left_out": dict(self.left_out),
            "z_clip": self.z_clip,
            "score": self.scorer.to_dict(),
            "held_out": self.held_out.to_dict() | {"parted_by": self.parted_by},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> ReferenceFit:
        """The fit that `to_dict` wrote.

        Raises
        ------
        ModelError
            If it is of another version, or not a reference at all.
        """
        try:
            if values["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format_version {values['format_version']}, not {FORMAT_VERSION}")
            features = {name: FeatureFit(**values["features"][name]) for name in values["feature_order"]}
            figures = np.array([[one.median, one.mad, one.low, one.high] for one in features.values()], np.float64)
            if not np.isfinite(figures).all() or not (figures.reshape(-1, 4)[:, 1] > 0).all():
                raise ValueError("a feature whose figures are no numbers, or whose MAD is not over 0")
            if not features and not values["reason"]:
                raise ValueError("no feature to judge by")
            if not 0 < values["z_clip"] < float("inf"):
                raise ValueError(f"z_clip {values['z_clip']}")
            return cls(
                stain=values["stain"],
                n_cells=values["n_cells"],
                features=features,
                left_out=values["features_left_out"],
                scorer=scorer_from_dict(values["score"], len(features)) if not values["reason"] else Plain("rms"),
                z_clip=float(values["z_clip"]),
                held_out=HeldOut.from_dict(values["held_out"]),
                fault=values["reason"],
                parted_by=values["held_out"]["parted_by"],
                tissues={
                    name: cls.from_dict(fit, f"{where}, tissue {name}")
                    for name, fit in values.get("tissues", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"{where}: not a reference of this version ({error!r}); run `cellseg reference`"
            ) from error


def score_z(scorer: Scorer, z: NDArray[np.float64], z_clip: float) -> NDArray[np.float64]:
    """Scores (n,) of robust z (n, p), clipped.

    What was not measured counts as the healthy median, or, for rms and max, is left out; NaN where all of it is.
    """
    clipped = np.clip(z, -z_clip, z_clip)
    if isinstance(scorer, Plain):
        return scorer.score(clipped)
    measured = ~np.isnan(z).all(axis=1)
    return np.where(measured, scorer.score(np.nan_to_num(clipped, nan=0.0)), np.nan)


def check_reference(fit: ReferenceFit, names: Sequence[str], stain: Stain, where: str) -> None:
    """Refuse to judge a table by a reference of another stain or with features that the table lacks.

    Raises
    ------
    ModelError
        With what does not fit.
    """
    if fit.stain != stain:
        raise ModelError(
            f"{where}: the slide's stain is {stain}, the reference was fitted on {fit.stain}; "
            f"give the reference of {stain}"
        )
    missing = [name for name in fit.all_features if name not in names]
    if missing:
        raise ModelError(
            f"{where}: the reference judges by {', '.join(missing)}, which this table lacks; measure the same families "
            "for all samples of a stain, or leave them out of classify.reference.features and fit again"
        )


def find_drift(fit: ReferenceFit, medians: Mapping[str, float], shift: float) -> list[str]:
    """Features whose median over a slide's cells lies more than `shift` robust z from the healthy one, in words.

    Such a slide was stained, scanned or scaled in another way than the reference, or most of its cells are abnormal:
    p-values are then too small. The farthest comes first.
    """
    z = {name: (medians[name] - one.median) / one.mad for name, one in fit.features.items() if name in medians}
    far: Iterable[str] = sorted((name for name in z if abs(z[name]) > shift), key=lambda name: -abs(z[name]))
    return [
        f"{name}: the slide's median {write_number(medians[name])} is {z[name]:+.1f} robust z from the healthy "
        f"{write_number(fit.features[name].median)} "
        f"(interval {write_interval(fit.features[name].low, fit.features[name].high)})"
        for name in far
    ]
