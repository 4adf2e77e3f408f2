"""Which tissue a cell lies in, and how far from that tissue's boundary. Floor 3: arrays in, arrays out.

The place of a cell on a class map is the centre of the map pixel under its centroid. A boundary of a class runs between
its pixels and all others: half a map pixel before the nearest centre of the other side. Empty glass is another side,
the border of the image is none.

Only pixels at the edge of their class can be nearest to a place outside of that class: a step from any other one
towards the place meets the class again, nearer. So distances come from the edges alone, by a search tree for each
class; they are exact (roots of whole numbers) and the same however the map was cut into windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.columns import safe_names, signed_distance_name


@dataclass(frozen=True)
class Edges:
    """Map pixels with another class above, below, left or right: `yx` (n, 2) int32 in map px, `classes` (n,) uint8."""

    yx: NDArray[np.int32]
    classes: NDArray[np.uint8]


def map_pixels(centroids_px: NDArray[np.float64], *, scale: float, height_px: int, width_px: int) -> NDArray[np.int64]:
    """The map pixels (n, 2) int64, y and x, under centroids (n, 2) of a slide, 0 at the centre of its first pixel.

    `scale` is map px per slide px, `height_px` and `width_px` are of the map.
    """
    places = np.floor((centroids_px + 0.5) * scale).astype(np.int64)
    return np.clip(places, 0, [height_px - 1, width_px - 1])


def find_edges(classes: NDArray[np.uint8], y0: int = 0, x0: int = 0) -> Edges:
    """The edges in a window (h, w) of a class map whose first pixel lies at `y0`, `x0` of the map.

    Beyond the window nothing is known and nothing is an edge. Strips that share one row give all edges of the whole.
    """
    edge = np.zeros(classes.shape, np.bool_)
    down, right = classes[1:] != classes[:-1], classes[:, 1:] != classes[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    y, x = np.nonzero(edge)
    return Edges(np.stack([y + y0, x + x0], axis=1).astype(np.int32), classes[y, x])


def join_edges(parts: Sequence[Edges]) -> Edges:
    """The edges of several windows, in map px; pixels that are in two of them do no harm."""
    nothing = Edges(np.zeros((0, 2), np.int32), np.zeros(0, np.uint8))
    whole = [nothing, *parts]
    return Edges(np.concatenate([part.yx for part in whole]), np.concatenate([part.classes for part in whole]))


def tissue_of_cells(
    classes: NDArray[np.uint8],
    probability: NDArray[np.uint8] | None,
    places: NDArray[np.int64],
    edges: Edges,
    *,
    names: Sequence[str],
    mpp: float,
    max_distance_um: float,
) -> dict[str, NDArray[Any]]:
    """The columns of the family `tissue` of n cells.

    Parameters
    ----------
    classes : (n,) ndarray of uint8
        Class of the map under each cell; none where it has no name (255: empty glass, not looked at).
    probability : (n,) ndarray of uint8, or None
        The network's, 255 for 1; None for a map that a person drew.
    places : (n, 2) ndarray of int64
        Map pixel of each cell, y and x.
    edges : Edges
        All within `max_distance_um` of the cells; more do no harm.
    names : sequence of str
        Of the classes, by number.
    mpp : float
        Microns per map pixel.
    max_distance_um : float
        Where distances are cut, um.

    Returns
    -------
    dict of str to (n,) ndarray
        `tissue`, `tissue_probability`, `tissue_distance_um` and a signed distance for each class.
    """
    nowhere = classes >= len(names)
    own = np.where(nowhere, len(names), classes)
    away_px = _distances(places, edges, len(names), reach_px=max_distance_um / mpp + 0.5)
    away_px[np.arange(len(own)), own] = np.inf
    inside_um = _to_um(away_px.min(axis=1), mpp, max_distance_um)
    sure = np.full(len(own), np.nan) if probability is None else probability / 255.0
    out: dict[str, NDArray[Any]] = {
        "tissue": np.array([*names, ""], object)[own],
        "tissue_probability": np.where(nowhere, np.nan, sure),
        "tissue_distance_um": np.where(nowhere, np.nan, inside_um),
    }
    for number, name in enumerate(safe_names(names)):
        outside_um = _to_um(away_px[:, number], mpp, max_distance_um)
        out[signed_distance_name(name)] = np.where(own == number, inside_um, -outside_um)
    return out


def _distances(places: NDArray[np.int64], edges: Edges, n_classes: int, *, reach_px: float) -> NDArray[np.float64]:
    """From each place to the nearest edge pixel of each class, and of none (last column): (n, n_classes + 1), px.

    Infinite beyond `reach_px`.
    """
    from scipy.spatial import KDTree  # a fifth of a second that slides without a map do without

    out = np.full((len(places), n_classes + 1), np.inf)
    kinds = np.minimum(edges.classes, n_classes)
    for kind in np.unique(kinds) if len(places) else ():
        # cut in the middle of the box: pixels lie evenly, and medians take longer to find than they save
        tree = KDTree(edges.yx[kinds == kind], balanced_tree=False, compact_nodes=False)
        # the search wants strictly less; a little more than the reach is cut off by the caller
        out[:, kind] = tree.query(places, distance_upper_bound=reach_px + 1.0)[0]
    return out


def _to_um(away_px: NDArray[np.float64], mpp: float, max_distance_um: float) -> NDArray[np.float64]:
    """From centre to centre in px, to the boundary in um."""
    return np.minimum((away_px - 0.5) * mpp, max_distance_um)


def no_tissue(n_cells: int) -> dict[str, NDArray[Any]]:
    """The columns of the family `tissue` where there is no map: no name, and NaN."""
    unknown = np.full(n_cells, np.nan)
    return {
        "tissue": np.full(n_cells, "", object),
        "tissue_probability": unknown,
        "tissue_distance_um": unknown.copy(),
    }
