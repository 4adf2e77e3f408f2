"""The columns of all feature families, in table order; the families themselves are named in `measure_config.py`. Floor 1."""

from __future__ import annotations

from cellseg.columns import focus, intensity, neighborhood, shape
from cellseg.columns.column import Column

OF_COMPARTMENTS: tuple[Column, ...] = (*shape.COLUMNS, *intensity.COLUMNS)
"""What is measured in a compartment, family by family."""
OF_CELLS: tuple[Column, ...] = (*focus.COLUMNS, *neighborhood.COLUMNS)
"""What is measured once a cell."""
