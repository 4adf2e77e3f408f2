"""The demo: one real image and two simulated slides with known truth, and how the pipeline did on them. Floor 6."""

from __future__ import annotations

import json
import math
from pathlib import Path

import imagecodecs
import numpy as np

from cellseg.errors import ConfigError, TableError
from cellseg.evaluate.matching import figures, score_overlaps
from cellseg.io.atomic import atomic_path, write_text
from cellseg.io.table import read_table
from cellseg.stages.evaluate import Row, format_rows, read_overlaps
from cellseg.stages.evaluate_verdict import evaluate_verdict
from cellseg.stages.judged_cells import VerdictCase, read_truth
from cellseg.stages.results import sample_folder
from cellseg.stages.simulate import simulate_sample

REAL_SAMPLE = "tissue_hdab"
REAL_MPP = 0.5
"""um per pixel; an assumption, for the file states none. It fits: the colon epithelium's nuclei in it are about 12 x 24
px, and such nuclei are about 6 x 12 um; a 20x scan has 0.5 um a pixel."""
REFERENCE_SAMPLE = "simulated_healthy"
TEST_SAMPLE = "simulated_mixed"
ABNORMAL_SHARE = 0.25
_SEED = 2026


def write_demo(folder: Path) -> Path:
    """Write the demo's images, the truth of the simulated ones and the sample sheet; returns the sheet.

    The real image is scikit-image's `data.immunohistochemistry()`: human colon, hematoxylin and DAB, 512 x 512 px.
    The same bytes each time, so that a workflow sees nothing new when the demo is written again.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    from skimage.data import immunohistochemistry

    images = folder / "images"
    with atomic_path(images / f"{REAL_SAMPLE}.png") as temporary:
        temporary.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(immunohistochemistry())))
    simulate_sample(images, REFERENCE_SAMPLE, kind="healthy", seed=_SEED)
    simulate_sample(images, TEST_SAMPLE, kind="mixed", seed=_SEED + 1, abnormal_share=ABNORMAL_SHARE)
    rows = [
        ("sample", "path", "mpp", "patient", "group", "stain"),
        (REFERENCE_SAMPLE, f"images/{REFERENCE_SAMPLE}.tif", "", "", "reference", "he"),
        (TEST_SAMPLE, f"images/{TEST_SAMPLE}.tif", "", "", "test", "he"),
        (REAL_SAMPLE, f"images/{REAL_SAMPLE}.png", f"{REAL_MPP:g}", "", "test", "hdab"),
    ]
    sheet = folder / "samples.tsv"
    write_text(sheet, "".join("\t".join(row) + "\n" for row in rows))
    return sheet


def demo_summary(results: Path, folder: Path) -> list[Row]:
    """What a run found on the demo in `folder`, one row a sample; figures against truth for the simulated slides.

    Columns: `sample`, `method` of segmentation, `outcome`, `n_cells`, `n_true`, `abnormal_found` and `abnormal_true`
    (shares), `f1@0.5` of detection, `auroc` of the verdict; shares and AUROC with 95 % intervals.

    Raises
    ------
    ConfigError
        If the results are not of the demo, or the run is not finished.
    TableError, LabelError
        If a result cannot be read.
    """
    summary = results / "summary.csv"
    if not summary.is_file() or not (folder / "samples.tsv").is_file():
        raise ConfigError(
            f"{results} and {folder}: no finished run of the demo; run `make run`, or snakemake as it does"
        )
    names = ["sample", "n_cells", "share_abnormal", "share_abnormal_low", "share_abnormal_high"]
    found = {row["sample"]: row for row in read_table(summary, names).to_pylist()}
    rows = []
    for sample in (REFERENCE_SAMPLE, TEST_SAMPLE, REAL_SAMPLE):
        row: Row = {"sample": sample, "method": "", "outcome": "done" if sample in found else "failed"}
        if sample in found:
            row |= {"method": _method(sample_folder(results, sample))} | _found_row(found[sample])
            if sample != REAL_SAMPLE:
                row |= _truth_row(sample_folder(results, sample), folder / "images" / "truth", sample)
        rows.append(row)
    return rows


def format_demo(rows: list[Row]) -> str:
    """The rows of `demo_summary` as a plain text table, with a line that says what the columns are."""
    names = ["sample", "method", "n_cells", "n_true", "abnormal_found", "abnormal_true", "f1@0.5", "auroc"]
    if any(row["outcome"] != "done" for row in rows):
        names.insert(2, "outcome")
    return (
        format_rows(rows, names)
        + "\nabnormal_found, abnormal_true: share of the decided cells, and of the true ones, with 95 % interval"
        "\nf1@0.5: cells found, at IoU 0.5; auroc: verdict against truth, 0.5 is chance (simulated slides only)"
    )


def _method(sample: Path) -> str:
    """What segmented the sample, by its record."""
    record = sample / "segment" / "labels.json"
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["method"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{record}: not the record of a label image ({error!r}); run the demo again") from error


def _found_row(found: Row) -> Row:
    nan = float("nan")
    share = {f"abnormal_found{end}": found[f"share_abnormal{end}"] for end in ("", "_low", "_high")}
    return {"n_cells": found["n_cells"], **{key: nan if value is None else value for key, value in share.items()}}


def _truth_row(sample: Path, truth: Path, name: str) -> Row:
    labels, true_labels, true_table = (
        sample / "segment" / "labels.ome.tif",
        truth / f"{name}.ome.tif",
        truth / f"{name}.csv",
    )
    score = figures([score_overlaps(read_overlaps(labels, true_labels))])
    try:
        (verdict,) = evaluate_verdict([VerdictCase(sample / "cells.parquet", labels, true_labels, true_table)])
    except TableError as error:
        raise TableError(f"{name}: {error}; run the demo again") from error
    ids, abnormal = read_truth(true_table)
    row: Row = {
        "n_true": ids.size,
        "abnormal_true": float(abnormal.mean()),
        "f1@0.5": score["f1@0.5"],
        "auroc": verdict["auroc"],
    }
    if not math.isnan(verdict["auroc"]):
        row |= {"auroc_low": verdict["auroc_low"], "auroc_high": verdict["auroc_high"]}
    return row
