"""The cohort's tables: every sample's results in, summaries and slides.tsv out. Floor 6."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import binomtest

from cellseg.classify.finding import float_column
from cellseg.classify.tissues import TISSUE
from cellseg.cohort_columns import SUMMARY_COLUMNS, SUMMARY_FEATURES, TISSUE_SUMMARY_COLUMNS, WDBC_COLUMNS
from cellseg.columns import Column, full_name, mapped_tissues
from cellseg.io.samples import Sample, read_samples
from cellseg.io.table import ARROW_TYPES, TableWriter, read_batches, read_schema
from cellseg.measure.wdbc import FEATURES, summarize_wdbc10
from cellseg.stages.ledger import LedgerRow, judge_sample, write_ledger
from cellseg.stages.outcome import read_failure
from cellseg.stages.results import TISSUE_MAP, MapFiles, sample_folder
from cellseg.types import STATUSES

NAN = float("nan")
_DECIMALS = 6


def summarize_cohort(results: Path, sheet: Path) -> list[LedgerRow]:
    """Write the tables of a cohort into `results`.

    `summary.csv`, `summary_tissue.csv` and `summary_wdbc10.csv` have the samples that did not fail, `slides.tsv` has
    every sample.

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
    done = [sample for sample, row in zip(samples, ledger, strict=True) if row.outcome != "failed"]
    folders = [sample_folder(results, sample.sample) for sample in done]
    rows = [summarize_sample(folder, sample) for folder, sample in zip(folders, done, strict=True)]
    parts = [summarize_tissues(folder, sample) for folder, sample in zip(folders, done, strict=True)]
    _write(results / "summary.csv", SUMMARY_COLUMNS, rows)
    _write(results / "summary_tissue.csv", TISSUE_SUMMARY_COLUMNS, [row for part in parts for row in part])
    wdbc = [summarize_cells_wdbc10(folder, sample) for folder, sample in zip(folders, done, strict=True)]
    _write(results / "summary_wdbc10.csv", WDBC_COLUMNS, [row for row in wdbc if row is not None])
    write_ledger(results, ledger)
    return ledger


def summarize_sample(folder: Path, sample: Sample) -> dict[str, Any]:
    """One row of `summary.csv` from a sample's finished folder."""
    recipe = json.loads((folder / "preprocess/recipe.json").read_text(encoding="utf-8"))
    quality = json.loads((folder / "preprocess/quality.json").read_text(encoding="utf-8"))
    cells = folder / "cells.parquet"
    counts, kept = _read_status(cells)
    tissue_mm2 = float(quality["tissue_area_mm2"])
    medians = _medians(cells, kept)
    return {
        "sample": sample.sample,
        "patient": sample.patient or "",
        "group": sample.group,
        "stain": recipe["stain"],
        "mpp": float(recipe["mpp"]),
        "n_cells": kept.size,
        **{f"n_{name}": counts[name] for name in STATUSES},
        "judged_by": _judged_by(counts, scored=not np.isnan(medians["median_abnormal_score"])),
        **share_abnormal(counts["healthy"], counts["abnormal"]),
        "share_uncertain": _ratio(counts["uncertain"], kept.size - counts["excluded"]),
        "tissue_area_mm2": round(tissue_mm2, _DECIMALS),
        "cells_per_mm2": _ratio(kept.size, tissue_mm2),
        **medians,
    }


def summarize_tissues(folder: Path, sample: Sample) -> list[dict[str, Any]]:
    """Rows of `summary_tissue.csv` from a sample's finished folder, in the order of its map; none without a map."""
    cells, record = folder / "cells.parquet", MapFiles(folder / TISSUE_MAP).record
    # a map that an earlier run left there is not what these cells were measured on
    if not (mapped_tissues(read_schema(cells).names) and record.is_file()) or read_failure(record) is not None:
        return []
    record_areas = json.loads(record.read_text(encoding="utf-8"))["areas"]
    areas = {area["tissue"]: float(area["area_mm2"]) for area in record_areas}
    counts, whole_mm2 = _count_by_tissue(cells), sum(areas.values())
    places = areas | {name: NAN for name in sorted(counts) if name not in areas}
    whose = {"sample": sample.sample, "patient": sample.patient or "", "group": sample.group}
    return [whose | _tissue_row(name, area, whole_mm2, counts[name]) for name, area in places.items()]


