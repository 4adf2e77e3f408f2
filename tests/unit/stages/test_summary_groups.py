"""Slides and patients: which samples belong together, what their cells are clustered by, and sums by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cellseg.classify.shares import estimate_share
from cellseg.io.samples import Sample
from cellseg.stages.sample_verdicts import SampleTotals
from cellseg.stages.summary_groups import slide_of, summarize_patients, summarize_slides


def sample(name, *, patient=None, slide=None, group="test"):
    return Sample(sample=name, path=Path(f"{name}.png"), patient=patient, slide=slide, group=group)


def totals(of, abnormal, decided, *, excluded=0, probability=0.0, n_probable=0):
    """A sample whose fields have so many abnormal and decided cells."""
    counts = {
        "n_cells": sum(decided) + excluded, "n_healthy": sum(decided) - sum(abnormal), "n_abnormal": sum(abnormal),
        "n_uncertain": 0, "n_excluded": excluded,
    }  # fmt: skip
    fields = (np.array(abnormal, np.int64), np.array(decided, np.int64))
    return SampleTotals(of, counts, *fields, 250.0, probability, n_probable)


def by_name(*parts):
    return {part.sample.sample: part for part in parts}


def share_of(row):
    return tuple(row[f"share_abnormal{end}"] for end in ("", "_low", "_high"))


def expected(abnormal, decided):
    share = estimate_share(np.array(abnormal), np.array(decided))
    return pytest.approx((share.share, share.low, share.high), abs=6e-7)


def test_two_slides_of_a_patient_are_the_clusters_however_many_images_they_have():
    sheet = [sample(name, patient="P", slide=name[0]) for name in ("a1", "a2", "b1")]
    done = by_name(*(totals(of, [k], [20]) for of, k in zip(sheet, (2, 4, 10), strict=True)))
    (row,) = summarize_patients(sheet, done)
    assert (row["patient"], row["n_slides"], row["n_samples"], row["clusters"], row["n_clusters"]) == (
        "P", 2, 3, "slides", 2,
    )  # fmt: skip
    assert share_of(row) == expected([6, 10], [40, 20])


def test_one_slide_is_clustered_by_its_images_and_one_image_by_its_fields():
    two = [sample("a1", patient="P", slide="S"), sample("a2", patient="P", slide="S")]
    parts = by_name(totals(two[0], [1, 2], [10, 10]), totals(two[1], [4], [30]))
    (patient,), (slide,) = summarize_patients(two, parts), summarize_slides(two, parts)
    for row in (patient, slide):
        assert (row["clusters"], row["n_clusters"]) == ("images", 2)
        assert share_of(row) == expected([3, 4], [20, 30])
    one = two[:1]
    for row in (*summarize_patients(one, parts), *summarize_slides(one, parts)):
        assert (row["clusters"], row["n_clusters"]) == ("fields", 2)
        assert share_of(row) == expected([1, 2], [10, 10])


def test_slides_without_decided_cells_are_no_clusters():
    sheet = [sample("a", patient="P"), sample("b", patient="P")]
    done = by_name(totals(sheet[0], [1, 5, 0], [10, 10, 10]), totals(sheet[1], [], [], excluded=7))
    (row,) = summarize_patients(sheet, done)
    assert (row["n_slides"], row["n_cells"], row["n_excluded"], row["clusters"]) == (2, 37, 7, "fields")
    assert share_of(row) == expected([1, 5, 0], [10, 10, 10])


def test_a_patient_without_decided_cells_has_no_share():
    sheet = [sample("a", patient="P"), sample("b", patient="P")]
    done = by_name(*(totals(of, [], [], excluded=3) for of in sheet))
    (row,) = summarize_patients(sheet, done)
    assert (row["n_cells"], row["n_excluded"], row["clusters"], row["n_clusters"]) == (6, 6, "", 0)
    assert all(math.isnan(value) for value in (*share_of(row), row["design_effect"], row["mean_abnormal_probability"]))


def test_failed_samples_are_counted_and_a_patient_of_nothing_else_keeps_a_row():
    sheet = [sample("a", patient="P"), sample("b", patient="P"), sample("c", patient="Q")]
    first, second = summarize_patients(sheet, by_name(totals(sheet[0], [1], [10])))
    assert (first["patient"], first["n_slides"], first["n_samples"], first["n_failed"]) == ("P", 1, 1, 1)
    assert (second["patient"], second["n_slides"], second["n_samples"], second["n_failed"]) == ("Q", 0, 0, 1)
    assert second["n_cells"] == 0 and math.isnan(second["share_abnormal"])


def test_no_rows_where_the_sheet_names_none():
    sheet = [sample("a"), sample("b")]
    done = by_name(*(totals(of, [1], [10]) for of in sheet))
    assert summarize_patients(sheet, done) == [] and summarize_slides(sheet, done) == []
    # a patient is no slide, a slide no patient
    assert summarize_slides([sample("a", patient="P")], done) == []
    assert summarize_patients([sample("a", slide="S")], done) == []


def test_slides_count_within_a_patient_and_a_sample_without_one_is_its_own():
    sheet = [
        sample("a", patient="P", slide="1"), sample("b", patient="Q", slide="1"), sample("c"),
        sample("d", patient="P", slide="1"),
    ]  # fmt: skip
    rows = summarize_slides(sheet, by_name(*(totals(of, [1], [10]) for of in sheet)))
    assert [(row["patient"], row["slide"], row["n_samples"]) for row in rows] == [
        ("P", "1", 2),
        ("Q", "1", 1),
        ("", "c", 1),
    ]
    assert slide_of(sheet[2]) == ("", "c")


def test_the_mean_probability_weighs_cells_and_groups_are_named_together():
    sheet = [sample("a", patient="P", group="reference"), sample("b", patient="P")]
    parts = (
        totals(sheet[0], [1], [10], probability=1.0, n_probable=10),
        totals(sheet[1], [1], [30], probability=15.0, n_probable=30),
    )
    (row,) = summarize_patients(sheet, by_name(*parts))
    assert row["mean_abnormal_probability"] == 0.4
    assert row["group"] == "reference, test"
