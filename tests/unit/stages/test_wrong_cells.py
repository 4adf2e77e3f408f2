"""wrong_cells.png from a results folder: which cells are shown, cut out of which pixels, and what cannot be shown."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from cell_tables import recipe
from typer.testing import CliRunner

from cellseg.commands.evaluate import app
from cellseg.errors import ConfigError, ImageError, LabelError, TableError
from cellseg.evaluate.by_group import Draws
from cellseg.io.labels import write_labels
from cellseg.io.slide import open_slide
from cellseg.stages.evaluate_verdict import report_verdict
from cellseg.stages.judged_cells import read_predictions
from cellseg.stages.ledger import LedgerRow, write_ledger
from cellseg.stages.wrong_cells import (
    MAX_CLASSES,
    MAX_OF_SAMPLE,
    N_RIGHT,
    N_WRONG,
    choose_cells,
    find_images,
    read_crops,
    write_wrong_cells,
)

SIDE, STEP, RADIUS = 200, 40, 8
SAMPLES = ("A", "B", "C", "D")
CELLS = 25


def write_sample(results: Path, name: str, *, mpp: float = 0.5, stain: str = "he", seed: int = 0) -> LedgerRow:
    """25 cells, the number i in the gray level 3 i, up to the very rim of the image."""
    folder = results / "samples" / name
    (folder / "segment").mkdir(parents=True)
    y, x = np.indices((SIDE, SIDE))
    number = (y // STEP) * (SIDE // STEP) + x // STEP + 1
    # the first column of cells is cut by the image's edge
    middle = np.where(x // STEP == 0, 0, STEP // 2)
    labels = np.where(np.hypot(y % STEP - STEP // 2, x % STEP - middle) <= RADIUS, number, 0).astype(np.uint32)
    gray = np.where(labels > 0, 3 * labels, 220 + seed).astype(np.uint8)
    image = results.parent / f"{name}.png"
    cv2.imwrite(str(image), np.repeat(gray[..., None], 3, axis=2))
    write_labels(folder / "segment/labels.ome.tif", [labels], height_px=SIDE, width_px=SIDE, mpp=mpp)
    made = recipe(height_px=SIDE, width_px=SIDE, mpp=mpp, stain=stain)
    (folder / "segment/recipe.json").write_text(json.dumps(made.to_dict()))
    ids = np.arange(1, CELLS + 1)
    row, column = np.divmod(ids - 1, SIDE // STEP)
    box = {
        "bbox_y0_px": row * STEP + STEP // 2 - RADIUS, "bbox_y1_px": row * STEP + STEP // 2 + RADIUS + 1,
        "bbox_x0_px": np.where(column == 0, 0, column * STEP + STEP // 2 - RADIUS),
        "bbox_x1_px": np.where(column == 0, RADIUS + 1, column * STEP + STEP // 2 + RADIUS + 1),
    }  # fmt: skip
    pq.write_table(pa.table({"cell_id": pa.array(ids, pa.uint32()), **box}), folder / "cells.parquet")
    return LedgerRow(name, "done", "", "", CELLS, str(image))


def write_results(folder: Path, samples: tuple[str, ...] = SAMPLES, **options: float) -> Path:
    results = folder / "results"
    write_ledger(results, [write_sample(results, name, **options) for name in samples])
    return results


def cells_of(samples: tuple[str, ...] = SAMPLES) -> dict[str, np.ndarray]:
    """All cells: discs (abnormal, 0.3 of them called so), burrs (abnormal, 0.9), normal (0.8 healthy)."""
    rng = np.random.default_rng(3)
    n = len(samples) * CELLS
    kind = rng.choice(["normal", "burr", "disc"], n)
    called = rng.random(n) < np.select([kind == "normal", kind == "burr"], [0.2, 0.9], 0.3)
    probability = np.round(np.where(called, rng.uniform(0.51, 1, n), rng.uniform(0, 0.49, n)), 6)
    return {
        "sample": np.repeat(samples, CELLS), "cell_id": np.tile(np.arange(1, CELLS + 1), len(samples)),
        "group": np.repeat(samples, CELLS), "class": kind, "abnormal": kind != "normal",
        "abnormal_probability": probability, "abnormal_score": probability * 4,
        "status": np.where(called, "abnormal", "healthy"),
    }  # fmt: skip


def write_predictions(path: Path, cells: dict[str, np.ndarray] | None = None) -> Path:
    table = pa.table({name: pa.array(values) for name, values in (cells_of() if cells is None else cells).items()})
    pa.csv.write_csv(table, path) if path.suffix == ".csv" else pq.write_table(table, path)
    return path


def judged(path: Path):
    table = read_predictions(path)
    return table, report_verdict(table, draws=Draws(10))


def written(results: Path, path: Path, out: Path) -> bytes:
    table, report = judged(path)
    return write_wrong_cells(out, table, report, find_images(results, path, table)).read_bytes()


def test_weak_classes_come_first_and_the_worst_cells_of_each(tmp_path: Path) -> None:
    cells = cells_of()
    # one sample holds the worst discs, one cell has no verdict, another no value
    disc = np.flatnonzero((cells["class"] == "disc") & (cells["sample"] == "B"))[:6]
    cells["abnormal_probability"][disc[:5]] = [0.001, 0.002, 0.003, 0.004, 0.0005]
    cells["status"][disc[4]] = "excluded"
    burr = np.flatnonzero(cells["class"] == "burr")[0]
    cells["abnormal_probability"][burr], cells["status"][burr] = np.nan, "healthy"
    path = write_predictions(tmp_path / "p.parquet", cells)
    table, report = judged(path)
    images = find_images(write_results(tmp_path), path, table)
    chosen = choose_cells(table, report, images)
    assert [one.row["class"] for one in chosen] == ["disc", "normal", "burr"]
    assert chosen[0].row["weak"]
    for one in chosen:
        side = one.row["side"] == "abnormal"
        wrong, right = (list(rows) for rows in (one.wrong, one.right))
        p, samples = cells["abnormal_probability"], cells["sample"]
        assert (cells["class"][wrong + right] == one.row["class"]).all()
        assert ((p[wrong] > 0.5) != side).all()
        assert ((p[right] > 0.5) == side).all()
        assert (np.diff(p[wrong]) * (1 if side else -1) >= 0).all()
        assert len(wrong) <= N_WRONG
        assert max(np.unique(samples[wrong], return_counts=True)[1]) <= MAX_OF_SAMPLE
        assert len(right) == N_RIGHT == len(set(samples[right]))
        own = np.flatnonzero((cells["class"] == one.row["class"]) & ((p > 0.5) == side))
        assert p[right[0]] == (p[own].max() if side else p[own].min())
    assert chosen[0].wrong[:3] == tuple(disc[:3])
    assert not {disc[3], disc[4]} & set(chosen[0].wrong)
    assert burr not in chosen[2].wrong
    # whatever else makes a class weak
    weak = [row | {"weak": row["class"] == "burr"} for row in report.classes]
    first, *_ = choose_cells(table, replace(report, classes=weak), images)
    assert first.row["class"] == "burr"


def test_at_most_so_many_classes(tmp_path: Path) -> None:
    cells = cells_of()
    cells["class"] = np.where(cells["class"] == "burr", np.char.add("burr ", cells["cell_id"].astype(str)), "normal")
    cells["abnormal"] = cells["class"] != "normal"
    path, results = write_predictions(tmp_path / "p.parquet", cells), write_results(tmp_path)
    table, report = judged(path)
    assert len(report.classes) > MAX_CLASSES
    assert len(choose_cells(table, report, find_images(results, path, table))) == MAX_CLASSES
    assert written(results, path, tmp_path / "out")


def test_crops_are_the_cells_with_their_surroundings(tmp_path: Path) -> None:
    path, results = write_predictions(tmp_path / "p.csv"), write_results(tmp_path)
    table, _ = judged(path)
    rows = list(range(2 * CELLS))
    crops = read_crops(table, find_images(results, path, table), rows)
    assert sorted(crops.cells) == rows
    assert not crops.dark
    # a cell is 17 px across, half a micron each
    assert 8.5 < crops.field_um < 2 * 8.5
    for at, crop in crops.cells.items():
        number = at % CELLS + 1
        assert (crop.sample, crop.cell) == (SAMPLES[at // CELLS], str(number))
        assert (crop.picture[crop.mask] == 3 * number).all()
        assert min(crop.mask.shape) * 0.5 > crops.field_um
        assert crop.called_abnormal == (table.data.cells.probability[at] > 0.5)
        rim = (number - 1) % 5 == 0
        y, x = np.argwhere(crop.mask).T
        assert y.mean() == pytest.approx((crop.mask.shape[0] - 1) / 2, abs=1)
        assert np.ptp(y) == 2 * RADIUS
        assert np.ptp(x) == (RADIUS if rim else 2 * RADIUS)
        # beyond the image is neither image nor cell
        assert (crop.picture[:, 0] == 232).all() == rim


def test_cells_of_other_pixel_sizes_are_cut_to_the_same_field(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_ledger(results, [write_sample(results, name, mpp=mpp) for name, mpp in (("A", 0.5), ("B", 0.25))])
    path = write_predictions(tmp_path / "p.parquet", cells_of(("A", "B")))
    table, _ = judged(path)
    crops = read_crops(table, find_images(results, path, table), [7, 32])
    assert [crops.cells[at].mask.shape[0] * crops.cells[at].um_per_px for at in (7, 32)] == pytest.approx(
        [crops.field_um + 1.5] * 2, abs=1.0
    )


def test_only_windows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, results = write_predictions(tmp_path / "p.parquet"), write_results(tmp_path)
    with open_slide(tmp_path / "A.png") as slide:
        kind = type(slide)
    read, most = kind.read, [0]

    def watched(self, window, level=0):
        most[0] = max(most[0], window.height, window.width)
        return read(self, window, level)

    monkeypatch.setattr(kind, "read", watched)
    written(results, path, tmp_path / "out")
    assert 0 < most[0] < SIDE / 4


def test_the_same_cells_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    cells, results = cells_of(), write_results(tmp_path)
    cells["abnormal_probability"] = np.round(cells["abnormal_probability"], 1)
    first = written(results, write_predictions(tmp_path / "p.parquet", cells), tmp_path / "one")
    order = np.random.default_rng(0).permutation(len(cells["sample"]))
    (tmp_path / "b").mkdir()
    other = write_predictions(tmp_path / "b/p.parquet", {name: values[order] for name, values in cells.items()})
    assert written(results, other, tmp_path / "two") == first
    assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).std() > 5


def test_scores_stand_in_where_nothing_states_a_probability(tmp_path: Path) -> None:
    cells, results = cells_of(), write_results(tmp_path)
    del cells["abnormal_probability"]
    path = write_predictions(tmp_path / "p.parquet", cells)
    table, report = judged(path)
    images = find_images(results, path, table)
    worst = choose_cells(table, report, images)[0].wrong[0]
    value = read_crops(table, images, [worst]).cells[worst].value
    assert float(value) == pytest.approx(cells["abnormal_score"][worst], rel=0.01)
    assert written(results, path, tmp_path / "out")


def test_cells_of_one_class_all_called_rightly(tmp_path: Path) -> None:
    cells, results = cells_of(), write_results(tmp_path)
    cells["abnormal_probability"] = np.where(cells["abnormal"], 0.9, 0.1)
    table, report = judged(path := write_predictions(tmp_path / "p.parquet", cells))
    chosen = choose_cells(table, report, find_images(results, path, table))
    assert [one.wrong for one in chosen] == [()] * 3
    assert written(results, path, tmp_path / "out")


def test_an_image_that_moved_away_is_noted_and_the_others_are_drawn(tmp_path: Path) -> None:
    path, results = write_predictions(tmp_path / "p.parquet"), write_results(tmp_path)
    (tmp_path / "B.png").unlink()
    shutil.rmtree(results / "samples/C")
    table, report = judged(path)
    images = find_images(results, path, table)
    assert sorted(images.images) == ["A", "D"]
    assert images.notes == (
        f"wrong_cells.png: 50 of 100 cells cannot be shown: no image {tmp_path / 'B.png'} and 1 more samples; the "
        "others are drawn",
    )
    chosen = choose_cells(table, report, images)
    assert {table.data.samples[at] for one in chosen for at in one.wrong} == {"A", "D"}
    done = invoke(path, results, tmp_path)
    assert done.exit_code == 0
    assert done.stderr == f"cellseg: {images.notes[0]}\n"
    assert (tmp_path / "plots/wrong_cells.png").is_file()


def test_a_failed_sample_is_noted(tmp_path: Path) -> None:
    path, results = write_predictions(tmp_path / "p.parquet"), tmp_path / "results"
    rows = [write_sample(results, name) for name in SAMPLES]
    write_ledger(results, [LedgerRow("A", "failed", "segment", "why", None, rows[0].path), *rows[1:]])
    table, _ = judged(path)
    assert "no sample A in" in find_images(results, path, table).notes[0]


def invoke(path: Path, results: Path, folder: Path, *more: str):
    arguments = [path, "--plots", folder / "plots", "--results", results, "--draws", "10", *more]
    return CliRunner().invoke(app, ["verdict", *map(str, arguments)])


def test_command_draws_into_plots(tmp_path: Path) -> None:
    done = invoke(write_predictions(tmp_path / "p.parquet"), write_results(tmp_path), tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert {"wrong_cells.png", "curves.png"} <= {path.name for path in (tmp_path / "plots").iterdir()}
    assert "Classes (weak" in done.stdout


@pytest.mark.parametrize(
    "given", [["p.parquet"], ["cells", "labels", "labels", "truth", "--plots", "plots"], ["--plots", "plots"]]
)
def test_command_asks_for_predictions_and_plots(given: list[str]) -> None:
    done = CliRunner().invoke(app, ["verdict", *given, "--results", "results"])
    assert isinstance(done.exception, ConfigError)
    assert "--results goes with PREDICTIONS" in str(done.exception)


@pytest.mark.parametrize("lost", ["sample", "cell_id", "class"])
def test_predictions_that_name_no_cells_are_refused(tmp_path: Path, lost: str) -> None:
    cells, results = cells_of(), write_results(tmp_path)
    del cells[lost]
    for name in ("p.parquet", "p.csv"):
        path = write_predictions(tmp_path / name, cells)
        with pytest.raises(TableError, match=f"no column {lost};.*leave out --results"):
            find_images(results, path, judged(path)[0])


@pytest.mark.parametrize(("column", "words"), [("sample", "a row without a sample"), ("class", "no cell has a class")])
def test_empty_columns_are_refused(tmp_path: Path, column: str, words: str) -> None:
    cells, results = cells_of(), write_results(tmp_path)
    cells[column] = np.full(len(cells[column]), "")
    cells["cell_id"] = np.arange(len(cells["cell_id"]))
    path = write_predictions(tmp_path / "p.parquet", cells)
    with pytest.raises(TableError, match=words):
        find_images(results, path, judged(path)[0])


def test_cell_ids_that_are_words_or_missing_are_refused(tmp_path: Path) -> None:
    cells, results = cells_of(), write_results(tmp_path)
    numbers = cells["cell_id"].tolist()
    for wrong, words in ((["x", *numbers[1:]], "no whole number"), ([None, *numbers[1:]], "1 rows have no cell_id")):
        kept = [str(n) for n in wrong] if wrong[0] == "x" else wrong
        path = write_predictions(tmp_path / "p.parquet", cells | {"cell_id": kept})
        with pytest.raises(TableError, match=words):
            find_images(results, path, judged(path)[0])


def test_results_of_other_cells_are_refused(tmp_path: Path) -> None:
    path, results = write_predictions(tmp_path / "p.parquet"), write_results(tmp_path)
    table, _ = judged(path)
    with pytest.raises(TableError, match="no readable ledger"):
        find_images(tmp_path / "elsewhere", path, table)
    other = write_results(tmp_path / "other", ("X",))
    with pytest.raises(TableError, match=r"none of its 4 samples can be shown: no sample A in .*results"):
        find_images(other, path, table)
    for name in SAMPLES:
        (tmp_path / f"{name}.png").unlink()
    with pytest.raises(TableError, match=r"none of its 4 samples can be shown: no image .*A\.png; give"):
        find_images(results, path, table)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path, results = write_predictions(tmp_path / "p.parquet"), write_results(tmp_path)
    table, _ = judged(path)
    images, folder = find_images(results, path, table), results / "samples/A"
    cells = pq.read_table(folder / "cells.parquet")
    pq.write_table(cells.slice(3), folder / "cells.parquet")
    with pytest.raises(TableError, match="no cell 1, which the predictions name"):
        read_crops(table, images, [0])
    moved = cells.set_column(0, "cell_id", pa.array(np.roll(cells["cell_id"], 12)))
    pq.write_table(moved, folder / "cells.parquet")
    with pytest.raises(LabelError, match="cell 1 is not where its table says"):
        read_crops(table, images, [0])
    small = np.zeros((SIDE, SIDE - 1), np.uint32)
    write_labels(folder / "segment/labels.ome.tif", [small], height_px=SIDE, width_px=SIDE - 1, mpp=0.5)
    with pytest.raises(LabelError, match=r"200 x 199 px, the slide .* has 200 x 200; segment"):
        read_crops(table, images, [0])
    cv2.imwrite(str(tmp_path / "A.png"), np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(ImageError, match="its recipe is of 200 x 200"):
        read_crops(table, images, [0])


def test_fluorescence_is_outlined_in_lighter_colours(tmp_path: Path) -> None:
    path, results = write_predictions(tmp_path / "p.parquet"), write_results(tmp_path, stain="fluorescence")
    table, _ = judged(path)
    assert read_crops(table, find_images(results, path, table), [0]).dark
    assert read_crops(table, find_images(results, path, table), []).cells == {}
