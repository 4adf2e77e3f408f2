"""The cohort's tables: every sample's results in, summaries and slides.tsv out. Floor 6."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.tissues import TISSUE
from cellseg.cohort_columns import (
    PATIENT_SUMMARY_COLUMNS,
    SLIDE_SUMMARY_COLUMNS,
    SUMMARY_COLUMNS,
    SUMMARY_FEATURES,
    TISSUE_SUMMARY_COLUMNS,
    WDBC_COLUMNS,
)
from cellseg.columns import Column, full_name, mapped_tissues, object_names
from cellseg.io.samples import Sample, read_samples
from cellseg.io.table import ARROW_TYPES, TableColumns, TableWriter
from cellseg.measure.wdbc import FEATURES, summarize_wdbc10
from cellseg.stages.ledger import LedgerRow, judge_sample, write_ledger
from cellseg.stages.outcome import read_failure
from cellseg.stages.results import TISSUE_MAP, MapFiles, sample_folder
from cellseg.stages.sample_verdicts import (
    VERDICT_COLUMNS,
    SampleTotals,
    SampleVerdicts,
    count_flags,
    exclusion_columns,
    field_share,
    judges_of,
    mean_probability,
    ratio,
    read_floats,
    read_if_there,
    read_verdicts,
    total_up,
    wilson_columns,
)
from cellseg.stages.summary_groups import summarize_patients, summarize_slides

NAN = float("nan")
_DECIMALS = 6
_AHEAD = (
    *VERDICT_COLUMNS, "healthy_p_value", TISSUE,
    *(column for feature in (*SUMMARY_FEATURES, *FEATURES) for column in object_names(feature)),
)  # fmt: skip


def summarize_cohort(results: Path, sheet: Path) -> list[LedgerRow]:
    """Write the tables of a cohort into `results`.

    `summary.csv`, `summary_tissue.csv` and `summary_wdbc10.csv` have the samples that did not fail, `summary_slide.csv`
    and `summary_patient.csv` the slides and patients that the sheet names, `slides.tsv` every sample.

    Parameters
    ----------
    results : Path
        Folder of the run.
    sheet : Path
        The sample sheet of that run.

    Returns
    -------
    list of LedgerRow
        The rows of `slides.tsv`, in the order of the sheet.

    Raises
    ------
    ConfigError
        If the sheet is faulty.
    """
    samples = read_samples(sheet, check_files=False)
    ledger = [judge_sample(results, sample) for sample in samples]
    rows: list[dict[str, Any]] = []
    tissues: list[dict[str, Any]] = []
    wdbc: list[dict[str, Any]] = []
    done: dict[str, SampleTotals] = {}
    for sample, fate in zip(samples, ledger, strict=True):
        if fate.outcome == "failed":
            continue
        folder = sample_folder(results, sample.sample)
        with TableColumns(folder / "cells.parquet", _AHEAD) as cells:
            verdicts = read_verdicts(cells, sample)
            totals = done[sample.sample] = total_up(verdicts)
            rows.append(summarize_sample(folder, cells, verdicts, totals))
            tissues += summarize_tissues(folder, cells, verdicts)
            wdbc += summarize_cells_wdbc10(cells, verdicts)
    _write(results / "summary.csv", SUMMARY_COLUMNS, rows)
    _write(results / "summary_tissue.csv", TISSUE_SUMMARY_COLUMNS, tissues)
    _write(results / "summary_wdbc10.csv", WDBC_COLUMNS, wdbc)
    _write(results / "summary_slide.csv", SLIDE_SUMMARY_COLUMNS, summarize_slides(samples, done))
    _write(results / "summary_patient.csv", PATIENT_SUMMARY_COLUMNS, summarize_patients(samples, done))
    write_ledger(results, ledger)
    return ledger


def summarize_sample(
    folder: Path, cells: TableColumns, verdicts: SampleVerdicts, totals: SampleTotals
) -> dict[str, Any]:
    """One row of `summary.csv` from a sample's finished folder, its cells, their verdicts and totals."""
    recipe = json.loads((folder / "segment/recipe.json").read_text(encoding="utf-8"))
    quality = json.loads((folder / "segment/quality.json").read_text(encoding="utf-8"))
    counts = totals.counts
    tissue_mm2 = float(quality["tissue_area_mm2"])
    return {
        **_whose(verdicts.sample),
        "stain": recipe["stain"],
        "mpp": float(recipe["mpp"]),
        **counts,
        "judged_by": _judged_by(cells, verdicts, counts),
        **field_share(totals),
        **wilson_columns(counts),
        "mean_abnormal_probability": mean_probability([totals]),
        "share_uncertain": ratio(counts["n_uncertain"], counts["n_cells"] - counts["n_excluded"]),
        **count_flags(cells),
        **exclusion_columns(verdicts, counts),
        "tissue_area_mm2": round(tissue_mm2, _DECIMALS),
        "cells_per_mm2": ratio(counts["n_cells"], tissue_mm2),
        **_medians(cells, verdicts.kept),
    }


