"""Family outline: closed forms, NaN rules, invariance."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, ring, star

from cellseg.columns import outline as columns
from cellseg.measure.outline import measure_outline

ODD = star(17, 0.2, 3)
ODD[10:14, 20:30] = 0
ALWAYS = {"symmetry_mirror", "symmetry_rotation_180"}


def outline_of(mask, mpp=1.0):
    return {name: values[0].item() for name, values in measure_outline(patches_of(np.asarray(mask)), mpp=mpp).items()}


def square(side):
    return np.ones((side, side), int)


def test_keys_are_the_columns_of_the_family():
    got = measure_outline(patches_of(disc(5)), mpp=0.5)

    assert list(got) == [column.name for column in columns.COLUMNS]
    assert all(values.dtype == np.float64 and values.shape == (1,) for values in got.values())
    assert {column.family for column in columns.COLUMNS} == {"outline"}


def test_no_cells():
    got = measure_outline(patches_of(np.zeros((4, 4), int)), mpp=0.5)

    assert all(values.shape == (0,) and values.dtype == np.float64 for values in got.values())


@pytest.mark.parametrize(
    "mask", [[[1]], np.ones((1, 50)), np.ones((50, 1)), np.eye(12), np.eye(12)[::-1], np.ones((2, 2))]
)
def test_dots_and_lines_have_nothing_but_symmetry(mask):
    got = outline_of(mask)

    assert {name for name, value in got.items() if not np.isnan(value)} == ALWAYS
    assert got["symmetry_mirror"] == got["symmetry_rotation_180"] == 1


@pytest.mark.parametrize("radius", [6, 12, 25.5, 80])
def test_disc(radius):
    got = outline_of(disc(radius), mpp=0.5)

    assert got["outline_length_um"] == pytest.approx(np.pi * radius, rel=0.02)
    assert got["hull_perimeter_um"] == pytest.approx(np.pi * radius, rel=0.02)
    assert got["convexity"] == pytest.approx(1, abs=0.005)
    assert got["concavity_count"] == got["concavity_depth_max_um"] == got["concavity_depth_mean_um"] == 0
    assert got["concavity_area_share"] < 0.005 and got["concavity_largest_share"] == 0
    assert got["radius_mean_um"] == pytest.approx(radius / 2, rel=0.02)
    assert got["radius_sd_um"] < 0.15  # stairs of a fraction of a pixel
    assert got["radius_ratio"] > 1 - 1 / radius
    for name in ("fine", "medium", "coarse"):
        # stairs, and what parabolas over an eighth of a turn to either side are off the circle
        assert np.isnan(got["roughness_" + name]) or got["roughness_" + name] < 0.15 / radius + 0.004
    assert got["n_curvature_sign_changes"] == got["concave_length_share"] == 0


@pytest.mark.parametrize("angle", [0, 0.3, 0.7, 1.1, np.pi / 2])
def test_ellipse_is_convex(angle):
    got = outline_of(ellipse(30, 15, angle))

    assert got["convexity"] > 0.995
    assert got["concavity_count"] == got["n_curvature_sign_changes"] == 0
    # least and greatest radius of an ellipse are its half axes; pixels and smoothing cost a few %
    assert got["radius_ratio"] == pytest.approx(0.5, abs=0.02)


def test_square_has_the_radii_of_its_corners_and_sides():
    got = outline_of(square(41))

    assert got["convexity"] == pytest.approx(1, abs=1e-12)
    assert got["concavity_area_share"] == pytest.approx(0, abs=1e-12)
    # over the sides, half length a: mean a (sqrt(2) + asinh(1)) / 2, mean square 4/3 a^2
    mean = 20.5 * (np.sqrt(2) + np.arcsinh(1)) / 2
    assert got["radius_mean_um"] == pytest.approx(mean, rel=0.01)
    assert got["radius_sd_um"] == pytest.approx(np.sqrt(4 / 3 * 20.5**2 - mean**2), rel=0.05)


@pytest.mark.parametrize(("radius", "depth", "tips"), [(30, 0.25, 5), (40, 0.2, 7), (25, 0.3, 3), (60, 0.15, 9)])
def test_star_has_a_concavity_between_each_pair_of_tips(radius, depth, tips):
    got = outline_of(star(radius, depth, tips))

    assert got["concavity_count"] == tips
    assert got["n_curvature_sign_changes"] == 2 * tips
    phi = np.linspace(0, 2 * np.pi, 20001)
    r = radius * (1 + depth * np.cos(tips * phi))
    y, x = r * np.sin(phi), r * np.cos(phi)
    # depth below the edge between two tips: the line that touches the outline next to them
    half = np.pi / tips
    touching = (r * np.cos(phi - half))[(phi < half)].max()
    expected = touching - radius * (1 - depth)
    assert got["concavity_depth_max_um"] == pytest.approx(expected, rel=0.05, abs=0.4)
    assert got["concavity_depth_mean_um"] == pytest.approx(expected, rel=0.05, abs=0.4)
    length = np.hypot(np.diff(y), np.diff(x)).sum()
    assert got["outline_length_um"] == pytest.approx(length, rel=0.02)
    area = np.pi * radius**2 * (1 + depth**2 / 2)
    assert got["concavity_area_share"] == pytest.approx(tips * got["concavity_largest_share"], rel=0.1)
    assert 0 < got["concavity_area_share"] < 1 - area / (np.pi * (radius * (1 + depth)) ** 2)


def test_a_step_of_one_pixel_is_no_concavity():
    block = square(30)
    block[0, 10:20] = 0  # a step of 1 px does not count
    shallow = outline_of(block)
    block[1, 10:20] = 0
    deep = outline_of(block)

    assert shallow["concavity_count"] == 0
    assert deep["concavity_count"] == 1
    assert 1.25 < deep["concavity_depth_max_um"] < 2.1


@pytest.mark.parametrize("turn", range(4))
def test_a_flat_side_may_have_several_concavities(turn):
    block = square(40)
    block[:4, 5:10] = block[:6, 16:20] = block[:3, 30:34] = 0

    got = outline_of(np.rot90(block, turn))

    assert got["concavity_count"] == 3
    assert got["concavity_depth_max_um"] == pytest.approx(6, abs=0.5)
    assert got["concavity_depth_mean_um"] == pytest.approx((4 + 6 + 3) / 3, abs=0.5)
    assert got["concavity_largest_share"] == pytest.approx(24 / 1600, rel=0.1)


def test_holes_and_smaller_pieces_do_not_count():
    apart = np.pad(disc(15), ((0, 0), (0, 9)))
    apart[3:7, -4:] = 1
    got = [outline_of(mask) for mask in (disc(15), ring(15, 9), apart)]

    for name in set(got[0]) - ALWAYS:
        assert got[0][name] == got[1][name] == got[2][name]


def test_rough_outlines_are_rough_at_the_scale_of_their_waves():
    smooth = outline_of(disc(40))
    waves = outline_of(star(40, 0.03, 40))  # 8 corners a wave
    lobes = outline_of(star(40, 0.1, 6))

    assert waves["roughness_fine"] > 5 * smooth["roughness_fine"]
    assert waves["roughness_fine"] > lobes["roughness_fine"]
    assert lobes["roughness_coarse"] > 5 * lobes["roughness_fine"]


@pytest.mark.parametrize("part", [16, 8, 4])
def test_roughness_needs_windows_of_five_corners(part):
    name = {16: "roughness_fine", 8: "roughness_medium", 4: "roughness_coarse"}[part]
    side = part  # 4 * side corners, half a window is 4 * side / (2 * part) of them

    assert np.isfinite(outline_of(square(side))[name])
    assert np.isnan(outline_of(np.ones((side, side - 1)))[name])


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_turned_and_flipped(turn, flip):
    # sums begin at another corner: the last bits differ
    before, after = outline_of(ODD), outline_of(np.rot90(ODD[::-1] if flip else ODD, turn))

    assert after == pytest.approx(before, rel=1e-9, abs=1e-9)


def test_moved_to_elsewhere_it_is_the_same_to_the_bit():
    alone = outline_of(ODD)
    labels = np.zeros((90, 120), int)
    labels[31 : 31 + ODD.shape[0], 44 : 44 + ODD.shape[1]] = ODD
    labels[:20, :20] = 2
    got = measure_outline(patches_of(labels), mpp=1.0)

    assert {name: values[0] for name, values in got.items()} == alone


def test_lengths_scale_with_the_pixel_size_and_ratios_do_not():
    one, half = outline_of(ODD), outline_of(ODD, mpp=0.5)

    for name, value in one.items():
        factor = 2 if name.endswith("_per_um") else 0.5 if name.endswith("_um") else 1
        assert half[name] == pytest.approx(factor * value, rel=1e-12), name


@pytest.mark.parametrize("seed", range(6))
def test_ragged_cells_stay_finite_and_within_their_bounds(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((400, 400), int)
    for k in range(100):
        y, x = 40 * (k // 10), 40 * (k % 10)
        labels[y + 1 : y + 39, x + 1 : x + 39] = (k + 1) * (rng.random((38, 38)) < rng.uniform(0.02, 0.98))
    got = measure_outline(patches_of(labels), mpp=0.25)

    for column in columns.COLUMNS:
        values = got[column.name]
        assert not np.isinf(values).any()
        known = values[~np.isnan(values)]
        assert column.minimum is None or (known >= column.minimum).all(), column.name
        assert column.maximum is None or (known <= column.maximum).all(), column.name


def test_a_cell_of_a_thousand_pixels_width():
    got = outline_of(star(400, 0.2, 5), mpp=0.25)

    assert got["concavity_count"] == 5 and got["n_curvature_sign_changes"] == 10
    assert all(np.isfinite(value) for value in got.values())


def test_time_grows_no_faster_than_the_outline():
    comb = np.ones((400, 1000), int)
    comb[:-3, 3::6] = comb[:-3, 4::6] = comb[:-3, 5::6] = 0  # 133,000 corners

    got = outline_of(comb)

    assert got["concavity_count"] == 166
    assert all(np.isfinite(value) for value in got.values())
