"""Tiles that are done again are the same, by both methods and at a corrected pixel size; what was changed is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from fields import blobs, he_field, he_look
from networks import eager_weights
from typer.testing import CliRunner

from cellseg.cli import app
from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.io.labels import open_labels, write_labels
from cellseg.io.weights import write_weights
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.provenance import write_provenance
from cellseg.stages.redo import choose_tiles
from cellseg.stages.verify_rerun import Drawing, Redone, redo_samples
from cellseg.tiles import TileGrid
from cellseg.types import Window

ALL = Drawing(1.0, 0, 2, "cpu")
MORE = {"measure": {"families": ["shape", "wdbc10", "intensity", "focus", "neighborhood", "contrast"]}}
TILES = {"compute": {"tile_px": 64}}


def run(folder: Path, pixels: np.ndarray, settings: dict[str, Any], *, mpp: float = 0.5) -> Path:
    """A folder with a slide `a`, its results and their crate."""
    (folder / "images").mkdir(parents=True)
    tifffile.imwrite(folder / "images" / "a.tif", pixels, photometric="rgb")
    config = Config.model_validate(TILES | settings)
    out = folder / "results"
    failed = analyze_images([folder / "images" / "a.tif"], out, acquisition=Acquisition("he", mpp), config=config)
    assert failed == []
    (folder / "samples.tsv").write_text(f"sample\tpath\tmpp\na\timages/a.tif\t{mpp}\n")
    write_provenance(out, folder / "samples.tsv", settings=config)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = he_field(shape=(300, 340), seed=3).pixels
    return run(tmp_path_factory.mktemp("threshold") / "project", pixels, MORE)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def redo(project: Path, drawing: Drawing = ALL) -> Redone:
    (done,) = redo_samples(project / "results", drawing)
    return done


def change_labels(project: Path, change: Callable[[np.ndarray], None]) -> None:
    """Change pixels of the label image, and write it as it was written."""
    path = project / "results" / "samples" / "a" / "segment" / "labels.ome.tif"
    with open_labels(path) as opened:
        labels, mpp = opened.read(Window(0, opened.height, 0, opened.width)).copy(), opened.mpp
    change(labels)
    write_labels(path, iter([labels]), height_px=len(labels), width_px=labels.shape[1], mpp=mpp)


def change_table(project: Path, name: str, row: int, value: float) -> int:
    """Change a measurement; the cell's id."""
    path = project / "results" / "samples" / "a" / "measure" / "measurements.parquet"
    table = pq.read_table(path)
    column = table[name].to_pylist()
    column[row] = value
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(column, table[name].type)), path)
    return int(table["cell_id"][row].as_py())


def test_all_tiles_are_the_same(made: Path) -> None:
    done = redo(made)
    assert (done.faults, done.n_open) == ([], 0)
    assert done.n_tiles == done.n_all == 30
    n_cells = len(pq.read_table(made / "results/samples/a/measure/measurements.parquet"))
    assert done.n_segmented == done.n_measured == n_cells > 100


@pytest.mark.parametrize(
    "threshold",
    [
        {"method": "local"},
        {"split": "intensity", "smooth_um": 0.5},
        {"method": "fixed", "value": 0.2, "channel": "hematoxylin"},
    ],
)
def test_other_thresholds_are_the_same(threshold: dict[str, Any], tmp_path: Path) -> None:
    pixels = he_field(shape=(200, 220), seed=4).pixels
    project = run(tmp_path / "project", pixels, {"segmentation": {"threshold": threshold}})
    done = redo(project)
    assert done.faults == [] and done.n_segmented > 40


def test_a_corrected_pixel_size_is_the_one_in_force(tmp_path: Path) -> None:
    pixels = he_look(blobs((288, 288), mean_radius_px=7.0, spacing_px=24, seed=3), seed=3)
    project = run(tmp_path / "project", pixels, {"input": {"pixel_size": {"action": "rescale"}}}, mpp=1.0)
    folder = project / "results" / "samples" / "a"
    recipes = [json.loads((folder / stage / "recipe.json").read_text()) for stage in ("preprocess", "segment")]
    assert recipes[0]["mpp"] == 1.0 and recipes[1]["mpp"] < 0.7
    done = redo(project)
    assert done.faults == [] and done.n_segmented == done.n_measured > 100


