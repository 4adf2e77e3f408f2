"""The table does not depend on how the work is cut, and follows the image when that is moved, turned or rescaled."""

import numpy as np
import pytest
from fields import blobs, giant, he_look
from measuring import measured_bytes, odd_shapes, read_columns, recipe_for, write_pair

from cellseg.columns import find_column
from cellseg.measure.window import measure_image
from cellseg.measure_config import MeasureSettings
from cellseg.stages import measure as stage

INVARIANT = (
    *(
        f"nucleus_{name}"
        for name in (
            "n_pixels", "perimeter_um", "equivalent_diameter_um", "major_axis_um", "minor_axis_um", "max_feret_um",
            "min_feret_um", "eccentricity", "convex_area_um2", "solidity", "extent", "circularity", "aspect_ratio",
            "intensity_green_mean", "intensity_gray_q95", "od_hematoxylin_sd",
        )
    ),
    "edge_sharpness_per_um", "nearest_neighbor_um", "density_per_mm2", "touches_border",
    "cytoplasm_intensity_gray_mean", "cell_area_um2", "cell_perimeter_um",
)  # fmt: skip


def field(seed=0, shape=(300, 340)):
    labels = blobs(shape, seed=seed)
    return he_look(labels, seed=seed), labels


@pytest.mark.parametrize(
    "labels", [blobs((300, 340)), giant((300, 340)), odd_shapes((300, 340))], ids=["blobs", "giant", "odd"]
)
def test_tile_size_and_workers_do_not_change_a_byte(tmp_path, labels, monkeypatch):
    monkeypatch.setattr(stage, "ROW_GROUP", 50)  # several row groups in a small field
    pixels = he_look(labels)
    pair = write_pair(tmp_path, pixels, labels)
    recipe = recipe_for(pixels)

    whole = measured_bytes(*pair, tmp_path / "whole.parquet", recipe, tile_px=2048, workers=1)
    for tile_px, workers in [(64, 1), (64, 2), (100, 2), (256, 1), (256, 2)]:
        assert measured_bytes(*pair, tmp_path / "tiled.parquet", recipe, tile_px=tile_px, workers=workers) == whole
    ids = read_columns(tmp_path / "whole.parquet")["cell_id"]
    assert np.array_equal(ids, np.unique(labels)[1:])


def test_tiled_file_equals_the_arrays(tmp_path):
    pixels, labels = field()
    recipe = recipe_for(pixels, mpp=0.5)
    measured_bytes(*write_pair(tmp_path, pixels, labels, mpp=0.5), tmp_path / "t.parquet", recipe, tile_px=128)

    table = read_columns(tmp_path / "t.parquet")

    assert set(table["sample"]) == {"s1"}
    for name, values in measure_image(labels, pixels, recipe=recipe).items():
        assert np.array_equal(table[name], values, equal_nan=values.dtype == float), name


def test_new_ids_move_rows_and_change_nothing_else(tmp_path):
    pixels, labels = field()
    n = int(labels.max())
    renamed = np.concatenate([[0], np.random.default_rng(0).permutation(n) * 1000 + 5]).astype(np.uint32)
    recipe = recipe_for(pixels)
    before = measure_image(labels, pixels, recipe=recipe)
    measured_bytes(
        *write_pair(tmp_path, pixels, renamed[labels]), tmp_path / "t.parquet", recipe, tile_px=100, workers=2
    )

    after = read_columns(tmp_path / "t.parquet")

    order = np.argsort(renamed[1:])
    assert np.array_equal(after["cell_id"], renamed[1:][order])
    for name, values in before.items():
        assert name == "cell_id" or np.array_equal(after[name], values[order], equal_nan=values.dtype == float), name


def test_pixel_size_scales_lengths_and_areas_only():
    pixels, labels = field()
    # the ring of cytoplasm has its width in um: it keeps the same pixels where that is halved too
    one, half = (
        measure_image(labels, pixels, recipe=recipe_for(pixels, mpp=mpp), settings=MeasureSettings(ring_um=4 * mpp))
        for mpp in (1.0, 0.5)
    )

    for name, values in one.items():
        if values.dtype == object:
            assert (half[name] == values).all(), name  # words have no size
            continue
        power = {"um": 1, "um2": 2, "1/um": -1}.get(find_column(name).unit, 0)
        if name.startswith(("density", "edge_sharpness", "local_clustering")):
            continue  # the one has a radius in um, the other is tested against its closed form
        # both are rounded to 6 decimals
        close = 1.01e-6 * max(1, 0.5**power)
        assert np.allclose(half[name], values * 0.5**power, rtol=0, atol=close, equal_nan=True), name


def test_moving_the_image_moves_positions_only():
    pixels, labels = field(shape=(200, 220))
    inner = np.zeros_like(labels)
    inner[20:-20, 20:-20] = labels[20:-20, 20:-20]
    wide = tuple(np.pad(a, [(37, 70), (61, 90), (0, 0)][: a.ndim], mode="edge") for a in (pixels, inner))
    wide[1][:37], wide[1][:, :61] = 0, 0
    before = measure_image(inner, pixels, recipe=recipe_for(pixels))
    after = measure_image(wide[1], wide[0], recipe=recipe_for(wide[0]))

    for name, values in before.items():
        if name.startswith(("density", "local_clustering")):
            continue  # more of the disc lies in the larger image
        moved = {"y": 37, "x": 61}.get(name.split("_")[1][0], 0) if name.startswith(("centroid", "bbox")) else 0
        assert (
            np.allclose(after[name], values + moved, rtol=0, atol=1e-6, equal_nan=True)
            if moved
            else np.array_equal(after[name], values, equal_nan=values.dtype == float)
        ), name


@pytest.mark.parametrize(
    "turn", [lambda a: np.rot90(a), lambda a: a[::-1], lambda a: np.swapaxes(a, 0, 1)], ids=["turn", "flip", "mirror"]
)
def test_turning_the_image_turns_the_cells(turn):
    pixels, labels = field()
    turned = np.ascontiguousarray(turn(pixels)), np.ascontiguousarray(turn(labels))
    before = measure_image(labels, pixels, recipe=recipe_for(pixels))
    after = measure_image(turned[1], turned[0], recipe=recipe_for(turned[0]))

    for name in INVARIANT:
        # sums in another order differ in their last bits, which may turn the rounding of the sixth decimal; roots of
        # cancelled variances (eccentricity of discs, axes) keep half their digits, hence 2e-6
        assert np.allclose(before[name].astype(float), after[name].astype(float), rtol=0, atol=2e-6, equal_nan=True), (
            name
        )
