"""Mask R-CNN as a segmenter of windows, run with small untrained networks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import fields
import networks
import numpy as np
import pytest
from asserts import assert_same_labels
from measuring import recipe_for
from scipy import ndimage

from cellseg.errors import ConfigError, ModelError
from cellseg.network_config import MaskRcnnSettings
from cellseg.segment.architecture import Architecture
from cellseg.segment.contract import LooksFirst, TileCells
from cellseg.segment.detect import MaskRcnnSegmenter, make_detector
from cellseg.types import Window

PIXELS = fields.he_look(fields.blobs((150, 200), seed=1), seed=1)
RECIPE = recipe_for(PIXELS, mpp=0.25)
WHOLE = Window(0, 150, 0, 200)
NEVER = {"rescale": "never", "min_score": 0.3}


def _segmenter(pixels: np.ndarray = PIXELS, *, mpp: float = 0.25, **settings: object) -> MaskRcnnSegmenter:
    recipe = recipe_for(pixels, mpp=mpp)
    return make_detector(networks.eager_weights(), MaskRcnnSettings(**(NEVER | settings)), recipe, device="cpu")


def _reader(pixels: np.ndarray):
    height, width = pixels.shape[:2]

    def read(window: Window) -> np.ndarray:
        assert window == window.clip(height, width), f"{window} leaves the slide"
        return pixels[window.y0 : window.y1, window.x0 : window.x1]

    return read


def _check(cells: TileCells, window: Window) -> None:
    assert cells.labels.shape == (window.height, window.width)
    assert (cells.scores >= 0.3).all() and set(cells.classes) <= {1, 2}
    for number in range(1, len(cells.scores) + 1):
        assert ndimage.label(cells.labels == number, np.ones((3, 3)))[1] == 1


@pytest.mark.parametrize("mpp", [0.1, 0.25, 0.6])
def test_cells_come_back_at_the_slide_resolution(mpp: float) -> None:
    segmenter = _segmenter(mpp=mpp)
    cells = segmenter.find_cells(_reader(PIXELS), WHOLE)
    assert len(cells.scores) > 10
    _check(cells, WHOLE)
    assert segmenter.record()["scale"] == pytest.approx(28 / (7 / mpp), rel=1e-4)


def test_windows_are_in_pixels_of_the_slide() -> None:
    segmenter = _segmenter(mpp=0.5, window_px=512, overlap_px=64)
    assert (segmenter.window_px, segmenter.overlap_px) == (256, 32)
    assert _segmenter(diameter_px=56.0).window_px == 2048
    small = _segmenter(diameter_px=28.0 * 60)
    assert small.window_px >= 3 * small.overlap_px > 10_000
    # nuclei of 3.5 px: the windows shrink with them, but not below what seams can be judged by
    coarse = _segmenter(mpp=2.0)
    assert coarse.view.scale > 5 and coarse.overlap_px == 16


def test_the_size_of_cells_comes_from_settings_then_weights() -> None:
    assert _segmenter(mpp=0.5).record()["expected_diameter_px"] == 14.0
    assert _segmenter(mpp=0.5, diameter_um=10.0).record()["expected_diameter_px"] == 20.0
    assert _segmenter(mpp=0.5, diameter_um=10.0, diameter_px=33.0).record()["expected_diameter_px"] == 33.0
    unknown = networks.eager_weights(networks.TINY.model_copy(update={"diameter_um": None}))
    with pytest.raises(ModelError, match="no size of cells"):
        make_detector(unknown, MaskRcnnSettings(), RECIPE, device="cpu")
    assert make_detector(unknown, MaskRcnnSettings(diameter_px=20), RECIPE, device="cpu").view.scale == 1.4


def test_a_window_knows_nothing_of_what_is_far_from_it() -> None:
    """Its cells are the same, byte for byte, whatever lies more than 32 px of the network around it."""
    pixels = fields.he_look(fields.blobs((300, 300), seed=4), seed=4)
    other = fields.he_look(fields.blobs((300, 300), seed=5), seed=5)
    window = Window(100, 210, 90, 200)
    for mpp in (0.25, 0.4):
        reach = int(np.ceil(33 * 0.25 / mpp)) + 3
        near = window.grow(reach).clip(300, 300)
        mixed = other.copy()
        mixed[near.y0 : near.y1, near.x0 : near.x1] = pixels[near.y0 : near.y1, near.x0 : near.x1]
        segmenter = _segmenter(pixels, mpp=mpp)
        one, two = (segmenter.find_cells(_reader(slide), window) for slide in (pixels, mixed))
        assert len(one.scores) > 10
        assert np.array_equal(one.labels, two.labels) and np.array_equal(one.scores, two.scores)


def test_same_bytes_from_any_thread() -> None:
    segmenter, read = _segmenter(), _reader(PIXELS)
    windows = [Window(0, 90, 0, 120), Window(30, 150, 40, 200), WHOLE, Window(60, 150, 0, 200)]
    alone = [segmenter.find_cells(read, window) for window in windows]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda window: segmenter.find_cells(read, window), windows))
    many = segmenter.find_many(read, windows)
    for one, two, three in zip(alone, together, many, strict=True):
        assert np.array_equal(one.labels, two.labels) and np.array_equal(one.scores, two.scores)
        assert_same_labels(one.labels, three.labels)


def test_black_and_glass_and_tiny_slides() -> None:
    for shape in ((64, 64), (1, 1), (5, 3), (31, 200)):
        window = Window(0, shape[0], 0, shape[1])
        black = np.zeros((*shape, 3), np.uint8)
        assert not _segmenter(black).find_cells(_reader(black), window).labels.any()
        gray = np.full((*shape, 3), 200, np.uint8)
        _check(_segmenter(gray).find_cells(_reader(gray), window), window)


def test_sixteen_bit_channels() -> None:
    labels = fields.blobs((120, 140), seed=2)
    light = fields.fluorescence_look(labels, dtype=np.uint16)
    pixels = np.concatenate([np.zeros_like(light), light], axis=2)
    recipe = replace(
        recipe_for(pixels, names=("FITC", "DAPI"), mpp=0.25), low=(0.0, 1000.0), high=(1.0, 50_000.0), channel="DAPI"
    )
    window = Window(0, 120, 0, 140)
    settings = MaskRcnnSettings(**NEVER)
    seen = make_detector(networks.eager_weights(), settings, recipe, device="cpu").find_cells(_reader(pixels), window)
    _check(seen, window)
    assert len(seen.scores) > 5
    empty = make_detector(networks.eager_weights(), settings, replace(recipe, channel="FITC"), device="cpu")
    assert not empty.find_cells(_reader(pixels), window).labels.any()


def test_the_limit_of_detections_is_told() -> None:
    every = _segmenter().find_cells(_reader(PIXELS), WHOLE)
    some = _segmenter(max_detections=5).find_cells(_reader(PIXELS), WHOLE)
    assert every.n_at_limit == 0 and len(every.scores) > 5
    assert len(some.scores) <= 5 and some.n_at_limit > 0


def test_the_threshold_of_masks_draws_larger_and_smaller() -> None:
    wide, narrow = (_segmenter(mask_threshold=t).find_cells(_reader(PIXELS), WHOLE).labels for t in (0.1, 0.9))
    assert (wide > 0).sum() > 1.5 * (narrow > 0).sum()


def test_the_first_look_follows_or_only_records() -> None:
    """An untrained network draws what it draws: what is tested is that the scale is what the look says, and is told."""
    for rescale in ("auto", "never"):
        segmenter = _segmenter(mpp=0.25, rescale=rescale)
        assert isinstance(segmenter, LooksFirst)
        given = segmenter.view.scale
        asked = []
        segmenter.look_first(_reader(PIXELS), lambda side, asked=asked: asked.append(side) or [WHOLE])
        record = segmenter.record()["first_look"]
        assert asked == [512] and record["looked"] and record["tried"][0]["n_cells"] > 10
        assert segmenter.view.scale == pytest.approx(given * record["factor"], rel=1e-3)
        if rescale == "never":
            assert segmenter.view.scale == given and len(record["tried"]) == 1
    again = _segmenter(mpp=0.25, rescale="auto")
    again.look_first(_reader(PIXELS), lambda side: [WHOLE])
    twice = _segmenter(mpp=0.25, rescale="auto")
    twice.look_first(_reader(PIXELS), lambda side: [WHOLE])
    assert again.record() == twice.record()


def test_the_record_names_what_was_used() -> None:
    record = _segmenter(augment="flips").record()
    assert record["weights"] == "nucleus" and record["weights_sha256"] == "0" * 64
    assert record["classes"] == ["round", "long"] and record["device"] == "cpu"
    assert record["precision"] in ("float32", "bfloat16")
    assert record["settings"]["augment"] == "flips" and record["first_look"] == {"looked": False}


def test_what_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.7 px wide"):
        _segmenter(mpp=10.0)
    with pytest.raises(ConfigError, match="mend the pixel size"):
        _segmenter(diameter_px=4000.0)
    weights = networks.eager_weights()
    for metadata in ({}, {"architecture": {"backbone": "vgg"}}, {"architecture": 3}):
        with pytest.raises(ModelError, match=r"eager\.safetensors"):
            make_detector(replace(weights, metadata=metadata), MaskRcnnSettings(), RECIPE, device="cpu")
    with pytest.raises(ModelError, match="architecture"):
        other = replace(weights, metadata={"architecture": Architecture().model_dump()})
        make_detector(other, MaskRcnnSettings(), RECIPE, device="cpu")
