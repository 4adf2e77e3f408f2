"""Simulated tissue holds what it says: the population's sizes, the share of abnormal nuclei, the stain's look."""

import numpy as np
import pytest
from asserts import assert_canonical_labels

from cellseg.simulate import ABNORMAL, HEALTHY, Tissue, simulate_tissue


@pytest.fixture(scope="module")
def mixed():
    return simulate_tissue(640, 512, tissue=Tissue(abnormal_share=0.25), seed=5)


def areas_um2(simulated, mpp=0.5):
    return np.bincount(simulated.labels.ravel(), minlength=simulated.abnormal.size + 1)[1:] * mpp**2


def test_labels_are_canonical_and_fit_the_truth(mixed):
    assert_canonical_labels(mixed.labels)
    assert mixed.labels.shape == mixed.pixels.shape[:2] == (640, 512)
    assert mixed.labels.max() == mixed.abnormal.size == len(mixed.centers_px)


def test_density_and_share_are_those_asked_for(mixed):
    wanted = 3400 * 640 * 512 * 0.25e-6
    # placed nuclei reach the target; a few at the border show no pixel
    assert mixed.abnormal.size == pytest.approx(wanted, rel=0.03)
    assert mixed.abnormal.mean() == pytest.approx(0.25, abs=0.02)


def test_sizes_follow_the_populations(mixed):
    y, x = mixed.centers_px.T
    whole = (y > 20) & (y < 620) & (x > 20) & (x < 492)
    areas = areas_um2(mixed)
    # rasterised at about 160 px a nucleus, less what neighbours cut off: a tenth either way
    assert np.median(areas[whole & ~mixed.abnormal]) == pytest.approx(HEALTHY.area_um2, rel=0.1)
    assert np.median(areas[whole & mixed.abnormal]) == pytest.approx(ABNORMAL.area_um2, rel=0.2)
    # and they overlap, so that area alone does not decide
    assert np.quantile(areas[mixed.abnormal], 0.1) < np.quantile(areas[~mixed.abnormal], 0.95)


def test_healthy_tissue_has_no_abnormal_nucleus():
    assert not simulate_tissue(256, 256, tissue=Tissue(), seed=1).abnormal.any()


def test_nuclei_are_bluer_and_darker_than_their_surroundings(mixed):
    inside, outside = mixed.pixels[mixed.labels > 0].mean(0), mixed.pixels[mixed.labels == 0].mean(0)
    assert (inside < outside - 30).all()
    assert inside[0] < inside[2]


def test_a_seed_decides_every_byte():
    tissue = Tissue(abnormal_share=0.2)
    first, again, other = (simulate_tissue(128, 128, tissue=tissue, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_fields_of_one_border_seed_continue_into_one_another():
    fields = [simulate_tissue(512, 512, tissue=Tissue(), seed=seed, border_seed=9) for seed in (1, 2)]
    first, second = (field.pixels.astype(float) for field in fields)
    inner = first[:, 250:262]
    within = np.abs(np.diff(inner, axis=1)).mean()
    across = np.abs(first[:, -1] - second[:, 0]).mean()
    # a seam would show as a step; neighbouring columns of one field differ by texture and noise
    assert across < 1.5 * within
    assert not np.array_equal(fields[0].labels, fields[1].labels)


def test_finer_pixels_show_the_same_sizes():
    fine = simulate_tissue(512, 512, tissue=Tissue(mpp=0.25), seed=2)
    assert np.median(areas_um2(fine, 0.25)) == pytest.approx(HEALTHY.area_um2, rel=0.15)
