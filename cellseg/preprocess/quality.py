"""Whether a slide can be judged: focus, saturation, black. Floor 3: numbers in, numbers out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.preprocess.normalize import SIGNAL_MAX
from cellseg.preprocess_config import QualitySettings
from cellseg.types import Stain

_SOBEL_WEIGHT = 8.0
_MIN_SIDE_UM = 2.0


@dataclass(frozen=True)
class Quality:
    """The quality record of a slide; fractions 0..1, `focus_per_um` relative to the slide's own contrast.

    `flagged_fractions` are the shares of the tissue, and of what pen covers, in tiles of each flag,
    `unassessable_fraction` that of tiles whose cells are not judged.
    """

    assessable: bool
    reasons: tuple[str, ...]
    focus_per_um: float
    black_fraction: float
    saturated_fraction: float
    background_gray_levels: tuple[float, ...]
    tissue_fraction: float
    tissue_area_mm2: float
    flagged_fractions: dict[str, float]
    unassessable_fraction: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def focus_per_um(
    gradient_means: NDArray[np.float64], contrast_counts: float, tissue: NDArray[np.bool_], *, mpp: float
) -> float:
    """Sharpness of a slide: 95 % quantile over tissue blocks of the mean gradient, over contrast, per um; 0 if flat.

    Mean absolute Sobel gradient after Pech-Pacheco et al. 2000, ICPR. The sharpest blocks are asked, since empty ones
    have no edges.

    Parameters
    ----------
    gradient_means : (h, w) ndarray of float64
        Mean of |gx| + |gy| per block, in eighths of a gray count per pixel.
    contrast_counts : float
        99 % minus 1 % quantile of gray, counts.
    """
    if not tissue.any() or contrast_counts <= 0:
        return 0.0
    return float(np.quantile(gradient_means[tissue], 0.95) / _SOBEL_WEIGHT / contrast_counts / mpp)


def extreme_fractions(levels: NDArray[np.int64]) -> tuple[float, float]:
    """Fractions of pixels at the bottom and at the top of the range, in the channel where they are fewest and most.

    Black is what is dark in every channel (the brightest decides), saturated what is at the top in any.
    """
    total = levels.sum(axis=1)
    black = levels[:, : max(levels.shape[1] // 64, 1)].sum(axis=1) / np.maximum(total, 1)
    saturated = levels[:, -1] / np.maximum(total, 1)
    return float(black.min()), float(saturated.max())


def judge_quality(
    *, stain: Stain, focus: float, black: float, saturated: float, side_um: float, settings: QualitySettings,
    flagged: float = 0.0,
) -> tuple[str, ...]:  # fmt: skip
    """Why a slide cannot be assessed, in words; nothing where it can.

    `flagged` is the share of its tissue in tiles that cannot be assessed.
    """
    reasons = []
    if side_um < _MIN_SIDE_UM:
        reasons.append(f"the image's shorter side is {side_um:.2f} um, too small to hold a cell")
    if stain == "fluorescence":
        if saturated > settings.max_saturated_fraction:
            reasons.append(f"{saturated:.3f} of the pixels are saturated (limit {settings.max_saturated_fraction})")
    elif black > settings.max_black_fraction:
        reasons.append(f"{black:.3f} of the pixels are black (limit {settings.max_black_fraction})")
    if focus < settings.min_focus:
        reasons.append(f"focus {focus:.4f} per um is under {settings.min_focus}")
    if flagged > settings.max_flagged_fraction:
        names = ", ".join(settings.unassessable_flags)
        reasons.append(
            f"{flagged:.3f} of the tissue lies in tiles with flags ({names}; limit {settings.max_flagged_fraction})"
        )
    return tuple(reasons)


def gray_contrast(gray: NDArray[np.int64], max_level: int) -> float:
    """99 % minus 1 % quantile of gray, gray levels, from the histogram of gray counts."""
    cumulative = np.cumsum(gray)
    if not cumulative[-1]:
        return 0.0
    low, high = np.searchsorted(cumulative, [0.01 * cumulative[-1], 0.99 * cumulative[-1]])
    return float((high - low) * max_level / SIGNAL_MAX)
