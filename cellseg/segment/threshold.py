"""One threshold for the whole slide, from its histogram. Floor 3: arrays in, numbers out.

Histograms are of a segmentation signal (cells are high), summed over all tiles; thresholds are counts of that signal,
and a pixel is foreground when it is greater.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu, threshold_otsu

from cellseg.config import ThresholdSettings
from cellseg.preprocess.normalize import SIGNAL_MAX

_COARSE = 16
_COARSER = 32
_CLEAR_OF_NOISE = 10.0


@dataclass(frozen=True)
class Threshold:
    """The slide's threshold and how far foreground and background lie apart.

    `background` is the mean count of what is not greater; `contrast` is the distance of the two means in standard
    deviations of the background; `found` is false where it is too small for cells to be there at all.
    """

    count: float
    background: float
    contrast: float
    found: bool

    def part_way(self, fraction: float) -> float:
        """The count at this fraction of the way from the background to the threshold."""
        return self.background + fraction * (self.count - self.background)


def find_threshold(
    histogram: NDArray[np.int64],
    settings: ThresholdSettings,
    *,
    fixed_count: int | None,
    steps: NDArray[np.int64] | None = None,
) -> Threshold:
    """The threshold of a slide.

    Parameters
    ----------
    histogram : (4096,) ndarray of int64
        Pixels of each signal count.
    settings : ThresholdSettings
        Method and its options.
    fixed_count : int or None
        The count of `settings.value`, for method `fixed`.
    steps : (4096,) ndarray of int64, optional
        Neighbouring pixels by how much the signal, not smoothed, differs between them: what `count_steps` adds up. It
        tells noise from cells where the cells are too crowded and uneven for the background to be still.

    Returns
    -------
    Threshold
        For an empty or one-valued histogram: the greatest count, nothing found.

    References
    ----------
    Otsu 1979, IEEE Trans SMC 9:62; Liao, Chen & Chung 2001, J Inf Sci Eng 17:713 (multi-level);
    Li & Tam 1998, Pattern Recognit Lett 19:771; Zack, Rogers & Latt 1977, J Histochem Cytochem 25:741 (triangle).
    """
    levels = np.arange(len(histogram))
    if settings.method == "fixed" and fixed_count is not None:
        background = _mean(histogram, levels <= fixed_count)
        return Threshold(float(fixed_count), background, _contrast(histogram, fixed_count), found=True)
    if np.count_nonzero(histogram) < 2:
        return Threshold(float(SIGNAL_MAX), float(SIGNAL_MAX), 0.0, found=False)
    count = _METHODS.get(settings.method, _otsu)(histogram, settings)
    contrast, background = _contrast(histogram, count), _mean(histogram, levels <= count)
    clear = steps is not None and _mean(histogram, levels > count) - background >= _CLEAR_OF_NOISE * _noise(steps)
    found = Threshold(count, background, contrast, found=clear or contrast >= settings.min_contrast)
    return found if settings.method == "local" else replace(found, count=found.part_way(settings.factor))


def _noise(steps: NDArray[np.int64]) -> float:
    """Standard deviation of pixel noise from the median step between neighbours, 0.954 of it where noise is normal."""
    median = np.searchsorted(np.cumsum(steps), 0.5 * steps.sum())
    return max(float(median) / 0.954, 0.5)


@njit(nogil=True, cache=True)
def count_steps(signal: NDArray[np.uint16], where: NDArray[np.bool_], y0: int, x0: int) -> NDArray[np.int64]:
    """How much neighbours differ: histogram (4096,) int64 of the step from each chosen pixel to its right neighbour.

    Parameters
    ----------
    signal : (H, W) ndarray of uint16
        The signal, not smoothed; a pixel of its last column has no right neighbour.
    where : (h, w) ndarray of bool
        Which pixels count; its first lies at (`y0`, `x0`) of `signal`.
    """
    out = np.zeros(SIGNAL_MAX + 1, np.int64)
    for y in range(where.shape[0]):
        for x in range(min(where.shape[1], signal.shape[1] - 1 - x0)):
            if where[y, x]:
                out[abs(np.int64(signal[y0 + y, x0 + x + 1]) - np.int64(signal[y0 + y, x0 + x]))] += 1
    return out


def _contrast(histogram: NDArray[np.int64], count: float) -> float:
    """Distance of the class means over the background's standard deviation; 0 where a class is empty."""
    levels = np.arange(len(histogram), dtype=np.float64)
    below = levels <= count
    if not histogram[below].sum() or not histogram[~below].sum():
        return 0.0
    low, high = _mean(histogram, below), _mean(histogram, ~below)
    spread = np.sqrt(np.average((levels[below] - low) ** 2, weights=histogram[below]))
    # half a count: the signal is quantised, a background of one level is not infinitely still
    return float((high - low) / max(spread, 0.5))