def test_windows_of_a_network_are_the_same_and_a_changed_cell_is_found(tmp_path: Path) -> None:
    weights = eager_weights()
    (tmp_path / "own").mkdir()
    write_weights(tmp_path / "own" / "w.safetensors", weights.tensors, weights.metadata)
    own = str(tmp_path / "own" / "w.safetensors")
    network = {"weights": own, "window_px": 128, "overlap_px": 32, "diameter_px": 28, "rescale": "never"}
    settings = {"segmentation": {"method": "maskrcnn", "maskrcnn": network}}
    # five windows in a row, of which three are done for one
    project = run(tmp_path / "project", he_field(shape=(120, 420), seed=5).pixels, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "own")  # the crate has the name alone of an absolute path
        drawing = ALL._replace(share=0.2)
        done = redo(project, drawing)
        assert done.faults == [] and (done.n_tiles, done.n_all) == (1, 5) and done.n_segmented > 5

        def cut_each(labels: np.ndarray) -> None:
            first = np.unique(labels, return_index=True)[1][1:]
            labels.ravel()[first] = 0

        change_labels(project, cut_each)
        assert any("have other pixels" in fault for fault in redo(project, drawing).faults)


def test_one_changed_label_pixel_is_found_with_tile_and_cell(project: Path) -> None:
    places = []

    def grow(labels: np.ndarray) -> None:
        y, x = next((y, x) for y, x in np.argwhere(labels[100:, 100:-1]) + 100 if not labels[y, x + 1])
        places.append((y, x, int(labels[y, x])))
        labels[y, x + 1] = labels[y, x]

    change_labels(project, grow)
    ((y, x, cell),) = places
    faults = redo(project).faults
    at = f"tile {y // 64 * 6 + x // 64} (y {y // 64 * 64} "
    assert any(fault.startswith(at) and f"cells {cell} have other" in fault for fault in faults)
    assert any(f"cells {cell} measure otherwise" in fault or f"{cell}," in fault for fault in faults)


def test_a_cell_that_was_taken_away_is_found_by_its_place(project: Path) -> None:
    def remove(labels: np.ndarray) -> None:
        labels[labels == labels.max()] = 0

    change_labels(project, remove)
    faults = redo(project).faults
    assert any("are not in the label image" in fault for fault in faults)
    assert any(fault.startswith("cannot be measured again") for fault in faults)


def test_one_changed_measurement_is_found_with_tile_cell_and_column(project: Path) -> None:
    table = pq.read_table(project / "results/samples/a/measure/measurements.parquet")
    value = table["nucleus_eccentricity"][17].as_py()
    cell = change_table(project, "nucleus_eccentricity", 17, float(np.nextafter(np.float64(value), 1)))
    (fault,) = redo(project).faults
    assert f"cells {cell} measure otherwise in nucleus_eccentricity" in fault


def test_a_share_draws_the_same_tiles_for_the_same_seed() -> None:
    grid, rng = TileGrid(1000, 1000, 100), np.random.default_rng
    centroids = np.array([[950.2, 949.7], [950.0, 950.0]])
    for seed in range(20):
        ((tile, rows),) = choose_tiles(grid, centroids, 0.01, rng(seed))
        assert (tile.index, rows.tolist()) == (99, [0, 1])  # the only one that holds cells
    first, again, other = (choose_tiles(grid, centroids, 0.3, rng(seed)) for seed in (1, 1, 2))
    assert [tile.index for tile, _ in first] == [tile.index for tile, _ in again]
    assert len(first) == 30 and {tile.index for tile, _ in first} != {tile.index for tile, _ in other}
    assert len(choose_tiles(grid, np.zeros((0, 2)), 1e-9, rng(0))) == 1


def test_what_is_not_there_or_asked_wrongly_is_said(project: Path) -> None:
    with pytest.raises(ConfigError, match="over 0 and up to 1"):
        redo(project, ALL._replace(share=0.0))
    (project / "images" / "a.tif").unlink()
    done = redo(project)
    assert done.n_tiles == 0 and "cannot be done again" in done.faults[0] and "a.tif" in done.faults[0]


def test_command_does_a_share_and_says_it(project: Path) -> None:
    arguments = ["verify", str(project / "results"), "--rerun", "0.01", "--seed", "3", "--device", "cpu"]
    good = CliRunner().invoke(app, arguments)
    assert good.exit_code == 0, good.stdout
    assert good.stdout.splitlines()[-1].startswith("a: 1 of 30 tiles done again, ")
    assert good.stdout.endswith("all the same\n")
    (project / "results/samples/a/segment/labels.json").write_text('{"method": "threshold"}')
    bad = CliRunner().invoke(app, arguments)
    assert bad.exit_code == 1
    assert "changed: samples/a/segment/labels.json" in bad.stdout and "rounded figures" in bad.stdout
