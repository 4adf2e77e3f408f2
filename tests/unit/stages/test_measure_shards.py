"""Cells measured in shards give the table of one job, byte by byte, and shards of anything else are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fields import bricks, giant, he_look
from measuring import measured_bytes, odd_shapes, recipe_for, write_pair

from cellseg.errors import TableError
from cellseg.io.shard import read_header
from cellseg.measure_config import MeasureSettings
from cellseg.stages import measure
from cellseg.stages.measure_shards import measure_shard
from cellseg.stages.shard_tiles import ShardOf

LATE = MeasureSettings(families=("shape", "intensity", "neighborhood", "delaunay", "contrast", "pleomorphism"))
FIELDS = {
    "odd shapes": odd_shapes,
    "wall": lambda: bricks((180, 210), height_px=18, width_px=26, mortar_px=1),
    "giant": lambda: giant((200, 220), share=0.9),
    "one cell": lambda: np.pad(np.ones((9, 9), np.uint32), 30),
    "no cells": lambda: np.zeros((70, 80), np.uint32),
}


@dataclasses.dataclass
class Case:
    """An image and labels on disk, and what they are measured with."""

    folder: Path
    files: tuple[Path, Path]
    options: dict

    def table(self, name: str, **options) -> bytes:
        given = self.options | options
        return measured_bytes(*self.files, self.folder / f"{name}.parquet", given.pop("recipe"), **given)

    def shards(self, n_shards: int, *, tile_px: int = 64, **options) -> list[Path]:
        out = []
        for number in range(1, n_shards + 1):
            out.append(self.folder / f"{number}-of-{n_shards}.arrow")
            given = self.options | options | {"tile_px": tile_px, "shard": ShardOf(number, n_shards)}
            measure_shard(*self.files, out[-1], **given)
        return out


def case_of(folder: Path, labels: np.ndarray, settings: MeasureSettings = LATE) -> Case:
    """Scores and classes come with the labels, as segmenters leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = he_look((labels > 0).astype(np.uint32), seed=1)
    ids = np.unique(labels[labels > 0]).astype(np.uint32)
    said = {
        "cell_id": ids, "score": np.linspace(0.1, 0.9, len(ids)),
        "class": pa.array(["round" if i % 2 else "" for i in ids], pa.string()), "seam_joined": ids % 5 == 1,
    }  # fmt: skip
    pq.write_table(pa.table(said), folder / "instances.parquet")
    given = {"recipe": recipe_for(pixels), "settings": settings, "instances": folder / "instances.parquet"}
    return Case(folder, write_pair(folder, pixels, labels), given)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case_of(tmp_path_factory.mktemp("odd"), odd_shapes())


@pytest.mark.parametrize("field", FIELDS)
def test_shards_give_the_table_of_one_job(field: str, tmp_path: Path) -> None:
    case = case_of(tmp_path, FIELDS[field]())
    alone = case.table("alone")
    for n_shards in (1, 2, 3, 7):
        found = case.shards(n_shards, tile_px=64 + 20 * n_shards, workers=1 + n_shards % 2)
        assert case.table("gathered", shards=found[::-1], tile_px=100) == alone, n_shards


def test_all_families_and_csv(tmp_path: Path) -> None:
    case = case_of(tmp_path, odd_shapes((100, 110)), MeasureSettings())
    assert case.table("b", shards=case.shards(3)) == case.table("a")
    written = []
    for options in ({}, {"shards": case.shards(3)}):
        measure.measure_cells(*case.files, tmp_path / "t.csv", sample="s", **case.options, **options)
        written.append((tmp_path / "t.csv").read_bytes())
    assert written[0] == written[1]


def test_gathering_measures_nothing(odd: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, found = odd.table("alone"), odd.shards(2)
    monkeypatch.setattr(measure, "measure_window", lambda *_, **__: pytest.fail("measured"))
    assert odd.table("gathered", shards=found) == alone


def test_shards_are_of_about_the_same_work(odd: Case) -> None:
    rows = [pa.ipc.open_file(path).read_all().num_rows for path in odd.shards(3, tile_px=64)]
    assert min(rows) > 0.2 * sum(rows)
    headers = [read_header(path) for path in odd.shards(3, tile_px=64)]
    assert headers[0].begin == 0 and headers[2].end == headers[2].n_units


def test_shards_of_anything_else_are_refused(odd: Case, tmp_path: Path) -> None:
    found = odd.shards(2)
    other = case_of(tmp_path / "other", np.fliplr(odd_shapes()).copy())
    said = {
        "label image": (other, {}),
        "section measure": (odd, {"settings": MeasureSettings(families=("shape",))}),
        "recipe": (odd, {"recipe": dataclasses.replace(odd.options["recipe"], mpp=1.001)}),
        "table of instances": (odd, {"instances": None}),
    }
    for what, (case, options) in said.items():
        with pytest.raises(TableError, match=f"1-of-2.arrow: a shard made with another {what} than here"):
            case.table("x", shards=found, **options)
    with pytest.raises(TableError, match="give all shards of the set"):
        odd.table("x", shards=found[:1])
    assert not (odd.folder / "x.parquet").exists()
