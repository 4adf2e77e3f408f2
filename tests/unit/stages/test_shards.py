"""Shards of a slide's segmentation give the same bytes as one job, and what does not belong together is refused."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fields import he_field, he_look, seam_cells
from networks import eager_weights

from cellseg.config import InputSettings, MaskRcnnSettings, SegmentationSettings, ThresholdSettings
from cellseg.errors import CellsegError, ConfigError, TableError
from cellseg.input_config import PixelSizeSettings
from cellseg.io.shard import read_header
from cellseg.io.slide import open_slide
from cellseg.preprocess.recipe import Recipe
from cellseg.stages import segment as stage
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.segment import segment_slide
from cellseg.stages.shard_tiles import ShardOf
from cellseg.stages.shards import segment_shard

MPP = 0.5
ANY_SIZE = {"min_area_um2": 0.0, "max_area_um2": 1e6, "min_contrast": 0.0}
NOTE = InputSettings(pixel_size=PixelSizeSettings(action="note"))


def threshold_settings(**changed) -> SegmentationSettings:
    return SegmentationSettings(threshold=ThresholdSettings(**(ANY_SIZE | changed)), by_stain={})


@dataclasses.dataclass
class Case:
    """An image on disk, what it is segmented with, and the files of one job."""

    folder: Path
    image: Path
    recipe: Recipe
    settings: SegmentationSettings

    @property
    def tissue(self) -> Path:
        return self.folder / "preprocess" / "tissue.png"

    def segment(self, name: str, **options) -> dict[str, bytes]:
        labels = self.folder / name / "labels.ome.tif"
        given = {"recipe": self.recipe, "settings": self.settings, "inputs": NOTE, "tissue": self.tissue} | options
        segment_slide(self.image, labels, **given)
        return {path.name: path.read_bytes() for path in sorted(labels.parent.iterdir())}

    def shard(self, number: int, n_shards: int, **options) -> Path:
        only = options.get("only", "find")
        out = self.folder / f"{only}-{number}-of-{n_shards}.arrow"
        given = {"recipe": self.recipe, "settings": self.settings, "tissue": self.tissue} | options
        segment_shard(self.image, out, shard=ShardOf(number, n_shards), **given)
        return out

    def shards(self, n_shards: int, **options) -> list[Path]:
        return [self.shard(number, n_shards, **options) for number in range(1, n_shards + 1)]


def case_of(folder: Path, pixels: np.ndarray, settings: SegmentationSettings) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "a.tif"
    tifffile.imwrite(image, pixels, photometric="rgb")
    recipe = preprocess_slide(image, folder / "preprocess", stain="he", mpp=MPP)
    return Case(folder, image, recipe, settings)


@pytest.fixture(scope="module")
def seams(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Cells over the seams of tiles of 64 px, half of the slide glass."""
    pixels = he_look(seam_cells(64, n_tiles=5))
    pixels[:, 200:] = 243
    return case_of(tmp_path_factory.mktemp("seams"), pixels, threshold_settings())


@pytest.fixture(scope="module")
def one_job(seams: Case) -> dict[str, bytes]:
    return seams.segment("one_job")


@pytest.mark.parametrize(("n_shards", "tile_px"), [(1, 100), (2, 64), (3, 100), (7, 64), (40, 64)])
def test_threshold_in_shards_is_as_one_job(n_shards: int, tile_px: int, seams: Case, one_job: dict[str, bytes]) -> None:
    counts = seams.shards(n_shards, only="count", tile_px=tile_px)
    found = seams.shards(n_shards, counts=counts[::-1], tile_px=tile_px, workers=1 + n_shards % 2)
    assert seams.segment(f"{n_shards}", shards=found[::-1], tile_px=2048) == one_job


def test_there_are_cells_over_seams_of_shards(one_job: dict[str, bytes]) -> None:
    assert b'"n_cells": 0' not in one_job["labels.json"]


