"""From a folder of microscope images to per-cell tables that separate abnormal cells from healthy ones.

The public names are loaded when they are first asked for, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cellseg.io.kernel_cache import provide_kernel_cache

if TYPE_CHECKING:
    from cellseg.config import Config
    from cellseg.errors import CellsegError
    from cellseg.io.labels import open_labels
    from cellseg.io.settings import read_config
    from cellseg.io.slide import open_slide
    from cellseg.measure.window import measure_image
    from cellseg.segment.whole import segment_pixels
    from cellseg.stages.analyze import analyze_images
    from cellseg.stages.classify import classify_cells
    from cellseg.stages.measure import measure_cells
    from cellseg.stages.preprocess import preprocess_slide
    from cellseg.stages.segment import segment_slide

__version__ = "0.1.0"

_HOME = {
    "CellsegError": "errors",
    "Config": "config",
    "analyze_images": "stages.analyze",
    "classify_cells": "stages.classify",
    "measure_cells": "stages.measure",
    "measure_image": "measure.window",
    "open_labels": "io.labels",
    "open_slide": "io.slide",
    "preprocess_slide": "stages.preprocess",
    "read_config": "io.settings",
    "segment_pixels": "segment.whole",
    "segment_slide": "stages.segment",
}

__all__ = [
    "CellsegError",
    "Config",
    "__version__",
    "analyze_images",
    "classify_cells",
    "measure_cells",
    "measure_image",
    "open_labels",
    "open_slide",
    "preprocess_slide",
    "read_config",
    "segment_pixels",
    "segment_slide",
]

provide_kernel_cache()  # before any module with compiled loops is imported


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module holds
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
