"""Settings of looking at a slide: stains, scaling, tissue, quality. Floor 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cellseg.base_config import Settings

Level = Annotated[int, Field(ge=1, le=255)]


TileFlag = Literal["out_of_focus", "pen", "fold", "dirt", "edge"]
"""What a tile of the slide may be flagged for."""


class ArtifactSettings(Settings):
    """What on the glass is no tissue, and folds of tissue (he, hdab; of giemsa green and black pen and black borders alone)."""

    enabled: bool = True
    """false: everything on the glass is tissue, and nothing is flagged as pen, fold, dirt or edge."""
    pen_min_od: float = Field(default=0.15, gt=0, lt=3)
    """OD, mean of the channels; paler blocks are no pen."""
    pen_hue: float = Field(default=0.05, gt=0, lt=1)
    """share of the density; a flat block is blue or green pen where red's share is over green's by this (three times as much: any block)."""
    pen_min_width_um: float = Field(default=100.0, ge=0, le=5000)
    """um; narrower strokes are no pen."""
    max_gray_chroma: float = Field(default=0.15, gt=0, lt=1)
    """share of the density, greatest less smallest channel; what has less is gray: dirt, edges, black pen."""
    edge_max_width_um: float = Field(default=100.0, gt=0, le=2000)
    """um; wider gray things are no edge of a coverslip."""
    edge_min_length_um: float = Field(default=500.0, gt=0, le=100000)
    """um; shorter ones neither."""
    dirt_max_area_um2: float = Field(default=20000.0, ge=0)
    """um2; a gray speck alone on glass is dirt up to this area (0: nothing is)."""
    fold_ratio: float = Field(default=1.8, gt=1, le=20)
    """a block is folded where the density of every channel is over so many times the median of the slide's tissue ..."""
    fold_z: float = Field(default=4.0, ge=0, le=100)
    """robust standard deviations; ... and over the median by so many, in every channel."""
    fold_min_area_um2: float = Field(default=5000.0, ge=0)
    """um2; smaller dark places are no fold."""
    min_tissue_mm2: float = Field(default=0.25, gt=0)
    """mm2; on less tissue neither folds nor blurred tiles are sought: there is no rest of the slide to compare with."""


class QualitySettings(Settings):
    """When a slide is `unassessable` rather than judged."""

    max_black_fraction: float = Field(default=0.95, gt=0, le=1)
    """fraction; a brightfield slide with more black pixels than this is unassessable (1: never)."""
    max_saturated_fraction: float = Field(default=0.5, gt=0, le=1)
    """fraction; a fluorescence slide with more pixels at the top of their range than this is unassessable (1: never)."""
    min_focus: float = Field(default=0.0, ge=0)
    """1/um; a slide whose focus figure (see docs/method.md) is lower is unassessable (0: never)."""
    tile_um: float = Field(default=128.0, gt=0, le=10000)
    """um; side of the tiles that are flagged, a whole number of blocks of the tissue mask."""
    min_tile_focus_fraction: float = Field(default=0.5, ge=0, le=1)
    """fraction; a tile is out of focus whose focus figure is under this share of the median of the slide's tiles (0: never)."""
    min_tile_focus: float = Field(default=0.0, ge=0)
    """1/um; a tile is out of focus whose focus figure is lower, whatever the rest of the slide (0: never)."""
    max_pen_fraction: float = Field(default=0.05, ge=0, le=1)
    """fraction; a tile with more of its area under pen has the flag pen (1: never)."""
    max_fold_fraction: float = Field(default=0.1, ge=0, le=1)
    """fraction; a tile with more of its tissue folded has the flag fold (1: never)."""
    max_dirt_fraction: float = Field(default=0.05, ge=0, le=1)
    """fraction; a tile with more of its area under dirt has the flag dirt (1: never)."""
    max_edge_fraction: float = Field(default=0.05, ge=0, le=1)
    """fraction; a tile with more of its area under edges has the flag edge (1: never)."""
    unassessable_flags: tuple[TileFlag, ...] = ("out_of_focus", "pen", "fold")
    """flags of tiles whose cells are excluded, never judged; []: none."""
    max_flagged_fraction: float = Field(default=0.9, gt=0, le=1)
    """fraction; a slide with more of its tissue, or of what pen covers, in tiles of these flags is unassessable (1: never)."""


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
    artifacts: ArtifactSettings = ArtifactSettings()
    quality: QualitySettings = QualitySettings()
