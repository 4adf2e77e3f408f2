"""Haralick's features: the paper's own image, closed forms, cells without pairs, turns and mirrors."""

import numpy as np
import pytest
from patching import disc, patches_of, plane_of, ring

from cellseg.columns.haralick import COLUMNS, DIRECTIONS, FEATURES
from cellseg.measure.grey_levels import quantize
from cellseg.measure.haralick import measure_haralick

NAMES = [feature[0] for feature in FEATURES]
PAPER = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]]) + 1


def measured(labels, image, *, levels=32, **settings):
    """Features of the cells of an image that holds gray levels already."""
    patches = patches_of(labels)
    return measure_haralick(
        patches, (plane_of(image, patches) * patches.mask).astype(np.uint8), levels=levels, **settings
    )


def textured(labels, seed=0, levels=32):
    rng = np.random.default_rng(seed)
    image = 100 + 20 * np.sin(np.arange(labels.shape[1]) / 2) + rng.normal(0, 4, labels.shape)
    return image.astype(np.uint16)


def from_pixels(labels, image, *, levels=32, **settings):
    patches = patches_of(labels)
    return measure_haralick(
        patches, quantize(patches, plane_of(image, patches), n_levels_in=256, levels=levels), levels=levels, **settings
    )


def names(distance, directions):
    """The columns' names, with a distance and all directions, or none, in place of the braces."""
    return {
        column.name.format(distance=distance, direction=degrees)
        for column in COLUMNS
        for degrees in ((0, 45, 90, 135) if directions else (None,))
        if directions or "{direction}" not in column.name
    }


def test_names_are_those_of_the_columns():
    got = measured(disc(5), disc(5), distances=(1, 3), each_direction=True)
    assert set(got) == names(1, directions=True) | names(3, directions=True) and len(got) == 2 * 13 * 6
    assert set(measured(disc(5), disc(5), distances=(2,))) == names(2, directions=False)
    assert DIRECTIONS == (0, 45, 90, 135)


def test_the_papers_image():
    """Its matrices are printed in the paper: horizontal 4 2 1 0 / 2 4 0 0 / 1 0 6 1 / 0 0 1 2."""
    got = measured(np.ones((4, 4)), PAPER, levels=4, each_direction=True)
    at = {0: [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]],
          90: [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]],
          135: [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]],
          45: [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]]}  # fmt: skip
    i, j = np.mgrid[1:5, 1:5]
    for degrees, matrix in at.items():
        p = np.array(matrix) / np.sum(matrix)
        for name, expected in (
            ("asm", (p**2).sum()),
            ("contrast", ((i - j) ** 2 * p).sum()),
            ("sum_average", ((i + j) * p).sum()),
            ("entropy", -(p[p > 0] * np.log2(p[p > 0])).sum()),
        ):
            assert got[f"haralick_{name}_d1_{degrees}"][0] == pytest.approx(expected, rel=1e-14), (name, degrees)


def test_mean_and_range_are_of_the_four_directions():
    got = measured(np.ones((4, 4)), PAPER, levels=4, each_direction=True)
    for name in NAMES:
        four = np.array([got[f"haralick_{name}_d1_{degrees}"][0] for degrees in (0, 45, 90, 135)])
        assert got[f"haralick_{name}_d1_mean"][0] == pytest.approx(four.mean(), rel=1e-14)
        assert got[f"haralick_{name}_d1_range"][0] == np.ptp(four)


def test_checkerboard():
    """Across: pairs always differ; along diagonals: never. An odd board's mirror images count alike."""
    board = np.indices((5, 5)).sum(0) % 2 * 3 + 1
    got = {key: column[0] for key, column in measured(np.ones((5, 5)), board, levels=4, each_direction=True).items()}
    for degrees in (0, 90):
        expected = {"asm": 0.5, "contrast": 9, "correlation": -1, "variance": 2.25, "inverse_difference_moment": 0.1,
                    "sum_average": 5, "sum_variance": 0, "sum_entropy": 0, "entropy": 1, "difference_variance": 0,
                    "difference_entropy": 0, "imc1": -1, "imc2": np.sqrt(1 - np.exp(-2))}  # fmt: skip
        for name, value in expected.items():
            assert got[f"haralick_{name}_d1_{degrees}"] == pytest.approx(value, rel=1e-14), name
    for degrees in (45, 135):
        for name, value in (("contrast", 0), ("correlation", 1), ("imc1", -1), ("inverse_difference_moment", 1)):
            assert got[f"haralick_{name}_d1_{degrees}"] == value, name
    assert got["haralick_correlation_d1_range"] == 2


def test_flat_cell():
    got = measured(disc(6), np.full((19, 19), 7))
    for name, value in (("asm", 1), ("inverse_difference_moment", 1), ("sum_average", 14), ("entropy", 0), ("imc2", 0)):
        assert got[f"haralick_{name}_d1_mean"][0] == value, name
        assert got[f"haralick_{name}_d1_range"][0] == 0, name
    for name in ("contrast", "variance", "sum_variance", "difference_variance", "sum_entropy", "difference_entropy"):
        assert got[f"haralick_{name}_d1_mean"][0] == 0, name
    for name in ("correlation", "imc1"):
        assert np.isnan(got[f"haralick_{name}_d1_mean"][0]) and np.isnan(got[f"haralick_{name}_d1_range"][0])


def test_nothing_to_pair_is_nan():
    labels = np.zeros((9, 9))
    labels[1, 1] = 1  # one pixel
    labels[4, 4] = labels[4, 6] = 2  # two pieces that do not touch
    got = measured(labels, np.full((9, 9), 3))
    assert all(np.isnan(column).all() for column in got.values())