def _mean(histogram: NDArray[np.int64], chosen: NDArray[np.bool_]) -> float:
    """The mean level of the pixels at the chosen levels; 0 where there are none."""
    total = histogram[chosen].sum()
    return float(np.flatnonzero(chosen) @ histogram[chosen] / total) if total else 0.0


def _otsu(histogram: NDArray[np.int64], settings: ThresholdSettings) -> float:
    return float(threshold_otsu(hist=(histogram, np.arange(len(histogram)))))


def _multiotsu(histogram: NDArray[np.int64], settings: ThresholdSettings) -> float:
    """One of the cuts of multi-level Otsu, on 128 bins: the time grows with bins to the power of the cuts."""
    coarse = histogram.reshape(-1, _COARSER).sum(axis=1)
    if np.count_nonzero(coarse) < settings.multiotsu_classes:
        return _otsu(histogram, settings)
    cuts = threshold_multiotsu(classes=settings.multiotsu_classes, hist=(coarse, np.arange(len(coarse))))
    return float((cuts[min(settings.multiotsu_cut, len(cuts) - 1)] + 1) * _COARSER - 1)


def _li(histogram: NDArray[np.int64], settings: ThresholdSettings) -> float:
    """Minimum cross entropy by Li & Tam's iteration on the histogram; counts are shifted by one: no logarithm of 0."""
    levels = np.arange(1, len(histogram) + 1, dtype=np.float64)
    n, total = np.cumsum(histogram), np.cumsum(histogram * levels)
    current, following = -np.inf, total[-1] / n[-1]
    while abs(following - current) > 0.5:
        current = following
        i = int(np.clip(np.floor(current), 1, len(levels))) - 1
        if n[i] == 0 or n[i] == n[-1]:
            break
        low, high = total[i] / n[i], (total[-1] - total[i]) / (n[-1] - n[i])
        following = (high - low) / (np.log(high) - np.log(low))
    return float(following - 1.0)


def _triangle(histogram: NDArray[np.int64], settings: ThresholdSettings) -> float:
    """The level farthest from the line between the histogram's peak and its far end, on 256 bins."""
    coarse = histogram.reshape(-1, _COARSE).sum(axis=1).astype(np.float64)
    filled = np.flatnonzero(coarse)
    first, last, peak = int(filled[0]), int(filled[-1]), int(np.argmax(coarse))
    end = last if last - peak >= peak - first else first
    levels = np.arange(min(peak, end), max(peak, end) + 1)
    if len(levels) < 3:
        return _otsu(histogram, settings)
    line = np.interp(levels, sorted((peak, end)), [coarse[i] for i in sorted((peak, end))])
    return float((levels[np.argmax(line - coarse[levels])] + 1) * _COARSE - 1)


_METHODS = {"otsu": _otsu, "local": _otsu, "multiotsu": _multiotsu, "li": _li, "triangle": _triangle}


def smooth_signal(signal: NDArray[np.uint16], sigma_px: float) -> NDArray[np.uint16]:
    """The signal (h, w) uint16 under a Gaussian of `sigma_px`, cut off at 3 sigma; in fixed-point, so position-free."""
    if sigma_px <= 0:
        return signal
    size = 2 * smoothing_reach_px(sigma_px) + 1
    return np.asarray(cv2.GaussianBlur(signal, (size, size), sigma_px, borderType=cv2.BORDER_REFLECT_101), np.uint16)


def smoothing_reach_px(sigma_px: float) -> int:
    """How far `smooth_signal` looks, px."""
    return int(np.ceil(3 * sigma_px)) if sigma_px > 0 else 0


def foreground(
    signal: NDArray[np.uint16], threshold: Threshold, settings: ThresholdSettings, *, mpp: float
) -> NDArray[np.uint8]:
    """The pixels over the threshold, (h, w) uint8 of 0 and 1; for method `local` also over their block's mean."""
    if not threshold.found:
        return np.zeros(signal.shape, np.uint8)
    if settings.method != "local":
        return (signal > threshold.count).view(np.uint8)
    reach = block_reach_px(settings, mpp)
    size = 2 * reach + 1
    sums = cv2.boxFilter(
        signal.astype(np.float64), cv2.CV_64F, (size, size), normalize=False, borderType=cv2.BORDER_REFLECT_101
    )  # integers up to 2**53 are exact in float64, so the sums do not depend on where the window lies
    offset = round(settings.local_offset * (threshold.count - threshold.background))
    floor = threshold.part_way(settings.local_floor)
    over = (signal.astype(np.float64) - offset) * size * size > sums
    return np.asarray(over & (signal > floor)).view(np.uint8)


def block_reach_px(settings: ThresholdSettings, mpp: float) -> int:
    """Half the side of the block of method `local`, px; 0 for the other methods."""
    return max(1, round(settings.block_um / mpp / 2)) if settings.method == "local" else 0
