"""Segmentation and preprocessing give the same bytes however the slide is cut and however many work on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from asserts import assert_canonical_labels
from fields import bricks, ellipses, fluorescence_look, giant, he_field, he_look, raster_ids, seam_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellseg.config import Config, InputSettings, SegmentationSettings, ThresholdSettings
from cellseg.input_config import PixelSizeSettings
from cellseg.io.labels import open_labels
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess_config import PreprocessSettings
from cellseg.segment.basins import Joining, find_basins
from cellseg.segment.seam import BasinJoiner
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.segment import segment_slide
from cellseg.tiles import TileGrid
from cellseg.types import Window

MPP = 0.5
CUTS = ((64, 1), (64, 3), (100, 2), (256, 2), (2048, 1))
# everything is a cell, whatever its size, so that giants and clumps are in the label image, and whatever the contrast:
# fields full of cells of many strengths have little
ANY_SIZE = {"min_area_um2": 0.0, "max_area_um2": 1e6, "min_contrast": 0.0}
ANY_CELLS = InputSettings(pixel_size=PixelSizeSettings(action="note"))
STRICT = {"min_area_um2": 0.0, "max_area_um2": 1e6}


def _clump() -> np.ndarray:
    """Discs that all overlap their neighbours: one piece of foreground over many tiles."""
    y, x = np.mgrid[8:296:13, 8:330:13].reshape(2, -1)
    return ellipses((300, 330), np.stack([y, x], axis=1).astype(float), np.full((y.size, 2), 7.6))


FIELDS = {
    "seams": lambda: seam_cells(64, n_tiles=5),
    "giant": lambda: giant((300, 330), share=0.9),
    "clump": _clump,
    "wall": lambda: bricks((290, 310), height_px=18, width_px=26, mortar_px=2),
    "border": lambda: he_field(shape=(290, 310), seed=3).labels,
}


def _write(path: Path, pixels: np.ndarray) -> Path:
    tifffile.imwrite(path, pixels.squeeze(), photometric="rgb" if pixels.shape[2] == 3 else "minisblack")
    return path


def _segment(image: Path, out: Path, recipe: Recipe, threshold: dict, *, tile_px: int = 2048, workers: int = 1):
    """The bytes of the label image and of its record."""
    chosen = SegmentationSettings(threshold=ThresholdSettings(**threshold), by_stain={})
    labels = out / f"{tile_px}_{workers}" / "labels.ome.tif"
    segment_slide(image, labels, recipe=recipe, settings=chosen, inputs=ANY_CELLS, tile_px=tile_px, workers=workers)
    return labels.read_bytes(), labels.with_name("labels.json").read_bytes()


def _labels(path: Path) -> np.ndarray:
    with open_labels(path) as labels:
        return labels.read(Window(0, labels.height, 0, labels.width))


def _recipe(image: Path, out: Path, stain: str = "fluorescence") -> Recipe:
    return preprocess_slide(image, out / "preprocess", stain=stain, mpp=MPP)


def _same_for_every_cut(image: Path, out: Path, recipe: Recipe, threshold: dict) -> np.ndarray:
    first = _segment(image, out, recipe, threshold, tile_px=CUTS[0][0], workers=CUTS[0][1])
    for tile_px, workers in CUTS[1:]:
        other = _segment(image, out, recipe, threshold, tile_px=tile_px, workers=workers)
        assert other == first, f"tiles of {tile_px} px, {workers} workers"
    labels = _labels(out / "2048_1" / "labels.ome.tif")
    assert_canonical_labels(labels)
    return labels


@pytest.mark.parametrize("method", ["otsu", "local", "multiotsu", "fixed"])
@pytest.mark.parametrize("field", ["seams", "clump", "border"])
def test_method_gives_the_same_bytes_for_every_cut(field: str, method: str, tmp_path: Path) -> None:
    truth = FIELDS[field]()
    image = _write(tmp_path / "a.tif", fluorescence_look(truth))
    threshold = ANY_SIZE | {"method": method, "value": 50.0 if method == "fixed" else None}
    labels = _same_for_every_cut(image, tmp_path, _recipe(image, tmp_path), threshold)
    assert labels.any()


@pytest.mark.parametrize("split", ["distance", "intensity", "mixed", "none"])
@pytest.mark.parametrize("field", FIELDS)
def test_split_gives_the_same_bytes_for_every_cut(field: str, split: str, tmp_path: Path) -> None:
    image = _write(tmp_path / "a.tif", he_look(FIELDS[field]()))
    labels = _same_for_every_cut(image, tmp_path, _recipe(image, tmp_path, "he"), ANY_SIZE | {"split": split})
    assert labels.any()


@pytest.mark.parametrize("field", ["seams", "giant"])
def test_cells_over_seams_are_whole(field: str, tmp_path: Path) -> None:
    truth = FIELDS[field]()
    image = _write(tmp_path / "a.tif", fluorescence_look(truth, noise=0.0))
    _segment(image, tmp_path, _recipe(image, tmp_path), ANY_SIZE, tile_px=64)
    labels = _labels(tmp_path / "64_1" / "labels.ome.tif")
    assert labels.max() == truth.max()
    for cell in range(1, int(truth.max()) + 1):
        found = np.bincount(labels[truth == cell]).argmax()
        own, other = truth == cell, labels == found
        assert found > 0
        # the blurred edge may fall a pixel in or out: (5 / 6)**2 of the smallest discs, of radius 5
        assert (own & other).sum() >= 0.69 * (own | other).sum()


def test_wall_of_touching_cells_is_parted_by_distance(tmp_path: Path) -> None:
    truth = _clump()
    image = _write(tmp_path / "a.tif", fluorescence_look((truth > 0).astype(np.uint32), noise=0.0))
    recipe = _recipe(image, tmp_path)
    _segment(image, tmp_path, recipe, ANY_SIZE | {"split": "none"}, tile_px=64)
    assert _labels(tmp_path / "64_1" / "labels.ome.tif").max() == 1
    _segment(image, tmp_path, recipe, ANY_SIZE | {"split": "distance", "max_hole_um": 0.0}, tile_px=64)
    parted = _labels(tmp_path / "64_1" / "labels.ome.tif").max()
    # a lattice of overlapping discs, cut by the border on two sides
    assert 0.9 * truth.max() <= parted <= 1.1 * truth.max()


@given(seed=st.integers(0, 10_000), tile_px=st.integers(1, 40), depth=st.integers(1, 60), permille=st.integers(0, 400))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_joined_tiles_are_the_whole(seed: int, tile_px: int, depth: int, permille: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 45, 2))
    wave = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0, 3))
    scaled = (wave - wave.min()) / max(np.ptp(wave), 1e-9)
    # few levels, hence plateaus and ties, in half of the cases
    height = np.where(scaled > rng.uniform(0, 0.8), 1 + scaled * rng.choice([4, 300]), 0).astype(np.uint16)
    joining = Joining(depth, permille)
    assert np.array_equal(_by_tiles(height, tile_px, joining), _by_tiles(height, 100, joining))


def _by_tiles(height: np.ndarray, tile_px: int, joining: Joining) -> np.ndarray:
    rows, columns = height.shape
    joiner = BasinJoiner(width_px=columns, joining=joining)
    clusters = np.zeros(height.shape, np.int64)
    for tile in TileGrid(rows, columns, tile_px, context_px=1).tiles():
        core, read = tile.core, tile.read
        inner = core.inside(read)
        basins = find_basins(
            np.ascontiguousarray(height[read.y0 : read.y1, read.x0 : read.x1]),
            (inner[0].start, inner[0].stop, inner[1].start, inner[1].stop),
            origin=core.y0 * columns + core.x0, stride=columns, joining=joining,
        )  # fmt: skip
        offset = joiner.add(core, basins)
        clusters[core.y0 : core.y1, core.x0 : core.x1] = np.where(
            basins.labels > 0, basins.labels.astype(np.int64) + offset, 0
        )
    return raster_ids(joiner.finish().cell_of[clusters] + 1)


@pytest.mark.parametrize("stain", ["he", "fluorescence", "brightfield"])
@pytest.mark.parametrize("level", [0, 90, 255])
def test_one_level_has_no_cells(stain: str, level: int, tmp_path: Path) -> None:
    image = _write(tmp_path / "a.tif", np.full((90, 100, 3), level, np.uint8))
    _, record = _segment(image, tmp_path, _recipe(image, tmp_path, stain), STRICT)
    assert b'"n_cells": 0' in record
    assert not _labels(tmp_path / "2048_1" / "labels.ome.tif").any()


@pytest.mark.parametrize("stain", ["he", "fluorescence", "brightfield"])
@pytest.mark.parametrize("method", ["otsu", "li", "local", "multiotsu"])
def test_pure_noise_has_no_cells(stain: str, method: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(128, 12, (200, 220, 3 if stain == "he" else 1))
    image = _write(tmp_path / "a.tif", np.clip(np.rint(noise), 0, 255).astype(np.uint8))
    _, record = _segment(image, tmp_path, _recipe(image, tmp_path, stain), STRICT | {"method": method})
    assert b'"n_cells": 0' in record
    assert b'"contrast_enough": false' in record


def test_more_cells_than_16_bits_hold(tmp_path: Path) -> None:
    side = 3 * 260
    pixels = np.zeros((side, side), np.uint8)
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        pixels[y::3, x::3] = 200
    image = _write(tmp_path / "a.tif", pixels[..., None])
    plain = ANY_SIZE | {"method": "fixed", "value": 100.0, "smooth_um": 0.0, "open_um": 0.0, "split": "none"}
    whole = _segment(image, tmp_path, _recipe(image, tmp_path), plain)
    assert _segment(image, tmp_path, _recipe(image, tmp_path), plain, tile_px=100, workers=2) == whole
    labels = _labels(tmp_path / "2048_1" / "labels.ome.tif")
    assert labels.max() == 260 * 260 > 65_535
    assert labels.dtype == np.uint32
    # in raster order, two by two pixels each
    assert np.array_equal(labels[::3, ::3].ravel(), np.arange(1, 260 * 260 + 1))
    assert np.array_equal(labels[1::3, 1::3], labels[::3, ::3])


@pytest.mark.parametrize("stain_method", ["ruifrok", "macenko"])
def test_preprocessing_gives_the_same_bytes_for_every_cut(stain_method: str, tmp_path: Path) -> None:
    pixels = he_field(shape=(290, 310), seed=1).pixels
    pixels[:, 200:] = 243  # glass
    image = _write(tmp_path / "a.tif", pixels)
    written = []
    for tile_px, workers in CUTS:
        out = tmp_path / f"{tile_px}_{workers}"
        # a low bound, so that there is enough to estimate from
        chosen = PreprocessSettings(stain_method=stain_method, macenko_min_od=0.01)
        recipe = preprocess_slide(image, out, stain="he", mpp=MPP, settings=chosen, tile_px=tile_px, workers=workers)
        assert not any("Macenko" in note for note in recipe.notes)
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert set(written[0]) == {
        "recipe.json", "quality.json", "tissue.png", "thumbnail.png", "tiles.parquet", "quality.png",
    }  # fmt: skip
    for other in written[1:]:
        assert other == written[0]


TURNS = {
    "quarter": lambda a: np.rot90(a),
    "half": lambda a: np.rot90(a, 2),
    "left to right": lambda a: a[:, ::-1],
    "upside down": lambda a: a[::-1],
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_image_has_the_same_cells(turn: str, tmp_path: Path) -> None:
    pixels = fluorescence_look(he_field(shape=(240, 280), seed=2).labels)
    upright = _turned(pixels, tmp_path / "a", lambda a: a)
    turned = _turned(pixels, tmp_path / "b", TURNS[turn])
    assert turned.max() == upright.max() > 50
    back = TURNS[turn](upright)
    # ties between equal heights go to the smaller raster index, which turns with the image: a few pixels of a seam
    # change sides; smoothing first rows then columns may round a pixel at the threshold the other way
    assert ((back > 0) != (turned > 0)).sum() <= 0.002 * (back > 0).sum()
    areas = [np.sort(np.bincount(labels.ravel())[1:]) for labels in (back, turned)]
    assert np.abs(areas[0] - areas[1]).max() <= 0.05 * areas[0].max()


def _turned(pixels: np.ndarray, folder: Path, turn) -> np.ndarray:
    folder.mkdir()
    image = _write(folder / "a.tif", np.ascontiguousarray(turn(pixels)))
    _segment(image, folder, _recipe(image, folder), ANY_SIZE)
    return _labels(folder / "2048_1" / "labels.ome.tif")


def test_two_whole_runs_give_the_same_bytes(tmp_path: Path) -> None:
    image = _write(tmp_path / "a.tif", he_field(shape=(150, 160), seed=4).pixels)
    runs = []
    for name, tile_px, workers in (("first", 2048, 1), ("second", 64, 3)):
        config = Config(input=InputSettings(), compute={"tile_px": tile_px})
        failed = analyze_images(
            [image], tmp_path / name, acquisition=Acquisition("he", MPP), config=config, workers=workers
        )
        assert failed == []
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        runs.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths})
    assert len(runs[0]) > 15
    assert list(runs[0]) == list(runs[1])
    # slides.tsv names the folder of the results
    differing = [name for name in runs[0] if runs[0][name] != runs[1][name]]
    assert differing in ([], ["slides.tsv"])


def test_foreground_that_runs_from_tissue_onto_glass(tmp_path: Path) -> None:
    """A fibre crosses from stained tissue far onto glass: where it ends must not depend on tiles."""
    pixels = np.full((700, 700, 3), 245, np.uint8)
    pixels[:, :200] = (225, 170, 205)
    pixels[100:600:60, 40:80] = (90, 60, 140)
    pixels[340:346, 60:690] = (90, 60, 140)
    image = _write(tmp_path / "fibre.tif", pixels)
    chosen = PreprocessSettings(tissue_min_od=0.1)
    recipe = preprocess_slide(image, tmp_path / "recipe", stain="he", mpp=MPP, settings=chosen)
    found = []
    for tile_px in (64, 128, 2048):
        labels = tmp_path / f"{tile_px}.ome.tif"
        settings = SegmentationSettings(threshold=ThresholdSettings(**ANY_SIZE))
        tissue = tmp_path / "recipe" / "tissue.png"
        segment_slide(image, labels, recipe=recipe, tissue=tissue, settings=settings, tile_px=tile_px)
        found.append(labels.read_bytes())
    assert found[0] == found[1] == found[2]
    with open_labels(tmp_path / "2048.ome.tif") as written:
        whole = written.read(Window(0, 700, 0, 700))
    assert whole[343, 100] > 0
    assert whole[343, 600] == 0
