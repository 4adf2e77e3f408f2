"""Two runs on different numbers of cores, with tiles of different sizes: the same bytes in every result."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks import TINY, eager_weights
from workflow.project import TIMES, Project, files_of

from cellseg.io.weights import write_weights

pytestmark = pytest.mark.slow
METHODS = {
    "threshold": "segmentation: {method: threshold}\n",
    "maskrcnn": "segmentation:\n  method: maskrcnn\n"
    "  maskrcnn: {weights: own.safetensors, window_px: 128, overlap_px: 40, rescale: never}\n"
    "input: {pixel_size: {action: note}}\n",
}


@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_cores_and_size_of_tiles_gives_the_same_bytes(method: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "my project")
    project.image("one")
    project.sheet({"one": "test"})
    weights = eager_weights(TINY, seed=0)
    write_weights(project.folder / "own.safetensors", weights.tensors, weights.metadata)
    for results, cores, tile_px in (("first", "1", 2048), ("second", "3", 64)):
        options = project.settings(f"{METHODS[method]}compute: {{tile_px: {tile_px}}}\nresults: {results}\n")
        done = project.snakemake("--cores", cores, *options)
        assert done.returncode == 0, done.stdout
    log = (project.folder / "second/logs/segment/one.log").read_text()
    assert "--workers 3" in log and "--tile-px 64" in log
    first, second = (_results(project.folder / name) for name in ("first", "second"))
    assert first.keys() == second.keys() and "samples/one/cells.csv" in first
    assert len(first["samples/one/cells.csv"].splitlines()) > 10
    assert [name for name in first if first[name] != second[name]] == []


def _results(folder: Path) -> dict[str, bytes]:
    """Every file but those that hold times, and the settings, which differ."""
    apart = (*TIMES, "provenance/config.json")
    return {name: content for name, content in files_of(folder).items() if not name.startswith(apart)}
