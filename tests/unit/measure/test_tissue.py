"""The tissue of cells on maps whose answers are known: half planes, discs, islands, glass, seams of windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from cellseg.columns import columns_of, find_column, mapped_tissues, safe_names
from cellseg.io.class_map import NO_CLASS
from cellseg.measure.tissue import find_edges, join_edges, map_pixels, no_tissue, tissue_of_cells

NAMES = ("stroma", "gland")


def look_up(classes, yx, *, names=NAMES, mpp=1.0, reach_um=1000.0, probability=None, edges=None):
    """The columns of cells in the middle of map pixels."""
    places = np.asarray(yx, np.int64).reshape(-1, 2)
    y, x = places.T
    return tissue_of_cells(
        classes[y, x], None if probability is None else probability[y, x], places,
        find_edges(classes) if edges is None else edges, names=names, mpp=mpp, max_distance_um=reach_um,
    )  # fmt: skip


def halves(height=20, width=30, at=12):
    """Stroma on the left of column `at`, gland from there on."""
    classes = np.zeros((height, width), np.uint8)
    classes[:, at:] = 1
    return classes


def by_transform(classes, names, mpp, reach_um):
    """Signed distances (K, H, W) by scipy's exact transform of the whole map: a second implementation."""
    out = []
    for number in range(len(names)):
        inside = classes == number
        far = np.full(classes.shape, np.inf)
        into = distance_transform_edt(inside) if not inside.all() else far
        outof = distance_transform_edt(~inside) if inside.any() else far
        signed = np.where(inside, into - 0.5, 0.5 - outof) * mpp
        out.append(np.clip(signed, -reach_um, reach_um))
    return np.stack(out)


def test_two_half_planes_are_half_a_pixel_from_their_border():
    got = look_up(halves(), [(5, 0), (5, 11), (5, 12), (5, 29)], mpp=2.0)
    assert got["tissue"].tolist() == ["stroma", "stroma", "gland", "gland"]
    # centres lie 12, 1, 1 and 18 px from the other side's nearest centre; the border of the map is none
    assert got["tissue_distance_um"].tolist() == [23.0, 1.0, 1.0, 35.0]
    assert got["signed_distance_stroma_um"].tolist() == [23.0, 1.0, -1.0, -35.0]
    assert got["signed_distance_gland_um"].tolist() == [-23.0, -1.0, 1.0, 35.0]
    assert np.isnan(got["tissue_probability"]).all()


def test_a_disc_is_its_radius_deep():
    y, x = np.mgrid[-40:41, -40:41]
    classes = (np.hypot(y, x) <= 25).astype(np.uint8)
    got = look_up(classes, [(40, 40), (40, 80)], mpp=0.5)
    # the nearest centre outside lies 25 px down and 1 across; from 40 px off, the disc begins 15 px away
    assert got["signed_distance_gland_um"].tolist() == [(626**0.5 - 0.5) * 0.5, -7.25]


def test_an_island_narrower_than_the_reach_is_met_from_both_sides():
    classes = halves()
    classes[8:11, 3:6] = 1
    got = look_up(classes, [(9, 4), (9, 1), (9, 8)])
    assert got["tissue"].tolist() == ["gland", "stroma", "stroma"]
    assert got["signed_distance_gland_um"].tolist() == [1.5, -1.5, -2.5]


def test_glass_is_another_side_and_no_tissue():
    classes = np.zeros((10, 20), np.uint8)
    classes[:, 15:] = NO_CLASS
    got = look_up(classes, [(5, 10), (5, 17)], probability=np.full(classes.shape, 51, np.uint8))
    assert got["tissue"].tolist() == ["stroma", ""]
    assert got["tissue_distance_um"][0] == 4.5 and np.isnan(got["tissue_distance_um"][1])
    assert got["tissue_probability"][0] == pytest.approx(0.2) and np.isnan(got["tissue_probability"][1])
    assert got["signed_distance_stroma_um"].tolist() == [4.5, -2.5]


def test_far_and_absent_boundaries_give_the_reach():
    got = look_up(halves(), [(5, 0), (5, 11)], names=("stroma", "gland", "fat"), reach_um=6.0)
    assert got["tissue_distance_um"].tolist() == [6.0, 0.5]
    assert got["signed_distance_fat_um"].tolist() == [-6.0, -6.0]
    alone = look_up(np.zeros((5, 5), np.uint8), [(2, 2)], reach_um=6.0)
    assert alone["tissue_distance_um"].tolist() == [6.0]
    assert alone["signed_distance_gland_um"].tolist() == [-6.0]


