"""Settings of looking at a slide: stains, scaling, tissue, quality. Floor 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cellseg.base_config import Settings

Level = Annotated[int, Field(ge=1, le=255)]


class QualitySettings(Settings):
    """When a slide is `unassessable` rather than judged."""

    max_black_fraction: float = Field(default=0.95, gt=0, le=1)
    """fraction; a brightfield slide with more black pixels than this is unassessable (1: never)."""
    max_saturated_fraction: float = Field(default=0.5, gt=0, le=1)
    """fraction; a fluorescence slide with more pixels at the top of their range than this is unassessable (1: never)."""
    min_focus: float = Field(default=0.0, ge=0)
    """1/um; a slide whose focus figure (see docs/method.md) is lower is unassessable (0: never)."""


class PreprocessSettings(Settings):
    """Stain separation, scaling and the tissue mask; all of it is estimated once for the slide."""

    stain_method: Literal["ruifrok", "macenko"] = "ruifrok"
    """ruifrok: published stain vectors; macenko: vectors estimated from the slide, for stains that drift."""
    background_rgb: tuple[Level, Level, Level] | None = None
    """gray levels of empty glass (8-bit scale); null estimates it from the slide, and takes white where no glass is seen."""
    macenko_min_od: float = Field(default=0.15, gt=0, lt=2)
    """OD; paler pixels are left out of the Macenko estimate."""
    macenko_percentile: float = Field(default=1.0, gt=0, lt=50)
    """percent; the extreme angles that Macenko takes as pure stains."""
    tissue_min_od: float = Field(default=0.02, ge=0, lt=2)
    """OD over the background; a block with less mean optical density is empty glass (he, hdab)."""
    tissue_block_um: float = Field(default=16.0, gt=0, le=1000)
    """um; side of the blocks of the tissue mask; smaller ones follow the edge more closely."""
    low_percentile: float = Field(default=1.0, ge=0, lt=50)
    """percent; fluorescence: what lies under it is black."""
    high_percentile: float = Field(default=99.8, gt=50, le=100)
    """percent; fluorescence: what lies over it is white."""
    gamma: float = Field(default=0.75, gt=0, le=2)
    """power; fluorescence: under 1 lifts dim nuclei beside bright ones before the threshold is sought."""
    quality: QualitySettings = QualitySettings()
