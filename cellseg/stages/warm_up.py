"""The compiled loops made ready: the whole chain, by each method, on a small simulated slide. Floor 6."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cellseg.config import Config, SegmentationSettings
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.simulate import simulate_sample
from cellseg.types import Progress, silent

_SIZE_PX = 256


def warm_up(*, progress: Progress = silent) -> None:
    """Compile every loop of the chain for 8-bit colour and keep the result; without it, the first run does so.

    Other pixel types are compiled when they are first met, which takes a few seconds.
    """
    with tempfile.TemporaryDirectory(prefix="cellseg-") as folder:
        made = simulate_sample(Path(folder), "small", kind="healthy", seed=0, size_px=_SIZE_PX)
        for method in ("threshold", "maskrcnn"):
            config = Config(segmentation=SegmentationSettings(method=method))
            analyze_images(
                [made.image], Path(folder) / method, acquisition=Acquisition("he"), config=config, progress=progress
            )
