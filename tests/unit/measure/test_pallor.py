"""Red cells drawn with round, slit, ragged and no pallor."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of

from cellseg.columns.erythrocyte import COLUMNS
from cellseg.measure.pallor import measure_pallor

RADIUS = 24
SIDE = disc(RADIUS).shape[0]
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE // 2


def pallor(labels, image, *, dark=False, n_levels=4096):
    patches = patches_of(labels)
    found = measure_pallor(patches, plane_of(np.asarray(image), patches), n_levels=n_levels, dark=dark)
    return {name.removeprefix("erythrocyte_"): column for name, column in found.items()}


def cell(pale, *, dense=1000, low=400, labels=None):
    labels = disc(RADIUS) if labels is None else labels
    image = np.where(labels > 0, dense, 0)
    return pallor(labels, np.where(pale & (labels > 0), low, image))


def test_keys_are_columns():
    named = [
        c.name for c in COLUMNS if c.per == "plane" and ("pallor_" in c.name or "pale_" in c.name or "band_" in c.name)
    ]
    found = pallor(disc(RADIUS), disc(RADIUS))
    assert {f"erythrocyte_{name}" for name in found} <= set(named)
    assert len(found) == 17


def test_a_round_pallor_is_round():
    found = cell(np.hypot(Y, X) < 10)
    assert found["pallor_contrast"][0] == pytest.approx(0.6, abs=0.01)
    assert found["pallor_axis_ratio"][0] == pytest.approx(1, abs=0.01)
    assert found["pallor_shift"][0] == pytest.approx(0, abs=0.01)
    assert found["pale_piece_count"][0] == 1
    assert found["pale_piece_share"][0] == pytest.approx((10 / RADIUS) ** 2, abs=0.02)
    assert found["pale_piece_axis_ratio"][0] == pytest.approx(1, abs=0.01)
    assert found["pale_piece_compactness"][0] == pytest.approx(1, abs=0.01)
    assert found["pale_piece_circularity"][0] > 0.95
    for order in range(1, 5):
        assert found[f"pallor_harmonic_{order}"][0] < 0.06


def test_a_slit_is_drawn_out():
    found = cell((np.abs(Y) < 3) & (np.abs(X) < 14))
    # a box of 5 x 27 px, its edges softened by the binomial
    assert found["pale_piece_axis_ratio"][0] == pytest.approx(5 / 27, abs=0.03)
    assert found["pallor_axis_ratio"][0] < 0.3
    assert found["pale_piece_compactness"][0] < 0.55
    assert found["pallor_harmonic_2"][0] > 0.6
    assert found["pallor_harmonic_1"][0] < 0.05


def test_a_shifted_pallor_is_off_the_middle():
    found = cell(np.hypot(Y - 6, X) < 6)
    assert found["pallor_shift"][0] == pytest.approx(6 / RADIUS, abs=0.02)
    assert found["pallor_harmonic_1"][0] > 0.5


def test_pieces_are_counted_and_the_largest_is_told():
    found = cell((np.hypot(Y, X - 9) < 5) | (np.hypot(Y, X + 9) < 3))
    assert found["pale_piece_count"][0] == 2
    assert found["pale_piece_share"][0] == pytest.approx((5 / RADIUS) ** 2, abs=0.01)


def test_pallor_as_drawn_out_as_the_cell_has_no_harmonics():
    labels = ellipse(36, 18, 0.4)
    side = labels.shape[0]
    y, x = np.mgrid[:side, : labels.shape[1]]
    y, x = y - (y * (labels > 0)).sum() / labels.sum(), x - (x * (labels > 0)).sum() / labels.sum()
    along, across = x * np.cos(0.4) + y * np.sin(0.4), y * np.cos(0.4) - x * np.sin(0.4)
    if labels[(np.abs(along) > 30) & (np.abs(across) < 3)].sum() == 0:
        along, across = x * np.sin(0.4) + y * np.cos(0.4), y * np.sin(0.4) - x * np.cos(0.4)
    found = cell((along / 16) ** 2 + (across / 8) ** 2 < 1, labels=labels)
    assert found["pallor_axis_ratio"][0] == pytest.approx(0.5, abs=0.08)
    assert found["pallor_harmonic_2"][0] < 0.1


def test_strength_of_stain_drops_out():
    pale = (np.abs(Y) < 4) & (np.abs(X) < 12)
    weak, strong = cell(pale, dense=300, low=120), cell(pale, dense=3000, low=1200)
    for name, column in weak.items():
        assert column[0] == pytest.approx(strong[name][0], abs=0.01), name


def test_turning_by_quarters_changes_nothing_but_rounding():
    rng = np.random.default_rng(0)
    image = np.where(disc(RADIUS) > 0, 800 + 200 * np.hypot(Y, X - 4) / RADIUS + rng.normal(0, 30, X.shape), 0).astype(
        int
    )
    first = pallor(disc(RADIUS), image)
    for turns in (1, 2, 3):
        turned = pallor(np.rot90(disc(RADIUS), turns).copy(), np.rot90(image, turns).copy())
        for name, column in first.items():
            assert turned[name][0] == pytest.approx(column[0], rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("labels", [disc(1), np.pad(np.ones((1, 9), np.uint32), 2)])
def test_cells_too_small_have_none(labels):
    assert all(np.isnan(column).all() for column in pallor(labels, labels * 7).values())


def test_flat_cells_have_none():
    assert all(np.isnan(column).all() for column in pallor(disc(RADIUS), np.full((SIDE, SIDE), 500)).values())


def test_no_cells():
    assert all(column.shape == (0,) for column in pallor(np.zeros((9, 9), np.uint32), np.zeros((9, 9), int)).values())


def test_dark_cells_are_dense_where_values_are_low():
    labels = disc(RADIUS)
    pale = np.hypot(Y, X) < 10
    found = pallor(labels, np.where(labels > 0, np.where(pale, 200, 100), 250), dark=True, n_levels=256)
    # log10(256 / 201) over log10(256 / 101)
    assert found["pallor_contrast"][0] == pytest.approx(1 - np.log(256 / 201) / np.log(256 / 101), abs=1e-9)
    assert found["pallor_axis_ratio"][0] == pytest.approx(1, abs=0.01)