def summarize_tissues(folder: Path, cells: TableColumns, verdicts: SampleVerdicts) -> list[dict[str, Any]]:
    """Rows of `summary_tissue.csv` from a sample's finished folder, in the order of its map; none without a map."""
    record = MapFiles(folder / TISSUE_MAP).record
    # a map that an earlier run left there is not what these cells were measured on
    if not (mapped_tissues(cells.names) and record.is_file()) or read_failure(record) is not None:
        return []
    record_areas = json.loads(record.read_text(encoding="utf-8"))["areas"]
    areas = {area["tissue"]: float(area["area_mm2"]) for area in record_areas}
    rows_of, whole_mm2 = _cells_by_tissue(cells), sum(areas.values())
    places = areas | {name: NAN for name in sorted(rows_of) if name not in areas}
    nowhere = np.zeros(verdicts.status.size, bool)
    whose = _whose(verdicts.sample)
    return [
        whose | _tissue_row(name, area, whole_mm2, verdicts.select(rows_of.get(name, nowhere)))
        for name, area in places.items()
    ]


def summarize_cells_wdbc10(cells: TableColumns, verdicts: SampleVerdicts) -> list[dict[str, Any]]:
    """The row of `summary_wdbc10.csv` from a sample's cells; none where the family was not measured."""
    present, kept = cells.names, verdicts.kept
    named = {name: full_name(name, present) for name in FEATURES}
    if not set(named.values()) <= set(present):
        return []
    columns = {name: read_floats(cells, at)[kept] for name, at in named.items()}
    figures = {name: round(value, _DECIMALS) for name, value in summarize_wdbc10(columns).items()}
    return [_whose(verdicts.sample) | {"n_cells": int(kept.sum())} | figures]


def _whose(sample: Sample) -> dict[str, Any]:
    return {"sample": sample.sample, "patient": sample.patient or "", "group": sample.group}


def _tissue_row(tissue: str, area_mm2: float, whole_mm2: float, part: SampleVerdicts) -> dict[str, Any]:
    totals = total_up(part)
    return {
        "tissue": tissue,
        "area_mm2": round(area_mm2, _DECIMALS),
        "area_share": ratio(area_mm2, whole_mm2),
        **totals.counts,
        "cells_per_mm2": ratio(totals.counts["n_cells"], area_mm2),
        **field_share(totals),
    }


def _cells_by_tissue(cells: TableColumns) -> dict[str, NDArray[np.bool_]]:
    """Which cells lie in each tissue, "" for none; only tissues that cells lie in."""
    encoded = cells.read(TISSUE)[TISSUE].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    return {name: codes == code for code, name in enumerate(encoded.dictionary.to_pylist())}


def _judged_by(cells: TableColumns, verdicts: SampleVerdicts, counts: Mapping[str, int]) -> str:
    """What the verdicts rest on; empty where no cell was judged."""
    kept = verdicts.kept
    if not kept.any():
        return ""
    scored = judges_of(cells, kept)
    by_reference = "reference" in scored or np.isfinite(read_if_there(cells, "healthy_p_value", kept.size)[kept]).any()
    judges = [name for name, judged in (("model", "model" in scored), ("reference", by_reference)) if judged]
    if judges:
        return " and ".join(judges)
    return "rules" if counts["n_healthy"] + counts["n_abnormal"] else "nothing"


def _medians(cells: TableColumns, kept: NDArray[np.bool_]) -> dict[str, float]:
    """Median of each feature of the summary over the kept cells, one column in memory at a time."""
    present = set(cells.names)
    known = {name: full_name(name, present) for name in SUMMARY_FEATURES}
    return {f"median_{name}": _median(cells, at, kept) if at in present else NAN for name, at in known.items()}


def _median(cells: TableColumns, name: str, kept: NDArray[np.bool_]) -> float:
    values = read_floats(cells, name)[kept]
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), _DECIMALS) if values.size else NAN


def _write(path: Path, columns: tuple[Column, ...], rows: Sequence[dict[str, Any]]) -> None:
    with TableWriter(path, columns) as writer:
        writer.write(pa.table({c.name: pa.array([row[c.name] for row in rows], ARROW_TYPES[c.dtype]) for c in columns}))