def test_directions_without_pairs_are_left_out():
    labels, image = np.ones((1, 6)), np.array([[1, 2, 1, 2, 1, 2]])
    got = measured(labels, image, each_direction=True)
    assert got["haralick_contrast_d1_0"][0] == got["haralick_contrast_d1_mean"][0] == 1
    assert got["haralick_contrast_d1_range"][0] == 0
    assert all(np.isnan(got[f"haralick_{name}_d1_{degrees}"][0]) for name in NAMES for degrees in (45, 90, 135))
    turned = measured(labels.T, image.T, each_direction=True)
    assert turned["haralick_contrast_d1_90"][0] == 1 and np.isnan(turned["haralick_contrast_d1_0"][0])


def test_correlation_leaves_out_directions_of_one_level():
    image = np.array([[1, 2], [1, 2], [1, 2]])
    got = measured(np.ones((3, 2)), image, each_direction=True)
    assert np.isfinite(got["haralick_correlation_d1_90"][0])
    lone = measured(np.array([[1, 1], [1, 0]]), np.array([[1, 2], [1, 1]]), each_direction=True)
    assert np.isnan(lone["haralick_correlation_d1_90"][0])
    assert lone["haralick_correlation_d1_mean"][0] == -1
    assert lone["haralick_asm_d1_mean"][0] == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_pairs_do_not_leave_the_cell():
    """Neither over a hole, nor into the neighbour, nor round the patch's edge at distances above its margin."""
    labels, image = np.ones((3, 3)), np.ones((3, 3), int)
    labels[1, 1] = 0
    image[1, 1] = 9
    assert measured(labels, image)["haralick_contrast_d1_mean"][0] == 0
    got = measured(np.array([[1, 1, 2, 2]]), np.array([[1, 1, 8, 8]]))
    assert got["haralick_contrast_d1_mean"].tolist() == [0, 0]
    far = measured(np.ones((3, 4)), np.arange(12).reshape(3, 4) + 1, distances=(3, 4, 64), each_direction=True)
    assert far["haralick_contrast_d3_mean"][0] == far["haralick_contrast_d3_0"][0] == 9
    assert np.isnan(far["haralick_contrast_d4_mean"][0]) and np.isnan(far["haralick_contrast_d64_mean"][0])


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_turned_and_mirrored_cells_give_the_same_bits(distance):
    labels = ring(14, 5)
    labels[5:9, 8:30] = 0
    image = textured(labels)
    settings = {"distances": (distance,)}
    expected = from_pixels(labels, image, **settings)
    for turn in (np.rot90, np.flipud, np.fliplr, np.transpose, lambda a: np.rot90(a, 2)):
        got = from_pixels(np.ascontiguousarray(turn(labels)), turn(image), **settings)
        for key, column in expected.items():
            assert np.array_equal(got[key], column), key
    turned = from_pixels(np.rot90(labels), np.rot90(image), each_direction=True, **settings)
    upright = from_pixels(labels, image, each_direction=True, **settings)
    for name in NAMES:
        for here, there in ((0, 90), (45, 135), (90, 0), (135, 45)):
            assert upright[f"haralick_{name}_d{distance}_{here}"] == turned[f"haralick_{name}_d{distance}_{there}"]


def test_a_cell_does_not_know_its_batch():
    labels = np.zeros((80, 80), np.uint32)
    labels[2:30, 3:25] = disc(9, pad=5)[:28, :22]
    labels[40:60, 40:70] = 2
    labels[70, 3] = 3
    image = textured(labels)
    together = from_pixels(labels, image, distances=(1, 2))
    for cell in (1, 2, 3):
        alone = from_pixels((labels == cell)[::1], image, distances=(1, 2))
        for key, column in alone.items():
            assert np.array_equal(column, together[key][cell - 1 : cell], equal_nan=True), key


def test_counts_beyond_the_table_of_logarithms():
    """Stripes of 300 columns: 89,700 pairs across that are half like, half unlike, 299 rows of one level down."""
    image = np.broadcast_to(np.arange(300) % 2 + 1, (300, 300))
    got = measured(np.ones((300, 300)), image, each_direction=True)
    p = np.array([45_000, 44_700]) / 89_700
    assert got["haralick_contrast_d1_0"][0] == 1 and got["haralick_contrast_d1_90"][0] == 0
    assert got["haralick_entropy_d1_0"][0] == pytest.approx(1, rel=1e-12)
    assert got["haralick_entropy_d1_90"][0] == pytest.approx(1, rel=1e-12)
    assert got["haralick_sum_average_d1_0"][0] == 3 and p.sum() == 1


def test_very_large_cell_does_not_overflow():
    image = np.broadcast_to(np.where(np.arange(2600) < 1300, 1, 255), (2600, 2600))
    got = measured(np.ones((2600, 2600)), image, levels=255, each_direction=True)
    assert got["haralick_variance_d1_90"][0] == pytest.approx(127**2, rel=1e-9)
    assert got["haralick_correlation_d1_90"][0] == pytest.approx(1, rel=1e-9)


def test_256_levels():
    labels = disc(10)
    image = np.random.default_rng(0).integers(0, 256, labels.shape).astype(np.uint16)
    got = from_pixels(labels, image, levels=256)
    assert all(np.isfinite(column).all() for column in got.values())
    assert got["haralick_sum_average_d1_mean"][0] > 200


def test_empty():
    got = measured(np.zeros((5, 5)), np.zeros((5, 5)), distances=(1, 2), each_direction=True)
    assert len(got) == 2 * 13 * 6 and all(column.shape == (0,) for column in got.values())


def test_refuses_a_distance_of_0():
    with pytest.raises(ValueError, match="distances"):
        measured(disc(3), disc(3), distances=(0,))
