"""Mask R-CNN as a segmenter of windows: scale, window, masks to labels. Floor 3: imports torch through `infer`.

A network knows objects of one size. The slide is looked at so that its typical cell has that size: by the pixel size
and the size that the settings (else the weights) name, and, where a first look finds cells of another, by theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError, ModelError
from cellseg.io.weights import Weights
from cellseg.network_config import MaskRcnnSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.segment.architecture import Architecture, parse_architecture
from cellseg.segment.contract import MIN_OVERLAP_PX, Reader, Spread, TileCells, no_cells
from cellseg.segment.first_look import Glance, Look, find_scale
from cellseg.segment.infer import Detections, Detector, Limits, choose_device, load_network
from cellseg.segment.paste import paste_masks
from cellseg.segment.scale import GRID_PX, View, network_pixels
from cellseg.types import Window

MIN_SCALE, MAX_SCALE = 1 / 64, 8.0
_MAX_WINDOW_PX = 4096
"""px of the slide; windows of strongly shrunk slides are kept to this, so that memory is."""
_LOOK_PX = 512


@dataclass
class MaskRcnnSegmenter:
    """A `WindowSegmenter`; made by `make_detector`. `look_first` settles `view`, nothing changes after it."""

    detector: Detector
    architecture: Architecture
    settings: MaskRcnnSettings
    recipe: Recipe
    view: View
    expected_px: float
    facts: dict[str, Any]
    first_look: Look | None = None
    method: str = "maskrcnn"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1, 2, ..."""
        return self.architecture.classes

    @property
    def overlap_px(self) -> int:
        """What neighbouring windows share, px of the slide."""
        return max(int(np.ceil(self.settings.overlap_px / self.view.scale)), MIN_OVERLAP_PX)

    @property
    def window_px(self) -> int:
        """Side of a window, px of the slide."""
        side = min(round(self.settings.window_px / self.view.scale), _MAX_WINDOW_PX)
        return max(side, 3 * self.overlap_px)

    @property
    def batch_size(self) -> int:
        """How many windows `find_many` had best be given at once: as many as a GPU's memory takes, 1 on a processor."""
        return self.detector.batch_size(round(self.window_px * self.view.scale) + 2 * GRID_PX)

    def find_cells(self, read: Reader, window: Window) -> TileCells:
        """The cells of `window` at the slide's resolution; nothing that is black throughout is looked at."""
        return self.find_many(read, [window])[0]

    def find_many(self, read: Reader, windows: Sequence[Window]) -> list[TileCells]:
        """The cells of several windows, looked at together where they are of one size."""
        images = [self._look(read, window) for window in windows]
        found: dict[int, TileCells] = {n: no_cells(w) for n, w in enumerate(windows) if not images[n].any()}
        shapes: dict[tuple[int, ...], list[int]] = {}
        for number in range(len(windows)):
            if number not in found:
                shapes.setdefault(images[number].shape, []).append(number)
        for numbers in shapes.values():
            for number, objects in zip(numbers, self._detect([images[n] for n in numbers]), strict=True):
                found[number] = self._label(objects, windows[number])
        return [found[number] for number in range(len(windows))]

    def record(self) -> dict[str, Any]:
        """Weights, scale and settings in force, for labels.json."""
        look = {"looked": False} if self.first_look is None else self.first_look.record()
        return self.facts | {
            "device": self.detector.device.type,
            "precision": str(self.detector.precision).removeprefix("torch."),
            "scale": round(self.view.scale, 6),
            "network_mpp": round(self.recipe.mpp / self.view.scale, 6),
            "network_diameter_px": self.architecture.diameter_px,
            "expected_diameter_px": round(self.expected_px, 3),
            "size_tolerance": self.settings.size_tolerance,
            "first_look": look,
            "window_px": self.window_px,
            "overlap_px": self.overlap_px,
            "settings": self.settings.model_dump(mode="json"),
        }

    def look_first(self, read: Reader, spread: Spread) -> None:
        """Look at some windows; with `rescale: auto`, take the scale at which cells have the network's size."""
        if not self.recipe.assessable:
            return
        given = self.view.scale
        windows = spread(max(round(_LOOK_PX / given), GRID_PX))
        self.first_look = find_scale(
            lambda factor: self._glance(read, windows, given * factor),
            expected_px=self.expected_px,
            tolerance=self.settings.size_tolerance,
            may_follow=self.settings.rescale == "auto",
            limits=(MIN_SCALE / given, MAX_SCALE / given),
        )
        self.view = replace(self.view, scale=given * self.first_look.factor)

    def _glance(self, read: Reader, windows: Sequence[Window], scale: float) -> Glance:
        """What the windows hold when the slide is looked at in `scale`: sizes and scores of whole cells."""
        other = replace(self, view=replace(self.view, scale=scale))
        sizes, scores = [np.zeros(0)], [np.zeros(0)]
        for window in windows:
            cells = other.find_cells(read, window)
            whole = _whole(cells.labels)
            areas = np.bincount(cells.labels.ravel(), minlength=len(cells.scores) + 1)[1:]
            sizes.append(2 * np.sqrt(areas[whole] / np.pi))
            scores.append(cells.scores[whole].astype(np.float64))
        return Glance(np.concatenate(sizes), np.concatenate(scores))

    def _look(self, read: Reader, window: Window) -> NDArray[np.uint8]:
        return self.view.look(lambda part: network_pixels(read(part), self.recipe), window)

    def _detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        own = self.settings
        return self.detector.detect(images, Limits(own.min_score, own.nms_iou, own.max_detections, own.augment))

    def _label(self, found: Detections, window: Window) -> TileCells:
        boxes = self.view.to_slide(found.boxes, self.view.patch(window))
        boxes -= np.array([window.x0, window.y0, window.x0, window.y0])
        typical_px = np.pi / 4 * (self.architecture.diameter_px / self.view.scale) ** 2
        labels, drawn = paste_masks(
            found.masks, boxes, found.scores, (window.height, window.width),
            threshold=self.settings.mask_threshold, min_area_px=self.settings.min_area_fraction * typical_px,
        )  # fmt: skip
        return TileCells(labels, found.scores[drawn], found.classes[drawn], found.n_cut)


