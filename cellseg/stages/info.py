"""What a file holds, before anything is run on it. Floor 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellseg.io.slide import open_slide


def image_info(path: Path, *, max_decoded_mpx: float = 500.0) -> dict[str, Any]:
    """Size, channels, type, levels, objective, pixel size and where it comes from; plain values for printing or JSON.

    Raises
    ------
    ImageError
        If no stage could read the image.
    """
    with open_slide(path, max_decoded_mpx=max_decoded_mpx) as slide:
        size = slide.pixel_size
        return {
            "path": str(path),
            "format": slide.format,
            "height_px": slide.height,
            "width_px": slide.width,
            "channels": list(slide.channel_names),
            "type": str(slide.dtype),
            "levels": [
                {"height_px": level.height, "width_px": level.width, "downsample": round(level.downsample, 4)}
                for level in slide.levels
            ],
            "mpp": size.mpp if size else None,
            "objective_power": slide.objective_power,
            "mpp_source": size.source if size else "none: write the column mpp of the sample sheet, or give --mpp",
        }
