"""A batch of five with one truncated and one blank slide, and what the next runs redo of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
from run_crates import assert_profile, read_crate
from workflow.project import EVERY_TABLE, REPOSITORY, Project, files_of, jobs

from cellseg.stages.verify import verify_results
from cellseg.stages.verify_rerun import Drawing, redo_samples

pytestmark = pytest.mark.slow
STAGES = ("preprocess", "segment", "measure", "classify", "tables", "overlay", "polygons", "integrity")
GOOD = {"healthy_1": "reference", "test_1": "test", "test_2": "test"}


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """The project after its first run, and how that ended. Tests that change it work on a copy."""
    project = Project(tmp_path_factory.mktemp("batch") / "my project")
    for seed, name in enumerate(GOOD):
        project.image(name, seed=seed)
    project.truncated_image("cut")
    project.blank_image("blank")
    project.sheet(GOOD | {"cut": "test", "blank": "test"})
    return project, project.snakemake()


@pytest.fixture
def copy(batch, tmp_path: Path) -> Project:
    """A copy of the batch after its first run."""
    return batch[0].copy(tmp_path / "my project")


def test_three_are_done_one_failed_one_is_empty(batch) -> None:
    project, done = batch
    ledger = project.ledger()
    assert list(ledger) == [*GOOD, "cut", "blank"], done.stdout
    assert {ledger[name]["outcome"] for name in GOOD} == {"done"}, ledger
    assert all(int(ledger[name]["n_cells"]) > 20 for name in GOOD)
    assert (ledger["cut"]["outcome"], ledger["cut"]["stage"]) == ("failed", "preprocess")
    assert "cut.tif" in ledger["cut"]["reason"]
    assert ledger["blank"]["outcome"] in ("done", "unassessable")
    assert ledger["blank"]["n_cells"] == "0"


def test_exit_status_says_that_one_failed_and_names_it(batch) -> None:
    project, done = batch
    assert done.returncode != 0
    assert "cut" in (project.folder / "results" / "logs" / "check.log").read_text()
    assert "Traceback" not in done.stdout


def test_every_result_is_there(batch) -> None:
    project, _ = batch
    for name in [*GOOD, "blank"]:
        files = set(files_of(project.sample(name)))
        assert files >= {
            "preprocess/recipe.json",
            "preprocess/tissue.png",
            "preprocess/thumbnail.png",
            "preprocess/quality.json",
            "preprocess/quality.png",
            "preprocess/tiles.parquet",
            "segment/tiles.parquet",
            "segment/labels.ome.tif",
            "segment/labels.json",
            "measure/measurements.parquet",
            "classify/verdicts.parquet",
            "cells.parquet",
            "columns.json",
            "overlay.png",
            "features.png",
            "cells.geojson.gz",
            "integrity.json",
            *EVERY_TABLE,
        }
    assert (project.folder / "results" / "summary.csv").exists()
    assert (project.folder / "results" / "reference" / "he.json").exists()


def test_blank_slide_has_tables_with_a_header_only(batch) -> None:
    project, _ = batch
    for table in EVERY_TABLE:
        lines = (project.sample("blank") / table).read_text().splitlines()
        assert len(lines) == 1
        assert "cell_id" in lines[0]


def test_status_tables_partition_the_cells(batch) -> None:
    project, _ = batch
    for name in GOOD:
        cells, *parts = [(project.sample(name) / table).read_text().splitlines() for table in EVERY_TABLE]
        assert sorted(line for part in parts for line in part[1:]) == sorted(cells[1:])


def test_next_run_redoes_only_the_failed_one(batch) -> None:
    project, _ = batch
    assert project.planned() == dict.fromkeys([*STAGES, "summary", "provenance", "check"], 1)
    assert not project.sample("cut").joinpath("cells.csv").exists()


def test_crate_names_the_failed_one_and_nothing_of_the_machine(batch) -> None:
    project, _ = batch
    crate = read_crate(project.folder / "results")
    assert crate["#run"]["error"] == "1 of 5 samples failed: cut (at preprocess); slides.tsv says why"
    assert {name.removeprefix("#placeholder/samples/cut/") for name in crate if "placeholder" in name} > {"cells.csv"}
    done = verify_results(project.folder / "results")  # the last rule has taken the placeholders away
    assert (done.faults, done.failed, done.n_inputs) == ([], ["cut"], 6)
    for name in ("ro-crate-metadata.json", "provenance/config.json", "provenance/Snakefile"):
        said = (project.folder / "results" / name).read_text()
        assert str(project.folder) not in said and str(REPOSITORY) not in said and str(Path.home()) + "/" not in said


def test_mended_slide_finishes_the_batch(copy: Project) -> None:
    before = {name: files_of(copy.sample(name)) for name in GOOD}
    copy.image("cut", seed=9)
    done = copy.snakemake()
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout) == dict.fromkeys([*STAGES, "summary", "provenance", "check"], 1)
    assert copy.ledger()["cut"]["outcome"] == "done"
    assert {name: files_of(copy.sample(name)) for name in GOOD} == before
    crate = assert_profile(copy.folder / "results")
    assert verify_results(copy.folder / "results").faults == []
    again = list(redo_samples(copy.folder / "results", Drawing(0.01, 0, 1, "cpu")))
    assert [one.faults for one in again] == [[]] * 5 and sum(one.n_measured for one in again) > 80
    assert "error" not in crate["#run"] and not [name for name in crate if "placeholder" in name]
    assert {job.removeprefix("#job/").split("/")[0] for job in crate if job.startswith("#job/")} == {
        *STAGES, "reference", "summary",
    }  # fmt: skip
    assert "Nothing to be done" in copy.snakemake().stdout


def test_changed_threshold_reruns_segmentation_of_all_and_preprocessing_of_none(copy: Project) -> None:
    planned = copy.planned(*copy.settings("segmentation:\n  threshold:\n    smooth_um: 1.0\n"))
    assert planned["segment"] == planned["measure"] == planned["classify"] == planned["tables"] == 5
    assert planned["reference"] == 1
    assert planned["preprocess"] == 1  # of the failed slide, which any run tries again


def test_changed_rule_reruns_verdicts_and_no_measurements(copy: Project) -> None:
    planned = copy.planned(*copy.settings("classify:\n  rules:\n    - {column: area_um2, above: 150}\n"))
    assert planned["classify"] == planned["tables"] == 5
    assert planned["reference"] == 0
    assert planned["measure"] == planned["segment"] == 1


def test_settings_of_another_stain_tile_size_and_device_rerun_nothing(copy: Project) -> None:
    text = "segmentation:\n  by_stain:\n    giemsa: {smooth_um: 1.0}\ncompute:\n  tile_px: 512\n  device: cpu\n"
    assert copy.planned(*copy.settings(text)) == copy.planned()


def test_settings_of_another_method_rerun_nothing_and_another_method_segments_anew(copy: Project) -> None:
    unused = copy.settings("segmentation: {maskrcnn: {min_score: 0.7}, plugin: {level: 3}}\n")
    assert copy.planned(*unused) == copy.planned()
    planned = copy.planned(*copy.settings("segmentation: {method: maskrcnn}\n"))
    assert planned["segment"] == planned["measure"] == planned["tables"] == 5 and planned["preprocess"] == 1


def test_replaced_image_and_changed_pixel_size_rerun_that_sample(copy: Project) -> None:
    copy.image("test_1", seed=7)
    sheet = copy.folder / "samples.tsv"
    sheet.write_text(sheet.read_text().replace("test_2.tif\t0.5", "test_2.tif\t0.4"))
    planned = copy.planned()
    assert planned["preprocess"] == planned["overlay"] == 3
    assert planned["reference"] == 0


def test_logged_command_can_be_pasted(copy: Project) -> None:
    labels = copy.sample("test_1") / "segment" / "labels.ome.tif"
    before = labels.read_bytes()
    labels.unlink()
    command = next(line[2:] for line in copy.log("segment", "test_1").splitlines() if line.startswith("+ cellseg "))
    path = f"{Path(copy.command()[0]).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-c", command], cwd=copy.folder, check=True, capture_output=True, env=os.environ | {"PATH": path}
    )
    assert labels.read_bytes() == before


def test_report_has_pictures_and_tables_with_their_captions_and_leaves_the_failed_one_out(copy: Project) -> None:
    done = copy.snakemake("--report", "report.html")
    assert done.returncode == 0, done.stdout
    page = (copy.folder / "report.html").read_text(encoding="utf-8")
    shown, categories = (
        json.JSONDecoder().raw_decode(page, re.search(rf"var {name} = (?=\{{\")", page).end())[0]
        for name in ("results", "categories")
    )
    pictures = [
        f"results/samples/{name}/{file}" for name in [*GOOD, "blank"] for file in ("overlay.png", "features.png")
    ]
    cohort = [f"results/{name}" for name in ("slides.tsv", "summary.csv", "summary_slide.csv", "summary_patient.csv")]
    assert {*pictures, *cohort} <= set(shown) and not any("/cut/" in path for path in shown)
    for path in (*pictures, *cohort):
        content = urllib.request.urlopen(shown[path]["data_uri"]).read()
        assert content == (copy.folder / path).read_bytes()
        assert len(re.sub(r"<[^>]*>|\s", "", shown[path]["caption"])) > 30
    overlay = shown["results/samples/test_1/overlay.png"]
    assert "<strong>test_1</strong>" in overlay["caption"]
    assert overlay["labels"] == {"sample": "test_1", "stain": "he", "result": "overlay.png"}
    assert set(categories) == {"Cohort", "Cells", "Quality"}
    assert set(categories["Cells"]) == {"reference samples", "test samples"}
    assert "it is no diagnosis" in page
