"""The feature families in table order: what each is, and its columns. Floor 1.

Which families are measured is a setting (`measure_config.py`); what measures them stands in `measure/registry.py`.
"""

from __future__ import annotations

from cellseg.columns import (
    appearance,
    chromatin,
    compartments,
    distribution,
    erythrocyte,
    focus,
    form,
    fourier,
    gradient,
    granularity,
    haralick,
    herlev,
    ibsi,
    intensity,
    lbp,
    moments,
    neighborhood,
    outline,
    radial,
    shape,
    wdbc,
    zernike,
)
from cellseg.columns.column import Column

ABOUT: dict[str, str] = {
    "shape": "size and form from pixels, moments and convex hull",
    "form": "radii inside of the cell, holes, enclosing circle and rectangle",
    "outline": "the outline's convexity, hollows, roughness, curvature, bending energy, fractal dimension; symmetry",
    "fourier": "elliptic Fourier descriptors of the outline and Fourier shape descriptors of its curvature",
    "moments": "spatial, central, normalised and Hu moments, inertia tensor",
    "zernike": "magnitudes of the Zernike moments of the mask, to order 9",
    "touching": "how much of the outline touches other cells",
    "wdbc10": "the ten features of Street, Wolberg and Mangasarian (Wisconsin breast cancer data)",
    "erythrocyte": "red cells: shape factors, spicules, central pallor and its form, ring profile",
    "intensity": "mean, spread and quantiles of each plane",
    "distribution": "more statistics of a plane: integrated, skewness, entropy, edge pixels, mass displacement",
    "gradient": "how steep a plane is, and how many edges it has",
    "radial": "how a plane is shared out from centre to edge",
    "radial_zernike": "Zernike magnitudes and phases of a plane",
    "granularity": "how much of a plane openings of growing size take away",
    "lbp": "local binary patterns",
    "haralick": "Haralick's co-occurrence features",
    "run_length": "grey level run lengths (IBSI)",
    "size_zone": "grey level size zones (IBSI)",
    "dependence": "neighbouring grey level dependence (IBSI)",
    "chromatin": "clumps, margination and nucleoli",
    "compartments": "cytoplasm and cell around each nucleus against the nucleus",
    "focus": "how sharp the outline is",
    "appearance": "what a trained network makes of the cell's picture (off unless a network is named)",
    "herlev20": "the twenty features of the Herlev Pap-smear data",
    "neighborhood": "distances to the nearest cells, density around",
    "delaunay": "the Delaunay graph of the centroids and its Voronoi regions",
    "contrast": "a cell's features against its neighbours'",
    "pleomorphism": "how sizes and forms vary around the cell",
}
"""What each family holds, in a line, in table order."""

OF_COMPARTMENTS: tuple[Column, ...] = (
    *shape.COLUMNS, *form.COLUMNS, *outline.COLUMNS, *fourier.COLUMNS, *moments.COLUMNS, *zernike.MASK,
    *neighborhood.TOUCHING, *wdbc.COLUMNS, *erythrocyte.COLUMNS,
    *intensity.COLUMNS, *distribution.COLUMNS, *gradient.COLUMNS, *radial.COLUMNS, *zernike.PLANE,
    *granularity.COLUMNS, *lbp.COLUMNS, *haralick.COLUMNS, *ibsi.COLUMNS, *chromatin.COLUMNS,
)  # fmt: skip
"""What is measured in a compartment, family by family."""
OF_CELLS: tuple[Column, ...] = (
    *compartments.COLUMNS,
    *focus.COLUMNS,
    *appearance.COLUMNS,
    *herlev.COLUMNS,
    *neighborhood.COLUMNS,
)
"""What is measured once a cell."""
