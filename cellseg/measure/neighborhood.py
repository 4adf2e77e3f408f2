"""How close each cell's neighbours are, and how they lie around it. Floor 3: arrays in, arrays out.

Centroids are sorted into square bins; a cell looks into the bins around its own. All centroids of the slide are
needed at once (about 100 bytes a cell while it runs, beside the columns themselves).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellseg.measure.point_bins import count_within, nearest_points

N_NEAREST = 5
"""How many nearest neighbours have a column of their own."""


def measure_neighborhoods(
    centroids_px: NDArray[np.float64],
    *,
    height_px: int,
    width_px: int,
    mpp: float,
    radius_um: float,
    radii_um: Sequence[float] = (),
) -> dict[str, NDArray[np.float64]]:
    """The columns of family `neighborhood` for all cells of a slide.

    Density is the number of other centroids no further than the radius, divided by the area of the part of that disc
    that lies in the image (closed form, see `disc_in_image`). `local_clustering` is the ratio of Clark and Evans (1954,
    Ecology 35:445) of one cell: the distance to its nearest neighbour over the one that is expected among points
    scattered at random at the local density p, 1 / (2 sqrt p). It is below 1 in clusters, 1 at random, 2.149 in a
    triangular lattice. The nearest neighbour of a cell near the image's border may lie outside of it: such ratios are
    a little high.

    Parameters
    ----------
    centroids_px : (n, 2) ndarray of float64
        y and x, px; 0 is the centre of the first pixel; n >= 0.
    height_px, width_px : int
        Size of the image.
    mpp : float
        Microns per pixel.
    radius_um : float
        Radius of the disc of `density_per_mm2` and of the density in `local_clustering`.
    radii_um : sequence of float
        More radii, each with a column `density_{radius}um_per_mm2` (see `radius_text`).

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `nearest_neighbor_um`, `nearest_2_um` to `nearest_5_um` (NaN where there are fewer other cells),
        `nearest_mean_um` (of these five; NaN where one is missing), `density_per_mm2`, the densities of `radii_um`,
        `local_clustering` (NaN where no other cell lies within the radius) and `neighbor_angle_rad` (0 to pi; NaN with
        fewer than two other cells, or where one of the two nearest has the same centroid).
    """
    size = {"height_px": height_px, "width_px": width_px}
    rows, distances = nearest_points(centroids_px, N_NEAREST, **size)
    distances *= mpp
    out = {"nearest_neighbor_um": distances[:, 0].copy()}
    out |= {f"nearest_{k}_um": distances[:, k - 1].copy() for k in range(2, N_NEAREST + 1)}
    out["nearest_mean_um"] = distances.sum(axis=1) / N_NEAREST
    del distances
    out["density_per_mm2"] = _density(centroids_px, radius_um / mpp, mpp, **size)
    for radius in radii_um:
        out[f"density_{radius_text(radius)}um_per_mm2"] = _density(centroids_px, radius / mpp, mpp, **size)
    density = np.where(out["density_per_mm2"] > 0, out["density_per_mm2"], np.nan)
    out["local_clustering"] = out["nearest_neighbor_um"] * 2e-3 * np.sqrt(density)
    out["neighbor_angle_rad"] = _angles(centroids_px, rows)
    return out


def radius_text(radius_um: float) -> str:
    """A radius as it stands in the name of a column: 25 for 25 um, 2p5 for 2.5 um."""
    return np.format_float_positional(radius_um, trim="-").replace(".", "p")


def disc_in_image(
    centroids_px: NDArray[np.float64], radius_px: float, *, height_px: int, width_px: int
) -> NDArray[np.float64]:
    """Area of the disc around each point that lies in the image, px^2: the sum of four quarter discs cut at the edges.

    The image reaches from -0.5 to its size - 0.5, the outer edges of its pixels.
    """
    y, x = centroids_px.T
    up, down, left, right = y + 0.5, height_px - 0.5 - y, x + 0.5, width_px - 0.5 - x
    return np.asarray(sum(_quarter(a, b, radius_px) for a in (up, down) for b in (left, right)))


def _quarter(a: NDArray[np.float64], b: NDArray[np.float64], r: float) -> NDArray[np.float64]:
    """Area of the quarter disc of radius r within the rectangle of sides a and b at its corner."""
    whole = a * a + b * b <= r * r
    a, b = np.minimum(a, r), np.minimum(b, r)
    cut = a * np.sqrt(r * r - a * a) + b * np.sqrt(r * r - b * b) + r * r * (np.arcsin(a / r) - np.arccos(b / r))
    return np.where(whole, a * b, cut / 2)


def _density(
    centroids_px: NDArray[np.float64], radius_px: float, mpp: float, *, height_px: int, width_px: int
) -> NDArray[np.float64]:
    """Other centroids within the radius, a mm2 of the part of the disc in the image."""
    counts = count_within(centroids_px, radius_px, height_px=height_px, width_px=width_px)
    area_px2 = disc_in_image(centroids_px, radius_px, height_px=height_px, width_px=width_px)
    return counts / (area_px2 * (mpp * 1e-3) ** 2)


def _angles(centroids_px: NDArray[np.float64], rows: NDArray[np.int32]) -> NDArray[np.float64]:
    """The angle at each cell between its nearest and second nearest neighbour."""
    out = np.full(len(rows), np.nan)
    whole = np.flatnonzero(rows[:, 1] >= 0)
    a, b = (centroids_px[rows[whole, k]] - centroids_px[whole] for k in (0, 1))
    cross, dot = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(axis=1)
    apart = a.any(axis=1) & b.any(axis=1)
    out[whole[apart]] = np.arctan2(np.abs(cross), dot)[apart]
    return out
