"""The demo's files, and its closing table on results that are known."""

import json
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cellseg.cli import main
from cellseg.errors import ConfigError
from cellseg.io.samples import read_samples
from cellseg.io.slide import open_slide
from cellseg.stages.demo import (
    REAL_MPP,
    REAL_SAMPLE,
    REFERENCE_SAMPLE,
    TEST_SAMPLE,
    demo_summary,
    format_demo,
    write_demo,
)
from cellseg.stages.judged_cells import read_truth


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with space") / "demo"
    write_demo(folder)
    return folder


def test_the_sheet_names_three_readable_images(demo):
    samples = read_samples(demo / "samples.tsv")
    assert [(s.sample, s.group, s.stain) for s in samples] == [
        (REFERENCE_SAMPLE, "reference", "he"),
        (TEST_SAMPLE, "test", "he"),
        (REAL_SAMPLE, "test", "hdab"),
    ]
    assert [s.mpp for s in samples] == [None, None, REAL_MPP]
    for sample in samples:
        with open_slide(sample.path) as slide:
            assert slide.is_rgb
            # the simulated ones say their pixel size themselves
            assert (slide.pixel_size is None) == (sample.sample == REAL_SAMPLE)


def test_written_again_it_is_the_same(demo, tmp_path):
    write_demo(tmp_path / "again")
    files = sorted(p.relative_to(demo) for p in demo.rglob("*") if p.is_file())
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (demo / file).read_bytes(), file


def write_results(demo, results, method="threshold"):
    """Results that are the truth itself: every cell found, every verdict right."""
    for name in (REFERENCE_SAMPLE, TEST_SAMPLE, REAL_SAMPLE):
        record = results / "samples" / name / "segment" / "labels.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"method": method}))
    lines = ["sample,n_cells,share_abnormal,share_abnormal_low,share_abnormal_high", f"{REAL_SAMPLE},7,,,"]
    for name in (REFERENCE_SAMPLE, TEST_SAMPLE):
        folder, truth = results / "samples" / name, demo / "images" / "truth"
        shutil.copy(truth / f"{name}.ome.tif", folder / "segment" / "labels.ome.tif")
        ids, abnormal = read_truth(truth / f"{name}.csv")
        status = pa.array(np.where(abnormal, "abnormal", "healthy").tolist())
        cells = {"cell_id": ids, "status": status, "abnormal_score": abnormal.astype(float)}
        pq.write_table(pa.table(cells), folder / "cells.parquet")
        lines.append(f"{name},{ids.size},{abnormal.mean()},0.1,0.3")
    (results / "summary.csv").write_text("\n".join(lines) + "\n")


def test_the_closing_table(demo, tmp_path):
    write_results(demo, tmp_path)
    healthy, mixed, real = demo_summary(tmp_path, demo)
    assert (healthy["f1@0.5"], healthy["abnormal_true"], healthy["outcome"]) == (1.0, 0.0, "done")
    assert np.isnan(healthy["auroc"])
    assert (mixed["f1@0.5"], mixed["auroc"]) == (1.0, 1.0)
    assert mixed["abnormal_true"] == pytest.approx(0.25, abs=0.01)
    assert mixed["abnormal_found"] == pytest.approx(mixed["abnormal_true"])
    assert (real["n_cells"], "f1@0.5" in real) == (7, False)
    assert [row["method"] for row in (healthy, mixed, real)] == ["threshold"] * 3
    text = format_demo([healthy, mixed, real])
    assert "outcome" not in text.splitlines()[0]
    assert "1.000" in text


def test_a_failed_sample_is_named(demo, tmp_path):
    write_results(demo, tmp_path)
    summary = tmp_path / "summary.csv"
    summary.write_text("\n".join(line for line in summary.read_text().splitlines() if TEST_SAMPLE not in line) + "\n")
    rows = demo_summary(tmp_path, demo)
    assert [row["outcome"] for row in rows] == ["done", "failed", "done"]
    assert "failed" in format_demo(rows)


def test_both_methods_stand_in_one_table(demo, tmp_path, monkeypatch, capsys):
    write_results(demo, tmp_path / "one")
    write_results(demo, tmp_path / "two", "maskrcnn")
    reports = ["--report", str(tmp_path / "one"), "--report", str(tmp_path / "two")]
    monkeypatch.setattr(sys, "argv", ["cellseg", "demo", str(demo), *reports])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split()[:2]) for line in lines[1:7]] == [
        (sample, method)
        for sample in sorted((REFERENCE_SAMPLE, TEST_SAMPLE, REAL_SAMPLE))
        for method in ("threshold", "maskrcnn")
    ]


def test_a_record_that_is_none_is_named(demo, tmp_path):
    write_results(demo, tmp_path)
    record = tmp_path / "samples" / TEST_SAMPLE / "segment" / "labels.json"
    record.write_text("[]")
    with pytest.raises(ConfigError, match=r"labels\.json.*run the demo again"):
        demo_summary(tmp_path, demo)


def test_no_run_yet(demo, tmp_path):
    with pytest.raises(ConfigError, match="make run"):
        demo_summary(tmp_path, demo)
