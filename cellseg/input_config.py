"""Settings of the gate of pixel sizes: what may differ, and what is done where it differs by more. Floor 1."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cellseg.base_config import Settings
from cellseg.types import Stain

Positive = Annotated[float, Field(gt=0, le=1000)]
Range = tuple[Positive, Positive]

CELL_DIAMETER_UM: dict[Stain, Range] = {
    "he": (6.0, 8.0),
    "hdab": (6.0, 9.0),
    "giemsa": (6.5, 8.5),
    "fluorescence": (6.0, 15.0),
}
"""um; where the middle diameter of the cells of usual slides lies; measured and published, see docs/method.md."""


class PixelSizeSettings(Settings):
    """The gate of pixel sizes: the file, its objective power, the sheet and the cells found are compared."""

    max_disagreement: float = Field(default=1.5, gt=1, le=100)
    """ratio; two that speak of the pixel size, or the cells and what is expected of them, may differ by this before `action`."""
    action: Literal["stop", "rescale", "note"] = "stop"
    """stop: that slide fails and says why, the others go on; rescale: the pixel size is corrected, by the sheet or by the cells, and that is in the record; note: only the record says it."""
    objective_um: Range = (6.5, 10.0)
    """um; usual pixel sizes times the objective's power (40x: 0.16 to 0.25 um, 20x: 0.33 to 0.5 um)."""
    cell_diameter_um: dict[Stain, Range] = Field(default=CELL_DIAMETER_UM)
    """um; per stain, where the middle diameter of the cells found on a usual slide lies (nuclei; giemsa: red cells); a stain without one is not judged."""
    min_cells: int = Field(default=100, ge=1)
    """cells; on a slide with fewer their size is not judged, and the record says so."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        ranges = {"objective_um": self.objective_um} | {
            f"cell_diameter_um.{stain}": given for stain, given in self.cell_diameter_um.items()
        }
        for name, (least, most) in ranges.items():
            if least > most:
                raise ValueError(f"{name}: {least:g} is over {most:g}; the lesser comes first")
        return self
