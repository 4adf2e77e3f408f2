"""The picture of a slide's quality: flagged tiles over the thumbnail, and the focus of all tiles. Floor 6."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.io.atomic import atomic_path
from cellseg.preprocess.quality_tiles import FLAGS, QualityTiles
from cellseg.preprocess_config import TileFlag

Picture = NDArray[np.uint8]

_SIDE_PX = 800
"""Longer side of each of the two pictures."""
_COLOURS: dict[TileFlag, tuple[int, int, int]] = {
    "out_of_focus": (178, 114, 0), "pen": (0, 94, 213), "fold": (167, 121, 204), "dirt": (66, 228, 240),
    "edge": (115, 158, 0),
}  # fmt: skip
"""Blue, green, red; of the palette of Okabe & Ito 2008, which people with poor colour vision can tell apart."""
_LINE_PX = 22
_TEXT = cv2.FONT_HERSHEY_SIMPLEX


def draw_quality(thumbnail: Picture, tiles: QualityTiles, thumbnail_px: int) -> Picture:
    """The slide with its flagged tiles tinted beside its focus map, and a legend: (h, w, 3) uint8, blue first.

    Parameters
    ----------
    thumbnail : (h, w) or (h, w, 3) ndarray of uint8
        The slide, blue first, `thumbnail_px` of its pixels a pixel.
    """
    slide = thumbnail if thumbnail.ndim == 3 else cv2.cvtColor(thumbnail, cv2.COLOR_GRAY2BGR)
    scale = _SIDE_PX / max(slide.shape[:2])
    size = (max(1, round(slide.shape[1] * scale)), max(1, round(slide.shape[0] * scale)))
    shown = cv2.resize(slide, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    # which tile each pixel of the picture shows
    rows = (np.arange(size[1]) + 0.5) * thumbnail_px / scale // tiles.side_px
    columns = (np.arange(size[0]) + 0.5) * thumbnail_px / scale // tiles.side_px
    at = np.ix_(
        np.minimum(rows.astype(np.int64), tiles.cover_px.shape[0] - 1),
        np.minimum(columns.astype(np.int64), tiles.cover_px.shape[1] - 1),
    )
    flagged, focus = _tint(shown, tiles, at), _focus_map(shown, tiles, at)
    gap = np.full((size[1], 12, 3), 255, np.uint8)
    both = np.hstack([flagged, gap, focus])
    return np.asarray(np.vstack([both, _legend(max(both.shape[1], 420), tiles)[:, : both.shape[1]]]), np.uint8)


def _tint(shown: Picture, tiles: QualityTiles, at: tuple[NDArray[np.int64], ...]) -> Picture:
    """Tiles in the colour of their first flag; frames of the others' colours would not be seen."""
    out = (shown // 3 + 170).astype(np.uint8)
    for flag in reversed(FLAGS):
        hit = tiles.flags[flag][at]
        out[hit] = (0.5 * shown[hit] + 0.5 * np.array(_COLOURS[flag])).astype(np.uint8)
    return out


def _focus_range(tiles: QualityTiles) -> tuple[float, float]:
    focus = tiles.figures["focus_per_um"]
    seen = focus[np.isfinite(focus)]
    return (0.0, float(np.quantile(seen, 0.95))) if seen.size else (0.0, 0.0)


def _focus_map(shown: Picture, tiles: QualityTiles, at: tuple[NDArray[np.int64], ...]) -> Picture:
    focus = tiles.figures["focus_per_um"]
    _, most = _focus_range(tiles)
    level = np.nan_to_num(np.clip(focus / max(most, 1e-9), 0, 1)) * 255
    colours = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    pale = (shown // 3 + 170).astype(np.uint8)
    return np.where(np.isfinite(focus)[at][:, :, None], colours[at], pale).astype(np.uint8)


def _legend(width: int, tiles: QualityTiles) -> Picture:
    out = np.full((_LINE_PX * (len(FLAGS) + 2) + 8, width, 3), 255, np.uint8)
    for line, flag in enumerate(FLAGS):
        y = 6 + line * _LINE_PX
        cv2.rectangle(out, (8, y), (24, y + 14), _COLOURS[flag], cv2.FILLED)
        n = int(tiles.flags[flag].sum())
        _write(out, f"{flag.replace('_', ' ')}: {n} tiles, {100 * tiles.covered((flag,)):.1f} % of the tissue", 32, y)
    low, high = _focus_range(tiles)
    y = 6 + len(FLAGS) * _LINE_PX
    ramp = np.tile(np.linspace(0, 255, 100).astype(np.uint8), (15, 1))
    out[y : y + 15, 8:108] = cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)
    _write(out, f"focus (right): {low:.2f} to {high:.2f} per um", 116, y)
    return out


def _write(picture: Picture, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y + 13), _TEXT, 0.5, (40, 40, 40), 1, cv2.LINE_AA)


def write_png(path: Path, pixels: Picture) -> None:
    """Write a picture, gray or blue first, whole or not at all."""
    _, data = cv2.imencode(".png", pixels)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
