"""Slides cut into shards by the workflow: every result is as of one job, and a broken slide fails as it would there."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
from fields import blobs, he_look
from workflow.project import TIMES, Project, files_of, jobs

pytestmark = pytest.mark.slow
SETTINGS = "polygons: {enabled: false}\n"
MEASURED = "results/samples/a/measure/measurements.parquet"
ROUNDS = ("segment_count", "segment_find", "measure_shard")


def run(folder: Path, settings: str, shards: int, *targets: str, tile_px: int = 64) -> tuple[Project, str]:
    """The project in `folder` after a run with so many shards, and what snakemake said."""
    project = Project(folder)
    given = project.settings(f"{settings}compute: {{tile_px: {tile_px}, shards: {shards}}}\n")
    return project, project.snakemake(*targets, *given).stdout


def results_of(project: Project) -> dict[str, bytes]:
    """All results but those that hold times."""
    found = files_of(project.folder / "results")
    return {name: content for name, content in found.items() if not name.startswith(TIMES)}


def assert_as_one_job(cut: Project, whole: Project) -> None:
    one, other = results_of(cut), results_of(whole)
    assert one.keys() == other.keys()
    assert [name for name in other if one[name] != other[name]] == []


@pytest.fixture(scope="module")
def by_threshold(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A slide of nine tiles and one whose file is cut off, by thresholds, in three shards."""
    folder = tmp_path_factory.mktemp("three") / "my project"
    project = Project(folder)
    project.image("a", seed=1)
    project.truncated_image("cut")
    project.sheet({"a": "test", "cut": "test"})
    return run(folder, SETTINGS, 3)


def test_threshold_in_three_shards_gives_the_bytes_of_one_job(by_threshold, tmp_path: Path) -> None:
    project, said = by_threshold
    assert [jobs(said)[name] for name in ROUNDS] == [6, 6, 6]
    whole = Project(tmp_path / "my project")
    whole.image("a", seed=1)
    whole.sheet({"a": "test"})
    _, alone = run(whole.folder, SETTINGS, 1)
    assert not set(ROUNDS) & set(jobs(alone))
    assert files_of(project.sample("a")) == files_of(whole.sample("a"))  # so that no shard is left either
    assert not [*project.folder.rglob("*.arrow")]
    tiles = [project.log("segment_find", f"a.{n}-of-3").splitlines()[-1] for n in (1, 2, 3)]
    assert all(line.endswith(" of 9 tiles") and ": 0 of" not in line for line in tiles), tiles


def test_broken_slide_fails_where_it_would_in_one_job_and_the_other_is_done(by_threshold) -> None:
    project, said = by_threshold
    ledger = project.ledger()
    assert (ledger["a"]["outcome"], int(ledger["a"]["n_cells"]) > 20) == ("done", True), said
    assert (ledger["cut"]["outcome"], ledger["cut"]["stage"]) == ("failed", "preprocess")
    assert "Traceback" not in said and "cut failed at preprocess" in project.log("segment_find", "cut.2-of-3")


def test_slide_that_shards_cannot_segment_fails_at_segment(by_threshold, tmp_path: Path) -> None:
    project = by_threshold[0].copy(tmp_path / "my project")
    settings = SETTINGS + "segmentation: {threshold: {channel: none}}\n"
    run(project.folder, settings, 3, "results/samples/a/segment/labels.ome.tif")
    reason = (project.sample("a") / "segment" / "labels.ome.tif").read_text()
    assert '"stage": "segment"' in reason and "none" in reason
    assert not [*project.folder.rglob("*.arrow")]


def test_next_run_wants_the_broken_one_alone_and_small_samples_are_not_cut(by_threshold) -> None:
    project, _ = by_threshold
    given = project.settings(SETTINGS + "compute: {tile_px: 64, shards: 3}\n")
    planned = project.planned(*given)
    assert [planned[name] for name in (*ROUNDS, "preprocess", "segment", "tables")] == [3, 3, 3, 1, 1, 1]
    both = project.snakemake("-n", *project.settings("compute: {samples_per_job: 50, shards: 3}\n"))
    assert both.returncode == 1 and "compute.samples_per_job and compute.shards" in both.stdout


def test_network_in_shards_gives_the_bytes_of_one_job(tmp_path: Path) -> None:
    settings = "segmentation: {method: maskrcnn, maskrcnn: {window_px: 256, overlap_px: 64}}\n"
    made = {}
    for shards in (1, 2):
        project = Project(tmp_path / f"{shards}")
        project.image("a", seed=2)
        project.sheet({"a": "test"})
        made[shards], said = run(project.folder, settings, shards, MEASURED)
        expected = [0, 2, 2] if shards == 2 else [0, 0, 0]
        assert [jobs(said)[name] for name in ROUNDS] == expected
    assert_as_one_job(made[2], made[1])
    assert (made[1].sample("a") / "segment" / "labels.ome.tif").stat().st_size > 1000


def test_slide_whose_cells_correct_its_pixel_size_gives_the_bytes_of_one_job(tmp_path: Path) -> None:
    settings = "input: {pixel_size: {action: rescale}}\n"
    made = {}
    for shards in (1, 2):
        project = Project(tmp_path / f"{shards}")
        large = blobs((576, 576), mean_radius_px=14.0, spacing_px=48, seed=3)
        tifffile.imwrite(project.folder / "images/a.tif", he_look(large, seed=3), photometric="rgb")
        project.sheet({"a": "test"})
        made[shards], said = run(project.folder, settings, shards, MEASURED, tile_px=256)
    assert_as_one_job(made[2], made[1])
    assert '"mpp": 0.25' in (made[2].sample("a") / "segment" / "recipe.json").read_text(), said