def summarize_cells_wdbc10(folder: Path, sample: Sample) -> dict[str, Any] | None:
    """One row of `summary_wdbc10.csv` from a sample's finished folder; None where the family was not measured."""
    cells = folder / "cells.parquet"
    present = read_schema(cells).names
    named = {name: full_name(name, present) for name in FEATURES}
    if not set(named.values()) <= set(present):
        return None
    _, kept = _read_status(cells)
    columns = {name: _read_kept(cells, at, kept) for name, at in named.items()}
    figures = {name: round(value, _DECIMALS) for name, value in summarize_wdbc10(columns).items()}
    whose = {"sample": sample.sample, "patient": sample.patient or "", "group": sample.group}
    return whose | {"n_cells": int(kept.sum())} | figures


def _tissue_row(tissue: str, area_mm2: float, whole_mm2: float, counts: Counter[str]) -> dict[str, Any]:
    n_cells = sum(counts.values())
    return {
        "tissue": tissue,
        "area_mm2": round(area_mm2, _DECIMALS),
        "area_share": _ratio(area_mm2, whole_mm2),
        "n_cells": n_cells,
        **{f"n_{name}": counts[name] for name in STATUSES},
        "cells_per_mm2": _ratio(n_cells, area_mm2),
        **share_abnormal(counts["healthy"], counts["abnormal"]),
    }


def _count_by_tissue(cells: Path) -> defaultdict[str, Counter[str]]:
    """Cells per status in each tissue, "" for those in none; only tissues that cells lie in."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for batch in read_batches(cells, [TISSUE, "status"]):
        grouped = batch.group_by([TISSUE, "status"]).aggregate([([], "count_all")])
        for tissue, status, n in zip(
            *(grouped[name].to_pylist() for name in (TISSUE, "status", "count_all")), strict=True
        ):
            counts[tissue][status] += n
    return counts


def _judged_by(counts: Counter[str], *, scored: bool) -> str:
    """What the verdicts rest on; empty where no cell was judged."""
    if sum(counts.values()) == counts["excluded"]:
        return ""
    if scored:
        return "reference"
    return "rules" if counts["healthy"] + counts["abnormal"] else "nothing"


def share_abnormal(n_healthy: int, n_abnormal: int) -> dict[str, float]:
    """The share of abnormal cells among the decided and its 95 % interval; all NaN when none is decided.

    The interval is Wilson's (1927, J Am Stat Assoc 22:209) and treats cells as independent. Cells of one slide resemble
    each other, so it says how well the cells were counted, not how well the patient is known.
    """
    names = ("share_abnormal", "share_abnormal_low", "share_abnormal_high")
    n_decided = n_healthy + n_abnormal
    if n_decided == 0:
        return dict.fromkeys(names, NAN)
    interval = binomtest(n_abnormal, n_decided).proportion_ci(0.95, method="wilson")
    values = (n_abnormal / n_decided, float(interval.low), float(interval.high))
    return {name: round(value, _DECIMALS) for name, value in zip(names, values, strict=True)}


def _read_status(cells: Path) -> tuple[Counter[str], NDArray[np.bool_]]:
    """Cells per status, and which are not excluded, in the order of the table."""
    counts: Counter[str] = Counter()
    kept = [np.ones(0, bool)]
    for batch in read_batches(cells, ["status"]):
        counts.update(batch["status"].to_pylist())
        kept.append(pc.not_equal(batch["status"], "excluded").to_numpy())
    return counts, np.concatenate(kept)


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, _DECIMALS) if whole else NAN


def _medians(cells: Path, kept: NDArray[np.bool_]) -> dict[str, float]:
    """Median of each feature of the summary over the kept cells, one column in memory at a time."""
    present = set(read_schema(cells).names)
    known = {name: full_name(name, present) for name in SUMMARY_FEATURES}
    return {f"median_{name}": _median(cells, at, kept) if at in present else NAN for name, at in known.items()}


def _median(cells: Path, name: str, kept: NDArray[np.bool_]) -> float:
    values = _read_kept(cells, name, kept)
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), _DECIMALS) if values.size else NAN


def _read_kept(cells: Path, name: str, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A column over the cells that are not excluded."""
    parts = [float_column(batch, name) for batch in read_batches(cells, [name])]
    return np.concatenate([*parts, np.empty(0)])[kept]


def _write(path: Path, columns: tuple[Column, ...], rows: Sequence[dict[str, Any]]) -> None:
    with TableWriter(path, columns) as writer:
        writer.write(pa.table({c.name: pa.array([row[c.name] for row in rows], ARROW_TYPES[c.dtype]) for c in columns}))
