"""Settings of the outlines of cells as polygons. Floor 1."""

from __future__ import annotations

from pydantic import Field

from cellseg.base_config import Settings


class PolygonSettings(Settings):
    """Outlines of all cells as GeoJSON for QuPath and others: `cells.geojson.gz`."""

    enabled: bool = True
    """false: no polygons are written, and the integrity check does without them."""
    outline_tolerance_px: float = Field(default=0.5, ge=0, le=10)
    """px; how far an outline may be from the edges of the cell's pixels; 0: along the very edges. Drawn again, outlines of up to 0.5 give the label image back pixel for pixel."""
    features: tuple[str, ...] = (
        "area_um2", "perimeter_um", "circularity", "solidity", "eccentricity", "od_hematoxylin_mean",
        "intensity_gray_mean", "nearest_neighbor_um",
    )  # fmt: skip
    """columns that go along as measurements, beside cell_id, score and abnormal_score; those that a slide does not have are left out."""