@pytest.mark.parametrize("reach_um", [3.2, 9.0, 1000.0])
def test_ragged_maps_agree_with_an_exact_transform(reach_um):
    rng = np.random.default_rng(3)
    coarse = rng.choice([0, 1, 2, NO_CLASS], (12, 15), p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    classes = np.kron(coarse, np.ones((7, 5), np.uint8))
    classes[rng.random(classes.shape) < 0.002] = 2
    names = ("a", "b", "c")
    everywhere = np.argwhere(np.ones(classes.shape, bool))
    got = look_up(classes, everywhere, names=names, mpp=0.7, reach_um=reach_um)
    for number, expected in enumerate(by_transform(classes, names, 0.7, reach_um)):
        found = got[f"signed_distance_{names[number]}_um"].reshape(classes.shape)
        # both are roots of the same whole numbers
        assert np.array_equal(found, expected)
        inside = classes == number
        assert np.array_equal(got["tissue_distance_um"].reshape(classes.shape)[inside], expected[inside])


def test_strips_and_windows_that_hold_the_reach_change_nothing():
    rng = np.random.default_rng(4)
    classes = np.kron(rng.integers(0, 3, (9, 11)).astype(np.uint8), np.ones((8, 8), np.uint8))
    places = np.argwhere(rng.random(classes.shape) < 0.05)
    whole = look_up(classes, places, names=("a", "b", "c"), mpp=0.5, reach_um=5.0)
    strips = join_edges([find_edges(classes[y : y + 6], y) for y in range(0, 72, 5)])
    in_strips = look_up(classes, places, names=("a", "b", "c"), mpp=0.5, reach_um=5.0, edges=strips)
    for name, column in whole.items():
        assert np.array_equal(in_strips[name], column, equal_nan=name == "tissue_probability"), name
    # 5 um are 10 px, and half a pixel more to the centre of the other side
    for at in places[::7]:
        y0, x0 = np.maximum(at - 11, 0)
        edges = find_edges(classes[y0 : at[0] + 12, x0 : at[1] + 12], int(y0), int(x0))
        near = look_up(classes, [at], names=("a", "b", "c"), mpp=0.5, reach_um=5.0, edges=edges)
        row = np.flatnonzero((places == at).all(axis=1))[0]
        assert all(near[name][0] == column[row] for name, column in whole.items() if name.endswith("_um"))


@pytest.mark.parametrize("scale", [1.0, 0.25, 1 / 3, 2.5])
def test_the_map_pixel_under_a_centroid_covers_it(scale):
    rng = np.random.default_rng(5)
    centroids = rng.uniform(0, [59, 79], (200, 2))
    height, width = int(np.ceil(60 * scale)), int(np.ceil(80 * scale))
    y, x = map_pixels(centroids, scale=scale, height_px=height, width_px=width).T
    for places, values in ((y, centroids[:, 0]), (x, centroids[:, 1])):
        assert (places <= (values + 0.5) * scale).all() and ((values + 0.5) * scale < places + 1).all()
    outer = np.array([[-0.5, -0.5], [59.49, 79.49], [59.9, 90.0]])
    corners = map_pixels(outer, scale=scale, height_px=height, width_px=width)
    assert corners.tolist() == [[0, 0], [height - 1, width - 1], [height - 1, width - 1]]


def test_no_cells_and_no_map():
    assert all(len(column) == 0 for column in look_up(halves(), []).values())
    nothing = no_tissue(3)
    assert list(nothing) == [column.name for column in columns_of(["tissue"])]
    assert nothing["tissue"].tolist() == ["", "", ""]
    assert np.isnan(nothing["tissue_distance_um"]).all() and np.isnan(nothing["tissue_probability"]).all()


def test_columns_are_named_after_the_classes_in_safe_signs():
    names = ("high-grade", "high grade", "Dr\N{LATIN SMALL LETTER U WITH DIAERESIS}se", "\N{MICRO SIGN}")
    got = look_up(halves(), [(1, 1)], names=names)
    columns = [column.name for column in columns_of(["tissue"], tissues=safe_names(names))]
    assert list(got) == columns
    assert mapped_tissues(columns) == ("high_grade", "high_grade_2", "Dr_se", "class_3")
    assert mapped_tissues(["tissue", "tissue_distance_um"]) == ()
    column = find_column("signed_distance_high_grade_um")
    assert (column.family, column.unit) == ("tissue", "um") and column.meaning.startswith("high_grade: ")
