"""What lies on the glass and is no tissue: pen, edges, dirt; and folds, block by block. Floor 3: arrays in, arrays out.

A block is told by the direction of its mean optical density, that is by hue whatever the amount of ink, and by how even
it is; then by the shape of what it is part of, in um. Only counts of whole blocks are looked at, so that the answer
does not depend on tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.preprocess.histogram import SlideCounts
from cellseg.preprocess_config import ArtifactSettings
from cellseg.types import Stain

TISSUE_STAINS: tuple[Stain, ...] = ("he", "hdab")
"""Stains whose glass is told from tissue by its density."""
INK_STAINS: tuple[Stain, ...] = ("he", "hdab", "giemsa")
"""Stains whose hues are known, so that ink can be told from them."""
Blocks = NDArray[np.bool_]

_ROWS = 256
_FLAT = 0.12
"""Standard deviation over mean of gray within a block: nuclei give 0.15 to 0.3, ink and its noise less than 0.1."""
_BLACK_FLAT = 0.3
_BLACK_OD = 0.5
_RED_OD = 0.4
_RED_SHARES = (0.12, 0.36, 0.03)
"""Share of red at most, of blue at least, and blue over green at most. Eosin has too little blue, DAB too much red, and
blood is paler."""
_RING_OD = 0.05
_TRACE_OD = 0.05
_FOLD_STEP = 0.005
_FOLD_MAX = 3.0
_MAD = 1.4826


@dataclass(frozen=True)
class BlockLook:
    """What the blocks of a slide look like: the counts of one pass, turned into figures rows by rows.

    areas : (h, w) int64 pixels of each block. background : gray level of glass per channel, `glass_seen` whether it
    is the slide's own and not white for want of any. block_um : side of a block.
    """

    counts: SlideCounts
    areas: NDArray[np.int64]
    background: tuple[float, ...]
    block_um: float
    glass_seen: bool

    @property
    def mpp(self) -> float:
        """Microns per pixel of the slide."""
        return self.block_um / self.counts.block_px

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return self.areas.shape[0], self.areas.shape[1]

    def density(self, rows: slice, at: Blocks | None = None) -> NDArray[np.float64]:
        """Optical density (log10) of the mean colour of blocks, (n, w, C), or (m, C) of those in `at` (h, w)."""
        sums, areas = self.counts.block_sums[rows], self.areas[rows]
        if at is not None:
            sums, areas = sums[at[rows]], areas[at[rows]]
        return densities(sums / areas[..., None], self.background)

    def unevenness(self, rows: slice) -> NDArray[np.float64]:
        """Standard deviation over mean of gray within each block, (n, w)."""
        mean = self.counts.block_gray[rows] / self.areas[rows]
        return np.asarray(self.deviation(rows) / np.maximum(mean, 1.0))

    def deviation(self, rows: slice = slice(None)) -> NDArray[np.float64]:
        """Standard deviation of gray within each block, (n, w) counts."""
        mean = self.counts.block_gray[rows] / self.areas[rows]
        variance = self.counts.block_squares[rows] / self.areas[rows] - mean**2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def black(self) -> Blocks:
        """Blocks that are black all but a tenth."""
        return np.asarray(10 * self.counts.block_shades[:, :, 0] >= 9 * self.areas)

    def colourful(self, rows: slice) -> Blocks:
        """Blocks most of whose dark pixels have a colour: a small dark nucleus leaves the block's mean gray."""
        shades = self.counts.block_shades[rows]
        return np.asarray(2 * shades[:, :, 3] > shades[:, :, 2])


@dataclass(frozen=True)
class Artifacts:
    """Blocks (h, w) bool of each kind; no block is of two kinds but folds, which are tissue."""

    pen: Blocks
    edge: Blocks
    dirt: Blocks

    @property
    def any(self) -> Blocks:
        """Blocks that are no tissue."""
        return self.pen | self.edge | self.dirt


def densities(means: NDArray[np.float64], background: tuple[float, ...]) -> NDArray[np.float64]:
    """Optical density (log10) per channel of mean gray levels (..., C), not below 0."""
    return np.maximum(-np.log10((means + 1.0) / (np.array(background) + 1.0)), 0.0)


def find_stained(look: BlockLook, min_od: float) -> Blocks:
    """Blocks (h, w) bool whose mean optical density over the channels exceeds `min_od`: no empty glass."""
    out = np.zeros(look.shape, np.bool_)
    for rows in _strips(len(out)):
        out[rows] = look.density(rows).mean(axis=2) > min_od
    return out


