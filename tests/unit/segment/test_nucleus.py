"""The shipped weights on fields of known nuclei: crowded windows, precision, scale, cuts."""

from __future__ import annotations

import fields
import numpy as np
import pytest
import torch
from measuring import recipe_for

from cellseg.errors import ModelError
from cellseg.io.weights import Weights, read_weights, shipped_weights
from cellseg.network_config import MaskRcnnSettings
from cellseg.segment.detect import make_detector
from cellseg.segment.infer import Detector, load_network
from cellseg.types import Window

pytestmark = pytest.mark.slow

SIDE = 1024
TRUTH = fields.blobs((SIDE, SIDE), mean_radius_px=11, spacing_px=34, seed=1)
PIXELS = fields.he_look(TRUTH, seed=1)
WHOLE = Window(0, SIDE, 0, SIDE)


@pytest.fixture(scope="module")
def weights() -> Weights:
    try:
        return read_weights(shipped_weights("nucleus"))
    except ModelError as error:
        pytest.skip(f"no shipped weights: {error}")


def _read(window: Window) -> np.ndarray:
    return PIXELS[window.y0 : window.y1, window.x0 : window.x1]


def _segmenter(weights: Weights, **settings: object):
    chosen = MaskRcnnSettings(**({"rescale": "never", "diameter_px": 21.0} | settings))
    return make_detector(weights, chosen, recipe_for(PIXELS, mpp=0.3), device="cpu")


def _share_found(labels: np.ndarray, truth: np.ndarray, iou: float = 0.5) -> float:
    """Share of the cells of `truth` that a cell of `labels` covers at that intersection over union."""
    pairs, both = np.unique(labels.astype(np.int64) << 32 | truth, return_counts=True)
    ours, theirs = pairs >> 32, pairs & 0xFFFFFFFF
    one, two = np.bincount(labels.ravel()), np.bincount(truth.ravel())
    good = (ours > 0) & (theirs > 0) & (both / (one[ours] + two[theirs] - both) >= iou)
    return len(np.unique(theirs[good])) / (len(np.unique(truth)) - 1)


def test_all_of_900_nuclei_in_one_window(weights: Weights) -> None:
    cells = _segmenter(weights).find_cells(_read, WHOLE)
    assert TRUTH.max() > 900 and cells.n_at_limit == 0
    assert _share_found(cells.labels, TRUTH) > 0.95
    assert len(cells.scores) < 1.05 * TRUTH.max()


def test_half_precision_finds_the_same(weights: Weights) -> None:
    """On nuclei that are there, bfloat16 and float32 find the same: 97 of 100 outlines agree at IoU 0.9."""
    found = []
    for precision in (torch.float32, torch.bfloat16):
        segmenter = _segmenter(weights)
        model = load_network(segmenter.architecture, weights)
        segmenter.detector = Detector(model, device=torch.device("cpu"), precision=precision)
        found.append(segmenter.find_cells(_read, Window(0, 512, 0, 512)))
    assert _share_found(found[1].labels, found[0].labels, iou=0.9) > 0.97


def test_windows_agree_where_they_overlap(weights: Weights) -> None:
    """Cut otherwise, what lies away from the cuts is found alike."""
    segmenter = _segmenter(weights)
    whole = segmenter.find_cells(_read, WHOLE).labels
    part = segmenter.find_cells(_read, Window(300, 812, 300, 812)).labels
    inner = np.s_[364:748, 364:748]
    cut = np.where(np.isin(whole, np.unique(whole[inner])), whole, 0)[300:812, 300:812]
    assert _share_found(part, cut, iou=0.9) > 0.98


def test_the_first_look_finds_the_scale(weights: Weights) -> None:
    """The pixel size is wrong by a factor of two to each side; the cells tell."""
    for wrong in (0.5, 2.0):
        segmenter = _segmenter(weights, diameter_px=21.0 * wrong, rescale="auto")
        segmenter.look_first(_read, lambda side: [Window(0, 400, 0, 400)])
        assert segmenter.view.scale == pytest.approx(segmenter.architecture.diameter_px / 21, rel=0.25)
        assert segmenter.record()["first_look"]["agrees"] is False
