"""Many small samples in few jobs: the same bytes as one by one, and a slide that fails takes no other with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_crates import assert_profile
from workflow.project import TIMES, Project, files_of

pytestmark = pytest.mark.slow
SAMPLES = {"healthy_1": "reference", "cut": "test", "test_1": "test"}
SETTINGS = "tissue: {enabled: true}\ninput: {pixel_size: {action: rescale}}\n"
MANY = ("--config", "compute={samples_per_job: 2}")


def project_in(folder: Path) -> Project:
    """Two slides, one of which has tissues that were drawn, and one that is cut off."""
    project = Project(folder)
    for seed, name in enumerate(("healthy_1", "test_1")):
        project.image(name, seed=seed)
    project.truncated_image("cut")
    drawn = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 150], [0, 150], [0, 0]]]}
    feature = f'{{"type": "Feature", "geometry": {drawn}, "properties": {{"classification": {{"name": "gland"}}}}}}'
    text = f'{{"type": "FeatureCollection", "features": [{feature}]}}'.replace("'", '"')
    for name in SAMPLES:
        (project.folder / f"{name}.geojson").write_text(text)
    lines = [f"{name}\timages/{name}.tif\t0.5\t{group}\t{name}.geojson" for name, group in SAMPLES.items()]
    (project.folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp\tgroup\ttissue", *lines]) + "\n")
    return project


def results_of(project: Project) -> dict[str, bytes]:
    """All results but those that hold times or how the jobs were cut."""
    found = files_of(project.folder / "results")
    # the settings say how samples are put into jobs
    return {name: content for name, content in found.items() if not name.startswith((*TIMES, "provenance/config.json"))}


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = project_in(tmp_path_factory.mktemp("single") / "my project")
    done = project.snakemake(*project.settings(SETTINGS))
    assert done.returncode != 0 and project.ledger()["cut"]["outcome"] == "failed", done.stdout
    return project


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = project_in(tmp_path_factory.mktemp("many") / "my project")
    assert project.planned(*project.settings(SETTINGS), *MANY) == {
        "look_1": 1, "look_2": 1, "reference": 1, "judge_1": 1, "judge_2": 1, "summary": 1,
        "provenance": 1, "check": 1,
    }  # fmt: skip
    done = project.snakemake(*project.settings(SETTINGS), *MANY)
    assert done.returncode != 0 and "Traceback" not in done.stdout, done.stdout
    return project


def test_results_are_those_of_a_job_a_stage(one_by_one: Project, together: Project) -> None:
    single, many = results_of(one_by_one), results_of(together)
    assert many.keys() == single.keys()
    assert [name for name in single if many[name] != single[name]] == []
    assert any(name.endswith("tissue/tissue.ome.tif") for name in many)


def test_crate_has_the_same_results_and_the_times_of_the_jobs(one_by_one: Project, together: Project) -> None:
    single, many_ = (assert_profile(project.folder / "results") for project in (one_by_one, together))
    assert many_["#run"]["result"] == single["#run"]["result"]
    assert {one["@id"] for one in single["./"]["mentions"]} >= {"#job/segment/test_1", "#failed/cut", "#run"}
    jobs = {f"#job/{rule}/{number}" for rule in ("look", "judge") for number in (1, 2)}
    assert {one["@id"] for one in many_["./"]["mentions"]} == jobs | {
        "#job/reference/he",
        "#job/summary",
        "#failed/cut",
        "#run",
    }


def test_each_stage_of_each_sample_has_its_log_as_of_its_own_job(one_by_one: Project, together: Project) -> None:
    for stage in ("preprocess", "segment", "tissue", "measure", "classify", "tables", "overlay", "integrity"):
        for name in SAMPLES:
            alone = [line for line in one_by_one.log(stage, name).splitlines() if not line.startswith("+ ")]
            assert together.log(stage, name).splitlines() == alone, (stage, name)


def test_failure_is_of_its_sample_alone_and_the_next_run_finishes(together: Project, tmp_path: Path) -> None:
    ledger = together.ledger()
    assert (ledger["cut"]["outcome"], ledger["cut"]["stage"]) == ("failed", "preprocess")
    assert {ledger[name]["outcome"] for name in ("healthy_1", "test_1")} == {"done"}
    copy = together.copy(tmp_path / "my project")
    shutil.copy(copy.folder / "images" / "test_1.tif", copy.folder / "images" / "cut.tif")
    done = copy.snakemake(*copy.settings(SETTINGS), *MANY)
    assert done.returncode == 0, done.stdout
    assert copy.ledger()["cut"]["outcome"] == "done"
    assert copy.planned(*copy.settings(SETTINGS), *MANY) == {}
    # a lost file is missed, also of one that is not the first of its job
    for name, again in (("integrity.json", {"judge_1"}), ("measure/measurements.parquet", {"look_1", "judge_1"})):
        (copy.folder / "results" / "samples" / "cut" / name).unlink()
        planned = copy.planned(*copy.settings(SETTINGS), *MANY)
        assert set(planned) & {"look_1", "look_2", "judge_1"} == again, name


def test_changed_row_of_the_sheet_runs_its_job_again_and_no_other(together: Project, tmp_path: Path) -> None:
    copy = together.copy(tmp_path / "my project")
    sheet = copy.folder / "samples.tsv"
    sheet.write_text(sheet.read_text().replace("test_1.tif\t0.5", "test_1.tif\t0.4"))
    planned = copy.planned(*copy.settings(SETTINGS), *MANY)
    # job 1 holds the one that failed
    assert planned["look_2"] == planned["judge_2"] == 1
    unchanged = together.planned(*together.settings(SETTINGS), *MANY)
    assert "look_2" not in unchanged and "look_1" in unchanged
