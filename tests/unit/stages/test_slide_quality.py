"""Tissue, flags of tiles and their way to the cells, on a synthetic slide whose pen, dirt, fold and blur are known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from cellseg.config import Config
from cellseg.errors import TableError
from cellseg.preprocess_config import ArtifactSettings, PreprocessSettings, QualitySettings
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.cell_tiles import read_tiles
from cellseg.stages.preprocess import preprocess_slide
from tests.artifact_fields import (
    BLURRED,
    BORDER,
    FOLD,
    LINE,
    MPP,
    PALE,
    PENS,
    SIDE,
    SPECKS,
    TISSUE,
    clean,
    covers,
    soiled,
)
from tests.cell_tables import recipe as plain_recipe
from tests.fields import EOSIN, HEMATOXYLIN

N_TILES = SIDE // 128


def _preprocess(pixels: np.ndarray, folder: Path, **given) -> Path:
    folder.mkdir(exist_ok=True)
    image = folder / "slide.tif"
    tifffile.imwrite(image, pixels, photometric="rgb")
    stain = given.pop("stain", "he")
    preprocess_slide(image, folder / "out", stain=stain, mpp=MPP, **given)
    return folder / "out"


def _tiles(folder: Path) -> pa.Table:
    return pq.read_table(folder / "tiles.parquet")


def _flagged(folder: Path, flag: str) -> np.ndarray:
    words = _tiles(folder)["flags"].to_pylist()
    return np.array([flag in word.split(";") for word in words]).reshape(N_TILES, N_TILES)


def _mask(folder: Path) -> np.ndarray:
    return cv2.imread(str(folder / "tissue.png"), cv2.IMREAD_GRAYSCALE) > 0


@pytest.fixture(scope="module")
def dirty(tmp_path_factory) -> Path:
    return _preprocess(soiled(), tmp_path_factory.mktemp("soiled"))


@pytest.fixture(scope="module")
def spotless(tmp_path_factory) -> Path:
    return _preprocess(clean(), tmp_path_factory.mktemp("clean"))


class TestTissue:
    def test_tissue_pale_tissue_and_nothing_else(self, dirty: Path) -> None:
        mask = _mask(dirty)
        blocks = mask.shape
        wanted = covers(TISSUE, blocks, 16) + covers(PALE, blocks, 16)
        assert mask[wanted == 1].all()
        # one block around tissue belongs to it
        near = cv2.dilate((wanted > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert not mask[~near].any()

    def test_a_clean_slide_has_the_mask_that_density_alone_gives(self, spotless: Path, tmp_path: Path) -> None:
        off = PreprocessSettings(artifacts=ArtifactSettings(enabled=False))
        plain = _preprocess(clean(), tmp_path, settings=off)
        assert np.array_equal(_mask(spotless), _mask(plain))
        assert _mask(plain).any()

    def test_lone_nuclei_are_no_dirt(self, tmp_path: Path) -> None:
        pixels = np.full((512, 512, 3), 245, np.uint8)
        y, x = np.mgrid[:512, :512]
        for row, column in ((100, 100), (300, 340)):
            pixels[np.hypot(y - row, x - column) < 5] = (60, 25, 80)
        pixels[np.hypot(y - 200, x - 420) < 5] = (55, 56, 54)
        mask = _mask(_preprocess(pixels, tmp_path))
        assert mask[100 // 16, 100 // 16]
        assert mask[300 // 16, 340 // 16]
        assert not mask[200 // 16, 420 // 16]

    def test_specks_as_large_as_allowed_are_dirt(self, tmp_path: Path) -> None:
        pixels = np.full((640, 640, 3), 245, np.uint8)
        pixels[160:288, 160:288] = (120, 122, 121)
        for most, kept in ((128 * 128, False), (128 * 128 - 1, True)):
            chosen = PreprocessSettings(artifacts=ArtifactSettings(dirt_max_area_um2=most))
            assert _mask(_preprocess(pixels, tmp_path, settings=chosen))[12, 12] == kept


class TestFlags:
    def test_a_clean_slide_has_none(self, spotless: Path) -> None:
        assert set(_tiles(spotless)["flags"].to_pylist()) == {""}
        quality = json.loads((spotless / "quality.json").read_text())
        assert quality["assessable"]
        assert quality["unassessable_fraction"] == 0
        assert set(quality["flagged_fractions"].values()) == {0.0}

    @pytest.mark.parametrize("colour", PENS)
    def test_pen_of_each_colour(self, dirty: Path, colour: str) -> None:
        share = covers(PENS[colour][1], (N_TILES, N_TILES), 128)
        assert share.max() > 0.5
        assert _flagged(dirty, "pen")[share > 0.05].all()

    def test_pen_is_where_strokes_and_their_rims_are_alone(self, dirty: Path) -> None:
        grown = [(slice(y.start - 32, y.stop + 32), slice(x.start - 32, x.stop + 32)) for _, (y, x) in PENS.values()]
        near = sum(covers(box, (N_TILES, N_TILES), 128) for box in grown) > 0
        assert not _flagged(dirty, "pen")[~near].any()

    def test_fold_blur_edge_and_dirt_are_where_they_were_planted_alone(self, dirty: Path) -> None:
        shape = (N_TILES, N_TILES)
        fold, blurred = covers(FOLD, shape, 128), covers(BLURRED, shape, 128)
        assert np.array_equal(_flagged(dirty, "fold"), fold > 0.1)
        assert np.array_equal(_flagged(dirty, "out_of_focus"), blurred > 0.5)
        edges = covers(BORDER, shape, 128) + covers(LINE, shape, 128) > 0
        assert np.array_equal(_flagged(dirty, "edge"), edges)
        specks = np.zeros(shape, bool)
        for row, column in SPECKS:
            specks[row // 128, column // 128] = True
        dirt = _tiles(dirty)["dirt_fraction"].to_numpy().reshape(shape)
        # a speck near a tile's border is in two tiles
        assert (dirt[specks] > 0.02).all()
        assert np.count_nonzero(dirt) <= 2 * len(SPECKS)

    @pytest.mark.parametrize("dye", [EOSIN, HEMATOXYLIN], ids=["eosin", "hematoxylin"])
    def test_more_of_one_dye_is_no_fold(self, tmp_path: Path, dye: tuple[float, float, float]) -> None:
        pixels = clean()
        pixels[FOLD] = np.round(pixels[FOLD] * 10.0 ** (-0.2 * np.array(dye))).astype(np.uint8)
        assert not _flagged(_preprocess(pixels, tmp_path), "fold").any()

    def test_only_flags_that_the_settings_name_make_a_tile_unassessable(self, dirty: Path) -> None:
        table = _tiles(dirty)
        for flags, by in zip(table["flags"].to_pylist(), table["unassessable_by"].to_pylist(), strict=True):
            assert by == ";".join(flag for flag in flags.split(";") if flag in ("out_of_focus", "pen", "fold"))

    def test_the_picture_shows_flags_and_focus_side_by_side(self, dirty: Path) -> None:
        picture = cv2.imread(str(dirty / "quality.png"))
        assert picture.shape[1] == 2 * 800 + 12
        assert picture.shape[0] > 800
        pen = picture[1230 * 800 // SIDE, 400 * 800 // SIDE].astype(int)
        tissue = picture[1000 * 800 // SIDE, 400 * 800 // SIDE].astype(int)
        assert pen[2] - pen[0] > tissue[2] - tissue[0] + 50

    def test_a_small_field_has_no_rest_of_the_slide_to_be_compared_with(self, tmp_path: Path) -> None:
        field = soiled()[192:512, 640:1024]
        folder = _preprocess(np.ascontiguousarray(field), tmp_path)
        assert set(_tiles(folder)["flags"].to_pylist()) == {""}

    def test_an_absolute_bound_of_focus_holds_on_any_slide(self, tmp_path: Path) -> None:
        field = np.ascontiguousarray(soiled()[192:512, 640:1024])
        chosen = PreprocessSettings(quality=QualitySettings(min_tile_focus=0.2))
        words = _tiles(_preprocess(field, tmp_path, settings=chosen))["flags"].to_pylist()
        assert words[3] == "out_of_focus"
        assert "" in words

    def test_giemsa_keeps_its_blue_and_loses_green_and_black_pen_alone(self, tmp_path: Path) -> None:
        pixels = np.full((768, 768, 3), (235, 232, 240), np.uint8)
        pixels[64:320, 64:320] = (70, 110, 190)
        pixels[64:320, 448:704] = (30, 140, 90)
        pixels[448:704, 448:704] = (35, 32, 38)
        mask = _mask(_preprocess(pixels, tmp_path, stain="giemsa"))
        assert mask[12, 12]
        assert mask[:3].all()
        assert not mask[12, 36]
        assert not mask[36, 36]

    @pytest.mark.parametrize("stain", ["he", "giemsa"])
    def test_a_tinted_ground_where_no_glass_was_seen_is_no_pen(self, tmp_path: Path, stain: str) -> None:
        pixels = np.full((256, 256, 3), (165, 190, 170), np.uint8)
        pixels[100:130, 100:130] = (120, 100, 140)
        folder = _preprocess(pixels, tmp_path, stain=stain)
        assert any("no empty glass" in note for note in json.loads((folder / "recipe.json").read_text())["notes"])
        assert _mask(folder).all()
        assert set(_tiles(folder)["flags"].to_pylist()) == {""}

    @pytest.mark.parametrize("stain", ["fluorescence", "brightfield"])
    def test_stains_without_a_known_hue_keep_everything(self, tmp_path: Path, stain: str) -> None:
        folder = _preprocess(soiled(), tmp_path, stain=stain)
        assert _mask(folder).all()
        assert set(_tiles(folder)["flags"].to_pylist()) == {""}


def test_same_bytes_for_every_cut(dirty: Path, tmp_path: Path) -> None:
    for tile_px, workers in ((200, 1), (333, 2)):
        other = _preprocess(soiled(), tmp_path, tile_px=tile_px, workers=workers)
        for name in ("tissue.png", "tiles.parquet", "quality.json", "quality.png", "recipe.json"):
            assert (other / name).read_bytes() == (dirty / name).read_bytes()


class TestSlide:
    def test_with_more_flagged_than_allowed_it_is_unassessable(self, tmp_path: Path) -> None:
        for most, fine in ((0.2, False), (0.5, True)):
            chosen = PreprocessSettings(quality=QualitySettings(max_flagged_fraction=most))
            quality = json.loads((_preprocess(soiled(), tmp_path, settings=chosen) / "quality.json").read_text())
            assert quality["assessable"] == fine
            assert 0.2 < quality["unassessable_fraction"] < 0.5
            assert fine or "of the tissue lies in tiles with flags (out_of_focus, pen, fold" in quality["reasons"][0]

    def test_all_under_pen_is_unassessable(self, tmp_path: Path) -> None:
        pixels = np.full((640, 640, 3), 245, np.uint8)
        pixels[64:576, 64:576] = PENS["green"][0]
        quality = json.loads((_preprocess(pixels, tmp_path) / "quality.json").read_text())
        assert not quality["assessable"]
        assert quality["tissue_fraction"] == 0


class TestTable:
    def test_of_another_slide_or_no_grid_is_refused(self, dirty: Path, tmp_path: Path) -> None:
        path = dirty / "tiles.parquet"
        with pytest.raises(TableError, match=f"slide of {SIDE} x {SIDE} px .* expected those of 640 x 800"):
            read_tiles(path, plain_recipe(height_px=640, width_px=800))
        odd = pq.read_table(path)
        odd = odd.set_column(0, odd.schema.field(0), pa.array(odd["y0_px"].to_numpy() + 1))
        pq.write_table(odd, tmp_path / "odd.parquet")
        with pytest.raises(TableError, match="run `cellseg preprocess` again"):
            read_tiles(tmp_path / "odd.parquet", plain_recipe(height_px=SIDE, width_px=SIDE))

    def test_a_cell_has_what_is_said_of_the_tile_that_holds_its_centroid(self, dirty: Path) -> None:
        tiles = read_tiles(dirty / "tiles.parquet", plain_recipe(height_px=SIDE, width_px=SIDE))
        table = pq.read_table(dirty / "tiles.parquet")
        rows = np.random.default_rng(0).permutation(table.num_rows)[:60]
        for corner, inward in (("0", -0.5), ("1", -0.51)):
            at = np.stack([table[f"{axis}{corner}_px"].to_numpy()[rows] + inward for axis in "yx"], axis=1)
            found = tiles.columns_of(at)
            assert found["tile_flags"].tolist() == table["flags"].take(rows).to_pylist()
            assert found["tile_unassessable_by"].tolist() == table["unassessable_by"].take(rows).to_pylist()
            assert np.array_equal(found["tile_focus_per_um"], table["focus_per_um"].to_numpy()[rows], equal_nan=True)

    def test_without_one_nothing_is_said(self) -> None:
        found = read_tiles(None, plain_recipe()).columns_of(np.array([[3.0, 700.0], [0.0, 0.0]]))
        assert found["tile_flags"].tolist() == found["tile_unassessable_by"].tolist() == ["", ""]
        assert np.isnan(found["tile_focus_per_um"]).all()


def test_cells_of_flagged_tiles_are_excluded_and_say_why(tmp_path: Path) -> None:
    image = tmp_path / "slide.tif"
    tifffile.imwrite(image, np.ascontiguousarray(soiled()[:1152, :1152]), photometric="rgb")
    settings = Config(segmentation={"threshold": {"min_area_um2": 4.0}}, input={"pixel_size": {"action": "note"}})
    assert analyze_images([image], tmp_path / "run", acquisition=Acquisition("he", MPP), config=settings) == []
    cells = pq.read_table(tmp_path / "run/samples/slide/cells.parquet").to_pandas()
    by, flags = cells["tile_unassessable_by"].astype(str), cells["tile_flags"].astype(str)
    y, x = (np.floor(cells[f"centroid_{axis}_px"] + 0.5) // 128 for axis in "yx")
    assert len(cells) > 1000
    # no cell is found where all is blurred away
    assert set(by) == {"", "fold"}
    assert (flags == by).all()
    assert ((by == "fold") == ((y == 6) & (x >= 2) & (x < 8))).all()
    hit = cells[by == "fold"]
    assert (hit["status"] == "excluded").all()
    assert hit["reasons"].str.contains("in a tile that cannot be judged (fold)", regex=False).all()
    assert not hit["assessable"].any()
    assert not cells["reasons"][by == ""].str.contains("in a tile").any()
    assert (cells["status"][by == ""] != "excluded").sum() > 500