def find_artifacts(look: BlockLook, *, stain: Stain, min_od: float, settings: ArtifactSettings) -> Artifacts:
    """Pen, edges of coverslip and scan, and dirt.

    Pen: blue, green, red or black ink, by hue and evenness, at least `pen_min_width_um` wide, with its rim. Edges:
    black areas that reach the slide's border; long thin gray lines with glass beside them. Dirt: small gray specks
    alone on glass. Of Giemsa, whose blue is that of pens and whose plasma leaves no glass, only green and black ink and
    black borders are sought; of other stains nothing; where no glass was seen to tell hues against, black borders
    alone.

    Parameters
    ----------
    min_od : float
        Mean density over which a block is not empty glass.
    """
    nothing = np.zeros(look.shape, np.bool_)
    if not settings.enabled or stain not in INK_STAINS:
        return Artifacts(nothing, nothing, nothing)
    black_border = _at_border(look.black())
    if not look.glass_seen:
        # a tinted ground would be ink
        return Artifacts(nothing, black_border, nothing)
    kinds = _kinds(look, stain, min_od, settings)
    pen = _widen(
        _wide(kinds.ink, settings.pen_min_width_um, look.block_um) & ~black_border, kinds.trace, settings, look
    )
    pen &= ~black_border
    if stain not in TISSUE_STAINS:
        return Artifacts(pen, black_border, nothing)
    line = _thin_lines(kinds.gray & ~pen, kinds.coloured & ~pen, settings, look.block_um)
    edge = black_border | line
    rest = kinds.stained & ~pen & ~edge
    return Artifacts(pen, edge, _specks(rest, kinds.gray, settings, look.block_um))


@dataclass(frozen=True)
class _Kinds:
    """Blocks by what they are, each alone: not glass, without hue, with one, ink for sure, and what may be ink."""

    stained: Blocks
    gray: Blocks
    coloured: Blocks
    ink: Blocks
    trace: Blocks


def _strips(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, n_rows, _ROWS))


def _kinds(look: BlockLook, stain: Stain, min_od: float, settings: ArtifactSettings) -> _Kinds:
    out = _Kinds(*(np.zeros(look.shape, np.bool_) for _ in range(5)))
    for rows in _strips(len(look.areas)):
        density = look.density(rows)
        mean, total = density.mean(axis=2), np.maximum(density.sum(axis=2), 1e-9)
        shares = density / total[:, :, None]
        unevenness = look.unevenness(rows)
        gray = (shares.max(axis=2) - shares.min(axis=2) < settings.max_gray_chroma) & ~look.colourful(rows)
        hue = _cool(shares, stain)
        black = gray & (density.min(axis=2) > _BLACK_OD) & (unevenness < _BLACK_FLAT)
        cool = (hue > settings.pen_hue) & (unevenness < _FLAT) | (hue > 3 * settings.pen_hue)
        ink = (cool | _red(shares, stain) & (mean > _RED_OD) & (unevenness < _FLAT)) & (mean > settings.pen_min_od)
        out.stained[rows] = mean > min_od
        out.gray[rows] = gray & (mean > min_od)
        out.coloured[rows] = ~gray & (mean > _RING_OD)
        out.ink[rows] = ink | black
        out.trace[rows] = (gray | (hue > settings.pen_hue) | _red(shares, stain)) & (mean > min(_TRACE_OD, min_od))
    return out


def _cool(shares: NDArray[np.float64], stain: Stain) -> NDArray[np.float64]:
    """How much more red is absorbed than green, as no dye of the stain does; for Giemsa, red and blue than green."""
    red, green, blue = (shares[:, :, channel] for channel in range(3))
    # hematoxylin, eosin and DAB all absorb green the most or more than red; the blue of Giemsa absorbs blue the least
    return np.asarray(np.minimum(red, blue) - green if stain == "giemsa" else red - green)


def _red(shares: NDArray[np.float64], stain: Stain) -> Blocks:
    if stain == "giemsa":
        return np.zeros(shares.shape[:2], np.bool_)
    red, green, blue = (shares[:, :, channel] for channel in range(3))
    most_red, least_blue, over = _RED_SHARES
    return np.asarray((red < most_red) & (blue > least_blue) & (blue < green + over))


def _square(side: int) -> NDArray[np.uint8]:
    return np.ones((side, side), np.uint8)


def _wide(blocks: Blocks, width_um: float, block_um: float) -> Blocks:
    """What a square of this width fits into."""
    side = max(1, round(width_um / block_um))
    # what lies beyond the slide's border may go on
    framed = np.pad(blocks.astype(np.uint8), side, mode="edge")
    return np.asarray(cv2.morphologyEx(framed, cv2.MORPH_OPEN, _square(side))[side:-side, side:-side] > 0)


def _widen(seed: Blocks, trace: Blocks, settings: ArtifactSettings, look: BlockLook) -> Blocks:
    """A stroke with its rim: blocks that may be ink within half a stroke, and one more all around."""
    if not seed.any():
        return seed
    reach = 2 * max(1, round(settings.pen_min_width_um / 2 / look.block_um)) + 1
    near = cv2.dilate(seed.astype(np.uint8), _square(reach)) > 0
    return np.asarray(cv2.dilate((seed | near & trace).astype(np.uint8), _square(3)) > 0)