def make_detector(
    weights: Weights, settings: MaskRcnnSettings, recipe: Recipe, *, device: str = "auto"
) -> MaskRcnnSegmenter:
    """The segmenter of a slide; `device` is auto, cpu or cuda.

    Raises
    ------
    ModelError
        If the weights are not those of a Mask R-CNN that can be built, or name no size of cells and neither do the
        settings.
    ConfigError
        If cells are expected to be so small or large that no sensible scale is left, or there is no such device.
    """
    architecture = parse_architecture(weights.metadata.get("architecture", {}), str(weights.path))
    expected = expected_diameter_px(settings, architecture, recipe.mpp, str(weights.path))
    view = View(_check_scale(architecture.diameter_px / expected, expected), recipe.height_px, recipe.width_px)
    detector = Detector(load_network(architecture, weights), device=choose_device(device))
    facts = {"weights": settings.weights, "weights_sha256": weights.sha256, "classes": list(architecture.classes)}
    return MaskRcnnSegmenter(detector, architecture, settings, recipe, view, expected, facts)


def expected_diameter_px(settings: MaskRcnnSettings, architecture: Architecture, mpp: float, where: str) -> float:
    """Diameter of the typical cell in px of the slide: as the settings say, else as the weights do.

    Raises
    ------
    ModelError
        If neither names one.
    """
    if settings.diameter_px is not None:
        return settings.diameter_px
    diameter_um = settings.diameter_um or architecture.diameter_um
    if diameter_um is None:
        raise ModelError(
            f"{where}: these weights name no size of cells in um; give segmentation.maskrcnn.diameter_um or diameter_px"
        )
    return diameter_um / mpp


def _check_scale(scale: float, expected_px: float) -> float:
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise ConfigError(
            f"segmentation.maskrcnn: cells are expected to be {expected_px:.4g} px wide, {1 / scale:.3g} times what "
            f"the network knows; expected {1 / MAX_SCALE:.3g} to {1 / MIN_SCALE:.3g} times; mend the pixel size, "
            "diameter_um or diameter_px"
        )
    return scale


def _whole(labels: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Numbers from 0 of the cells that the window's border does not cut; of all, where it cuts each."""
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    every = np.arange(int(labels.max(initial=0)))
    inner = np.setdiff1d(every, rim.astype(np.int64) - 1)
    return inner if len(inner) else every
