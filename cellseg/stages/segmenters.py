"""Which segmenter the settings ask for: ours, or one that another package registers. Floor 6."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cellseg.config import SegmentationSettings
from cellseg.errors import CellsegError, ConfigError
from cellseg.io.shard import file_digest
from cellseg.preprocess.recipe import Recipe
from cellseg.segment.contract import ENTRY_POINTS, WindowSegmenter
from cellseg.stages.methods import method_fault
from cellseg.stages.slide_cells import Segmenter
from cellseg.stages.threshold import ThresholdSegmenter
from cellseg.stages.windowed import RecordedSegmenter, WindowedSegmenter

_PARTS = ("method", "classes", "window_px", "overlap_px", "find_cells", "record")


def choose_segmenter(settings: SegmentationSettings, recipe: Recipe, *, device: str = "auto") -> Segmenter:
    """The segmenter of `segmentation.method` for the slide of `recipe`.

    Raises
    ------
    ConfigError
        If no method has that name, or a registered one cannot be loaded.
    ModelError
        If the weights of a network cannot be used.
    """
    if settings.method == "threshold":
        return ThresholdSegmenter(settings.for_stain(recipe.stain))
    if settings.method == "maskrcnn":
        return _network(settings, recipe, device)
    if fault := method_fault(settings):
        raise ConfigError(fault)
    (point, *_) = entry_points(group=ENTRY_POINTS, name=settings.method)
    return WindowedSegmenter(_load(point, recipe, settings.plugin), foreign=True)


def recorded_segmenter(settings: SegmentationSettings, recipe: Recipe, agreed: dict[str, Any]) -> Segmenter:
    """The segmenter of `segmentation.method` for a slide whose tiles other jobs have looked at.

    It looks at nothing: `agreed` is what they wrote of what they did it with.
    """
    if settings.method == "threshold":
        return ThresholdSegmenter(settings.for_stain(recipe.stain))
    recorded = RecordedSegmenter(
        settings.method, tuple(agreed["classes"]), agreed["window_px"], agreed["overlap_px"], agreed["segmenter"]
    )
    if settings.method == "maskrcnn":
        chosen = settings.maskrcnn
        return WindowedSegmenter(recorded, min_area_um2=chosen.min_area_um2, max_area_um2=chosen.max_area_um2)
    return WindowedSegmenter(recorded, foreign=True)


def segmenter_facts(settings: SegmentationSettings, recipe: Recipe) -> dict[str, Any]:
    """What a slide's cells depend on beside its pixels, recipe and tissue: method, its settings, weights or package.

    Raises
    ------
    ConfigError
        If no method has that name.
    ModelError
        If there are no such weights.
    """
    if settings.method == "threshold":
        return {"method": "threshold", "settings": settings.for_stain(recipe.stain).model_dump(mode="json")}
    if settings.method == "maskrcnn":
        from cellseg.io.weights import find_weights

        weights = file_digest(find_weights(settings.maskrcnn.weights))
        return {"method": "maskrcnn", "settings": settings.maskrcnn.model_dump(mode="json"), "weights": weights}
    if fault := method_fault(settings):
        raise ConfigError(fault)
    (point, *_) = entry_points(group=ENTRY_POINTS, name=settings.method)
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    return {"method": settings.method, "settings": settings.plugin, "package": package}


def _network(settings: SegmentationSettings, recipe: Recipe, device: str) -> Segmenter:
    from cellseg.io.weights import find_weights, read_weights
    from cellseg.segment.detect import make_detector

    chosen = settings.maskrcnn
    detector = make_detector(read_weights(find_weights(chosen.weights)), chosen, recipe, device=device)
    return WindowedSegmenter(detector, min_area_um2=chosen.min_area_um2, max_area_um2=chosen.max_area_um2)


def _load(point: EntryPoint, recipe: Recipe, settings: dict[str, Any]) -> WindowSegmenter:
    where = f"segmentation.method {point.name} ({point.value})"
    try:
        segmenter = point.load()(recipe, dict(settings))
    except CellsegError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ConfigError(
            f"{where}: cannot be made ({type(error).__name__}: {said}); check segmentation.plugin and that package"
        ) from error
    if missing := [part for part in _PARTS if not hasattr(segmenter, part)]:
        raise ConfigError(
            f"{where}: gave {type(segmenter).__name__} without {', '.join(missing)}; expected a WindowSegmenter, see "
            "docs/extending.md"
        )
    made: WindowSegmenter = segmenter
    return made