def _at_border(blocks: Blocks) -> Blocks:
    """The connected pieces that reach the slide's border."""
    if not blocks.any():
        return blocks
    _, numbers = cv2.connectedComponents(blocks.astype(np.uint8), connectivity=8)
    return _chosen(numbers, np.unique(_rim(numbers)))


def _rim(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])


def _chosen(numbers: NDArray[np.int32], wanted: NDArray[np.int64] | NDArray[np.int32]) -> Blocks:
    """The pieces of these numbers; 0 is none."""
    keep = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
    keep[wanted] = True
    keep[0] = False
    return np.asarray(keep[numbers])


def _thin_lines(gray: Blocks, coloured: Blocks, settings: ArtifactSettings, block_um: float) -> Blocks:
    """Gray pieces that are thin, long, and have glass beside them along most of their length."""
    if not gray.any():
        return gray
    bridged = cv2.morphologyEx(gray.astype(np.uint8), cv2.MORPH_CLOSE, _square(3))
    side = max(1, round(settings.edge_max_width_um / block_um)) + 1
    thick = cv2.dilate(cv2.morphologyEx(bridged, cv2.MORPH_OPEN, _square(side)), _square(3))
    thin = bridged & (1 - thick)
    n, numbers, boxes, _ = cv2.connectedComponentsWithStats(thin, connectivity=8)
    length_um = np.hypot(boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]) * block_um
    beside = cv2.dilate(coloured.astype(np.uint8), _square(3)) > 0
    crowded = np.bincount(numbers[beside], minlength=n) / np.maximum(boxes[:, cv2.CC_STAT_AREA], 1)
    line = _chosen(numbers, np.flatnonzero((length_um >= settings.edge_min_length_um) & (crowded < 0.5)))
    return np.asarray(cv2.dilate(line.astype(np.uint8), _square(3)).astype(np.bool_) & ~coloured)


def _specks(stained: Blocks, gray: Blocks, settings: ArtifactSettings, block_um: float) -> Blocks:
    """Small pieces that are gray for the greater part and end before the slide does."""
    if not stained.any() or settings.dirt_max_area_um2 == 0:
        return np.zeros_like(stained)
    n, numbers, boxes, _ = cv2.connectedComponentsWithStats(stained.astype(np.uint8), connectivity=8)
    area = boxes[:, cv2.CC_STAT_AREA]
    gray_share = np.bincount(numbers[gray & stained], minlength=n) / np.maximum(area, 1)
    small = (area * block_um**2 <= settings.dirt_max_area_um2) & (gray_share > 0.5)
    small[np.unique(_rim(numbers))] = False
    return _chosen(numbers, np.flatnonzero(small))


def find_folds(look: BlockLook, tissue: Blocks, *, stain: Stain, settings: ArtifactSettings) -> Blocks:
    """Blocks (h, w) of tissue that lies double: darker in every channel than the slide's tissue is.

    Two layers double the density of all dyes. Crowded nuclei raise red far more than green, eosin green alone: so the
    channel with the least excess decides, over the median by `fold_ratio` times and by `fold_z` robust standard
    deviations, in pieces of at least `fold_min_area_um2`. None on slides with less than `min_tissue_mm2` of tissue, or
    of stains whose tissue is not told from glass.
    """
    least = settings.min_tissue_mm2 * 1e6 / look.block_um**2
    if not settings.enabled or stain not in TISSUE_STAINS or np.count_nonzero(tissue) < least:
        return np.zeros_like(tissue)
    bounds = _fold_bounds(look, tissue, settings)
    dark = np.zeros_like(tissue)
    for rows in _strips(len(tissue)):
        dark[rows] = (look.density(rows) > bounds).all(axis=2)
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats((dark & tissue).astype(np.uint8), connectivity=8)
    large = boxes[:, cv2.CC_STAT_AREA] * look.block_um**2 >= settings.fold_min_area_um2
    return _chosen(numbers, np.flatnonzero(large))


def _fold_bounds(look: BlockLook, tissue: Blocks, settings: ArtifactSettings) -> NDArray[np.float64]:
    """Per channel the density over which tissue is double: median and MAD from a histogram in steps of 0.005."""
    n_bins = round(_FOLD_MAX / _FOLD_STEP)
    counts = np.zeros((3, n_bins), np.int64)
    for rows in _strips(len(tissue)):
        density = look.density(rows, tissue)
        bins = np.minimum((density / _FOLD_STEP).astype(np.int64), n_bins - 1)
        for channel in range(3):
            counts[channel] += np.bincount(bins[:, channel], minlength=n_bins)
    middles = (np.arange(n_bins) + 0.5) * _FOLD_STEP
    bounds = []
    for row in counts:
        median = middles[np.searchsorted(np.cumsum(row), row.sum() / 2)]
        away = np.abs(middles - median)
        order = np.argsort(away, kind="stable")
        mad = away[order][np.searchsorted(np.cumsum(row[order]), row.sum() / 2)]
        bounds.append(max(settings.fold_ratio * median, median + settings.fold_z * _MAD * mad))
    return np.array(bounds)