def test_gathering_looks_at_no_pixels(seams: Case, one_job: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    found = seams.shards(2, tile_px=64)

    class Blind:
        def __init__(self, slide: object) -> None:
            self._slide = slide

        def __getattr__(self, name: str) -> object:
            if name == "read":
                raise AssertionError("pixels are looked at")
            return getattr(self._slide, name)

        def __enter__(self) -> Blind:
            return self

        def __exit__(self, *_: object) -> None:
            self._slide.close()

    monkeypatch.setattr(stage, "open_slide", lambda *given, **named: Blind(open_slide(*given, **named)))
    assert seams.segment("blind", shards=found) == one_job


@pytest.mark.parametrize("method", ["local", "fixed"])
@pytest.mark.parametrize("without_cells", [False, True])
def test_every_threshold_in_shards_is_as_one_job(method: str, without_cells: bool, seams: Case) -> None:
    contrast = {"min_contrast": 1e6} if without_cells else {}
    settings = threshold_settings(method=method, value=120.0 if method == "fixed" else None, **contrast)
    case = dataclasses.replace(seams, settings=settings)
    counts = case.shards(2, only="count", tile_px=128)
    assert case.segment("b", shards=case.shards(3, counts=counts, tile_px=64)) == case.segment("a")


def test_slide_that_is_not_assessable_in_shards(seams: Case) -> None:
    case = dataclasses.replace(seams, recipe=dataclasses.replace(seams.recipe, assessable=False))
    counts = case.shards(2, only="count")
    assert case.segment("b", shards=case.shards(2, counts=counts)) == case.segment("a")


def test_slide_that_is_looked_at_again_is_as_one_job(tmp_path: Path) -> None:
    """The cells ask for another pixel size: the shards, made at the first, do not bear on the second look."""
    case = case_of(tmp_path, he_field(shape=(400, 400), seed=3).pixels, SegmentationSettings())
    case = dataclasses.replace(case, recipe=preprocess_slide(case.image, tmp_path / "preprocess", stain="he", mpp=2.0))
    again = InputSettings(pixel_size=PixelSizeSettings(action="rescale"))
    alone = case.segment("a", inputs=again)
    assert b'"decision": "rescale"' in alone["labels.json"]
    assert case.segment("b", inputs=again, shards=case.shards(2, tile_px=128)) == alone


@pytest.mark.slow
@pytest.mark.parametrize("n_shards", [1, 2, 7])
def test_shipped_network_in_shards_is_as_one_job(n_shards: int, network: Case, network_alone: dict[str, bytes]) -> None:
    found = network.shards(n_shards)
    assert network.segment(f"{n_shards}", shards=found, device="auto") == network_alone


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Six windows, of which some have cells in what they share."""
    settings = SegmentationSettings(method="maskrcnn", maskrcnn=MaskRcnnSettings(window_px=256, overlap_px=64))
    return case_of(tmp_path_factory.mktemp("network"), he_field(shape=(250, 390), seed=2).pixels, settings)


@pytest.fixture(scope="module")
def network_alone(network: Case) -> dict[str, bytes]:
    return network.segment("one_job")


def test_shards_go_by_tissue(seams: Case) -> None:
    """The right half is glass: what is left of it is shared out."""
    headers = [read_header(path) for path in seams.shards(4, only="count", tile_px=64)]
    assert headers[0].begin == 0 and headers[-1].end == headers[0].n_units
    assert all(one.end == other.begin for one, other in pairwise(headers))
    full = [sum(index % 5 < 3 for index in range(one.begin, one.end)) for one in headers]
    assert max(full) - min(full) <= 1 and max(one.end - one.begin for one in headers) > max(full)


def test_more_shards_than_tiles_leave_some_empty() -> None:
    parts = [ShardOf(number, 5).part(np.array([7, 9])) for number in range(1, 6)]
    assert [index for part in parts for index in part] == [0, 1]
    assert [ShardOf(number, 2).part(np.zeros(0, np.int64)) for number in (1, 2)] == [range(0, 0)] * 2


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/2/3", "-1/2", ""])
def test_shards_that_there_are_not(text: str) -> None:
    with pytest.raises(ConfigError, match="no such shard; expected K/N"):
        ShardOf.parse(text)
    assert ShardOf.parse("3/8") == ShardOf.parse("3-of-8") == ShardOf(3, 8)


FOREIGN = {
    "recipe": lambda case: {"recipe": dataclasses.replace(case.recipe, gray_low=1.5)},
    "mask of tissue": lambda case: {"tissue": None},
    "section segmentation": lambda case: {"settings": threshold_settings(smooth_um=0.4)},
}


@pytest.mark.parametrize("what", FOREIGN)
def test_stale_and_foreign_shards_are_refused(what: str, seams: Case, tmp_path: Path) -> None:
    found = seams.shards(2)
    with pytest.raises(TableError, match=rf"find-1-of-2\.arrow: a shard made with another .*{what}.* make the shards"):
        seams.segment(str(tmp_path / "x"), shards=found, **FOREIGN[what](seams))
    assert not (tmp_path / "x" / "labels.ome.tif").exists()


def test_shards_of_another_version_are_refused(seams: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    found = seams.shards(2)
    monkeypatch.setattr("cellseg.__version__", "0.0.1")
    with pytest.raises(TableError, match="another version of cellseg than here"):
        seams.segment("x", shards=found)


def test_shards_that_do_not_belong_together_are_refused(seams: Case, tmp_path: Path) -> None:
    one, two, three = seams.shards(3, tile_px=64)
    count = seams.shard(1, 3, only="count", tile_px=64)
    other = dataclasses.replace(seams, folder=tmp_path).shard(2, 3, tile_px=100, tissue=seams.tissue)
    said = {
        (one, two): "the last shard ends at .* of 25; give all shards of the set",
        (one, three): "begins where none before it ends",
        (one, two, two, three): "covers again what another shard covers",
        (one, count): "a shard of the kind segment count, expected segment find",
        (one, other, three): "differs from .* in tile_px; make the shards again",
        (one, tmp_path / "none"): "no such file",
    }
    for paths, words in said.items():
        with pytest.raises(TableError, match=words):
            seams.segment("x", shards=paths)


@pytest.mark.parametrize("cut", [0, 10, 0.5, 0.99])
def test_damaged_shards_are_refused(cut: float, seams: Case, tmp_path: Path) -> None:
    found = seams.shards(2)
    content = found[0].read_bytes()
    damaged = tmp_path / "damaged.arrow"
    damaged.write_bytes(content[: int(cut * len(content)) if cut < 1 else cut])
    with pytest.raises(TableError, match=r"damaged\.arrow: not a (whole )?shard file"):
        seams.segment("x", shards=[damaged, found[1]])


def test_only_a_threshold_is_counted_for(network: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellseg.io.weights.read_weights", lambda path: eager_weights())
    with pytest.raises(ConfigError, match="method maskrcnn counts nothing first"):
        network.shard(1, 2, only="count")


def test_failed_shard_leaves_no_file(seams: Case, tmp_path: Path) -> None:
    case = dataclasses.replace(seams, folder=tmp_path, settings=threshold_settings(channel="none"))
    with pytest.raises(CellsegError, match="none"):
        segment_shard(
            seams.image, tmp_path / "x.arrow", recipe=seams.recipe, shard=ShardOf(1, 2), settings=case.settings
        )
    assert list(tmp_path.iterdir()) == []
