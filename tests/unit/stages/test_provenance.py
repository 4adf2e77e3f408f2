"""An RO-Crate of a run: all that was read and made, by what it is known again; nothing of machine or people."""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import socket
from importlib import metadata
from pathlib import Path

import pytest
import tifffile
from fields import he_field
from run_crates import Crate, assert_profile, many, read_crate

from cellseg.config import Config
from cellseg.errors import ConfigError, TableError
from cellseg.io.checksum import checksum_of, files_below
from cellseg.io.samples import read_samples
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.crate_inputs import plain, sample_inputs, weights_inputs
from cellseg.stages.crate_jobs import read_jobs
from cellseg.stages.provenance import Written, write_provenance

PATIENT = "planted-patient"
BENCHMARK = "s\th:m:s\tmax_rss\n12.5\t0:00:12\t{}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sheet and the results of two slides, of which one cannot be read."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "images").mkdir()
    tifffile.imwrite(folder / "images" / "good.tif", he_field(shape=(128, 128)).pixels, photometric="rgb")
    (folder / "images" / "cut.tif").write_bytes((folder / "images" / "good.tif").read_bytes()[:3000])
    images = [folder / "images" / f"{name}.tif" for name in ("good", "cut")]
    assert len(analyze_images(images, folder / "results", acquisition=Acquisition("he", 0.5), config=Config())) == 1
    rows = [f"{name}\timages/{name}.tif\t0.5\t{PATIENT}" for name in ("good", "cut")]
    (folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp\tpatient", *rows]) + "\n")
    for rule, peak in (("segment", "321.5"), ("measure", "-")):
        path = folder / "results" / "benchmarks" / rule / "good.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(BENCHMARK.format(peak))
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def write(project: Path, **options: object) -> Written:
    return write_provenance(project / "results", project / "samples.tsv", **{"settings": Config()} | options)


def crate_of(project: Path, **options: object) -> Crate:
    write(project, **options)
    return assert_profile(project / "results")


def test_crate_is_of_the_profile_and_names_every_file(project: Path) -> None:
    crate = crate_of(project)
    results = project / "results"
    below = {path.relative_to(results).as_posix() for path in files_below(results)} - {"ro-crate-metadata.json"}
    assert {name for name in below if not name.startswith(("logs/", "benchmarks/"))} <= set(crate)
    assert "provenance/config.json" in below and "provenance/Snakefile" in below


def test_inputs_settings_and_versions_are_known_again(project: Path) -> None:
    crate = crate_of(project)
    for key, path in (("#input/images/good/image", "images/good.tif"), ("#input/samples", "samples.tsv")):
        assert crate[key]["sha256"] == hashlib.sha256((project / path).read_bytes()).hexdigest()
    assert crate["#input/images/good/image"]["name"] == "images/good.tif"
    assert crate["#input/samples"]["name"] == "../samples.tsv"
    settings = json.loads((project / "results" / "provenance" / "config.json").read_text())
    assert Config.model_validate(settings) == Config()
    software = {one["name"]: one["softwareVersion"] for one in crate.values() if "softwareVersion" in one}
    for name in ("numpy", "snakemake", "rocrate", "torch"):
        assert software[name] == metadata.version(name)
    assert {"cellseg", "python"} <= set(software)


def test_jobs_say_how_long_they_took(project: Path) -> None:
    crate = crate_of(project)
    usage = [crate[one["@id"]] for one in many(crate["#job/segment/good"]["resourceUsage"])]
    assert [(one["value"], one["unitText"]) for one in usage] == [(12.5, "s"), (321.5, "MiB")]
    assert [one["@id"] for one in many(crate["#job/measure/good"]["resourceUsage"])] == ["#job/measure/good/time"]
    assert crate["#run"]["startTime"] < crate["#run"]["endTime"]
    assert {"@id": "samples/good/segment/labels.ome.tif"} in crate["#job/segment/good"]["result"]
    # of a batch, and of another run's samples
    assert [job.name for job in read_jobs(project / "results", ["good"], batched=True)] == []
    assert read_jobs(project / "results", ["other"], batched=False) == []


def test_jobs_of_shards_are_told_and_what_shards_a_stopped_run_left_is_no_result(project: Path) -> None:
    results = project / "results"
    for name in ("good.1-of-2", "good.2-of-2", "good.1-of-3"):
        path = results / "benchmarks" / "segment_find" / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("s\tmax_rss\n3.5\t100\n")
    (results / "samples" / "good" / "segment" / "find.1-of-3.arrow").write_text("x")
    jobs = [job.name for job in read_jobs(results, ["good"], batched=False, n_shards=2)]
    assert {name for name in jobs if "_" in name} == {f"segment_find/good.{n}-of-2" for n in (1, 2)}
    assert not [job for job in read_jobs(results, ["good"], batched=False) if "_" in job.name]
    crate = crate_of(project)
    assert not [one for one in many(crate["#run"]["result"]) if one["@id"].endswith(".arrow")]


def test_failed_sample_is_named_and_its_placeholder_is_no_result(made: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(made, tmp_path / "project"))
    left = project / "results" / "samples" / "cut" / "cells.csv"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text('{"cellseg_failure": {"sample": "cut", "stage": "preprocess", "reason": "truncated"}}\n')
    done = write(project)
    crate = assert_profile(project / "results")
    assert done.n_failed == 1
    assert crate["#run"]["error"].startswith("1 of 2 samples failed: cut (at preprocess)")
    assert crate["#failed/cut"]["result"] == {"@id": "#placeholder/samples/cut/cells.csv"}
    assert "samples/cut/cells.csv" not in crate
    assert not [one for one in many(crate["#run"]["result"]) if "placeholder" in one["@id"]]


def test_nothing_of_machine_or_people(project: Path) -> None:
    absolute = project / "elsewhere.safetensors"
    absolute.write_bytes(b"weights")
    config = Config.model_validate(
        {"samples": str(project / "samples.tsv"), "classify": {"model": {"weights": str(absolute)}}}
    )
    write(project, settings=config)
    said = "".join(
        (project / "results" / name).read_text() for name in ("ro-crate-metadata.json", "provenance/config.json")
    )
    assert str(project) not in said and str(Path.home()) + "/" not in said and PATIENT not in said
    for name in (socket.gethostname(), getpass.getuser()):
        assert f"/{name}/" not in said
    crate = read_crate(project / "results")
    assert crate["#input/weights/classify"]["name"] == "elsewhere.safetensors"
    assert crate["#input/weights/classify"]["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_absolute_paths_of_a_sheet_go_by_their_names(project: Path, tmp_path: Path) -> None:
    far = tmp_path / "far" / "samples.tsv"
    far.parent.mkdir()
    rows = [f"{name}\t{project / 'images' / name}.tif" for name in ("good", "cut")]
    far.write_text("\n".join(["sample\tpath", *rows]) + "\n")
    write_provenance(project / "results", far, settings=Config())
    crate = read_crate(project / "results")
    assert crate["#input/images/good/image"]["name"] == "good.tif" and "sha256" in crate["#input/images/good/image"]
    assert crate["#input/samples"]["name"] == "samples.tsv"
    assert plain({"a": ["/x/y.z", "~/y"], "b": "u/v", "c": 1}) == {"a": ["y.z", "y"], "b": "u/v", "c": 1}


def test_image_of_several_files_is_hashed_whole(tmp_path: Path) -> None:
    (tmp_path / "a.mrxs").write_bytes(b"a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".hidden").write_bytes(b"1")
    (tmp_path / "a" / "data.dat").write_bytes(b"22")
    (tmp_path / "samples.tsv").write_text("sample\tpath\na\ta.mrxs\nb\ts3://bucket/b.tif?key=1\n")
    samples = read_samples(tmp_path / "samples.tsv", check_files=False)
    found = sample_inputs(samples, tmp_path, images={"b": tmp_path / "a.mrxs"}, tissues={})
    assert [(one.key, one.name) for one in found] == [
        ("a/image", "a.mrxs"), ("a/image/a", "a"), ("b/image", "s3://bucket/b.tif"),
    ]  # fmt: skip
    before = checksum_of(tmp_path / "a")
    assert before.n_bytes == 3
    (tmp_path / "a" / ".hidden").write_bytes(b"0")
    assert checksum_of(tmp_path / "a").sha256 != before.sha256


def test_weights_that_are_read_are_named_and_no_others() -> None:
    assert weights_inputs(Config()) == []
    config = Config.model_validate({"segmentation": {"method": "maskrcnn"}, "tissue": {"enabled": True}})
    found = weights_inputs(config)
    assert [one.name for one in found] == ["cellseg/weights/nucleus.safetensors", "cellseg/weights/colon.safetensors"]
    assert all(one.path.is_file() for one in found)


def test_results_of_other_settings_and_samples_are_told_apart(project: Path) -> None:
    results = project / "results"
    for name in ("samples/good/tissue/tissue.json", "samples/gone/cells.csv", "train/weights.csv", ".DS_Store"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("{}")
    crate = crate_of(project)
    assert crate["samples/good/tissue/tissue.json"]["description"] == "of an earlier run with other settings"
    assert {"@id": "samples/good/tissue/tissue.json"} not in crate["#run"]["result"]
    assert not {"samples/gone/cells.csv", "train/weights.csv", ".DS_Store"} & set(crate)


def test_a_sheet_of_other_samples_and_no_ledger_are_refused(project: Path) -> None:
    sheet = project / "samples.tsv"
    sheet.write_text(sheet.read_text().replace("cut\t", "other\t"))
    with pytest.raises(ConfigError, match="not those of"):
        write(project)
    (project / "results" / "slides.tsv").unlink()
    with pytest.raises(TableError, match="no readable ledger"):
        write(project)


def test_a_workflow_out_of_sight_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellseg.__file__", str(project / "nowhere" / "cellseg" / "__init__.py"))
    crate_of(project, workflow=project / "Snakefile")
    assert "could not be read" in (project / "results" / "provenance" / "Snakefile").read_text()
