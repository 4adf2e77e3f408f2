"""Patients, barcodes, cases and operators that slides name reach no result, log or message; labels reach no picture.

Slides of scanners and laboratories, whole, cut off and spoilt in what a reader might quote, go through the workflow
once; then every byte that it left is searched.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from fields import he_field
from planted_files import LAB_WRITERS, TRACES, contents, cut, label_share, search, spoilt
from slide_files import WRITERS
from typer.testing import CliRunner
from workflow.project import Project

from cellseg.cli import app

pytestmark = pytest.mark.slow
PIXELS = he_field(shape=(512, 512), seed=5).pixels
ALL = WRITERS | LAB_WRITERS
CUT_AT = (0.0005, 0.6)
OF_THE_SHEET = "patient_of_the_sheet"


class Ran(NamedTuple):
    """A run over `slides` (sample -> image), of which `whole` can be read."""

    project: Project
    slides: dict[str, Path]
    whole: dict[str, str]
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    project = Project(tmp_path_factory.mktemp("privacy") / "my project")
    slides: dict[str, Path] = {}
    whole: dict[str, str] = {}
    for number, (name, write) in enumerate(ALL.items()):
        for share in (None, *CUT_AT):
            folder = project.folder / "images" / f"{number}_{share}"
            folder.mkdir()
            sample = f"maker_{number}" if share is None else f"cut_{number}_{share}"
            slides[sample] = write(folder, PIXELS)[0]
            if share is None:
                whole[sample] = name
            else:
                cut(slides[sample], share)
    slides |= {f"spoilt_{name}": path for name, path in spoilt(project.folder / "images" / "spoilt", PIXELS).items()}
    lines = [
        f"{sample}\t{path.relative_to(project.folder)}\t{'0.5' if path.suffix == '.jpg' else ''}\t{OF_THE_SHEET}"
        for sample, path in slides.items()
    ]
    (project.folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp\tpatient", *lines]) + "\n")
    done = project.snakemake("--config", "compute={samples_per_job: 22}")
    return Ran(project, slides, whole, done)


def test_names_and_labels_are_planted_in_the_slides_where_the_format_has_room(ran: Ran) -> None:
    for sample, name in ran.whole.items():
        inside = ran.slides[sample].parent
        data = b"".join(part for file in inside.rglob("*") if file.is_file() for part in contents(file))
        assert len(search(data)) >= (4 if name == "JPEG" else len(TRACES)), name
    mirax = next(path for sample, path in ran.slides.items() if ran.whole.get(sample) == "OpenSlide mirax")
    label = mirax.with_name("label.jpg")
    label.write_bytes(mirax.read_bytes())
    assert label_share(label) > 0.99
    label.unlink()


def test_whole_slides_are_done_and_of_the_others_each_fails_in_words(ran: Ran) -> None:
    ledger = ran.project.ledger()
    assert list(ledger) == list(ran.slides)
    assert {ledger[sample]["outcome"] for sample in ran.whole} == {"done"}, ran.done.stdout
    assert all(int(ledger[sample]["n_cells"]) > 50 for sample in ran.whole)
    failed = [row for row in ledger.values() if row["outcome"] == "failed"]
    assert len(failed) >= len(ALL) * len(CUT_AT) * 0.9
    assert all(len(row["reason"]) > 40 for row in failed)


def test_no_planted_word_is_in_any_file_that_the_run_left_or_in_what_it_said(ran: Ran) -> None:
    assert search(ran.done.stdout.encode()) == []
    searched = []
    for folder in (ran.project.folder / "results", ran.project.folder / ".snakemake"):
        for file in folder.rglob("*"):
            assert search(file.relative_to(ran.project.folder).as_posix().encode()) == []
            if file.is_file():
                searched.append(file)
                assert [found for part in contents(file) for found in search(part)] == [], file
    endings = {"".join(file.suffixes[-2:]) for file in searched}
    assert endings >= {".json", ".csv", ".tsv", ".png", ".log", ".parquet", ".geojson.gz", ".ome.tif"}
    assert len(searched) > 30 * len(ran.whole)


def test_no_picture_shows_a_label(ran: Ran) -> None:
    pictures = list((ran.project.folder / "results").rglob("*.png"))
    names = {picture.name for picture in pictures}
    assert names >= {"thumbnail.png", "overlay.png", "quality.png", "features.png"}
    shown = [picture for picture in pictures if picture.read_bytes()[:1] == b"\x89"]  # the others stand for a failure
    assert len(shown) >= 5 * len(ran.whole)
    assert [picture for picture in shown if label_share(picture)] == []


def test_commands_that_describe_an_image_name_nobody(ran: Ran, tmp_path: Path) -> None:
    runner = CliRunner()
    for path in ran.slides.values():
        for words in (["info", str(path)], ["info", str(path), "--json"]):
            asked = runner.invoke(app, words)
            said = asked.output + str(asked.exception or "")
            assert search(said.encode()) == [], said
            assert path.name in said
    images = ran.project.folder / "images" / "spoilt" / "mirax_line"
    asked = runner.invoke(app, ["init", str(tmp_path / "new"), "--images", str(images)])
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert search(asked.output.encode() + str(asked.exception or "").encode() + written) == []


def test_what_the_lab_wrote_into_its_sheet_is_kept(ran: Ran) -> None:
    """Names of the lab's own choice are no metadata of a slide."""
    results = ran.project.folder / "results"
    assert OF_THE_SHEET in (results / "summary_patient.csv").read_text()
    assert "slide.svs" in (results / "slides.tsv").read_text()
