"""Settings of measuring: families of features, compartments, planes, scales. Floor 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cellseg.base_config import Settings

Family = Literal[
    "shape", "form", "outline", "fourier", "moments", "zernike", "touching", "wdbc10", "erythrocyte",
    "intensity", "distribution", "gradient", "radial", "radial_zernike", "granularity", "lbp", "haralick",
    "run_length", "size_zone", "dependence", "chromatin",
    "compartments", "focus", "appearance", "herlev20", "neighborhood", "delaunay", "contrast", "pleomorphism",
]  # fmt: skip
CompartmentFamily = Literal[
    "shape", "form", "outline", "fourier", "moments", "zernike", "intensity", "distribution", "gradient", "radial",
    "radial_zernike", "granularity", "lbp", "haralick", "run_length", "size_zone", "dependence", "chromatin",
]  # fmt: skip
Micrometers = Annotated[float, Field(gt=0, le=1000)]


class MeasureSettings(Settings):
    """What is measured of each cell; `cellseg features list` tells what the families hold."""

    families: tuple[Family, ...] = ("shape", "outline", "wdbc10", "intensity", "compartments", "focus", "neighborhood")
    """families of columns of what was outlined, and of its place among the others; identity, position and flags are always there."""
    outlined: Literal["auto", "nucleus", "cell"] = "auto"
    """what the labels outline, which is the first word of the columns; auto: whole cells in giemsa and brightfield, nuclei elsewhere."""
    ring_um: float = Field(default=3.0, ge=0, le=50)
    """um; cytoplasm is what lies no farther from its nucleus than this, and no nearer to another one; 0: no such compartment."""
    cytoplasm_families: tuple[CompartmentFamily, ...] = ("intensity",)
    """families measured in the cytoplasm, where nuclei were outlined."""
    cell_families: tuple[CompartmentFamily, ...] = ("shape",)
    """families measured in nucleus and cytoplasm together, where nuclei were outlined."""
    planes: tuple[str, ...] = ()
    """planes that distribution, gradient, radial, granularity and texture look at (intensity_gray, od_hematoxylin, lab_a, ...); empty: gray and stains of colour, all channels of the rest."""
    colour_spaces: bool = False
    """true: the family intensity also holds the planes of CIELAB and HSV, for images in colour."""
    texture_levels: int = Field(default=32, ge=2, le=256)
    """gray levels that texture is counted in, spread over each cell's own range."""
    texture_distances_px: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (1,)
    """px; distances of the pairs that Haralick's features count."""
    texture_each_direction: bool = False
    """true: Haralick's features of each of the 4 directions too, not only their mean and range."""
    n_rings: int = Field(default=4, ge=1, le=16)
    """rings of the radial distribution."""
    density_radius_um: Micrometers = 50.0
    """um; local density counts the centroids within this radius."""
    density_radii_um: tuple[Micrometers, ...] = (25.0, 100.0)
    """um; more radii of the same, each with a column of its own."""
    delaunay_max_edge_um: Micrometers = 50.0
    """um; cells farther apart than this are not joined in clusters of neighbours."""
    contrast_features: tuple[str, ...] = ("area_um2", "circularity", "eccentricity")
    """columns that the family contrast compares with the neighbours'."""
    appearance_network: str = ""
    """the network of the family appearance: redcell_look, which is in the package, or a .safetensors file of your own."""
    pleomorphism_radius_um: Micrometers = 50.0
    """um; the family pleomorphism looks at the cells within this radius."""
