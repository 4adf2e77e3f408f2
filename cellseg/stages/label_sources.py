"""Where labels of cells and the cells themselves lie: files, folders, results; and what is of which sample. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cellseg.errors import ConfigError, TableError
from cellseg.io.cell_labels import TABLES, Marks, read_marks
from cellseg.io.geojson import ENDINGS, is_geojson
from cellseg.io.label_geojson import read_geojson_marks
from cellseg.io.labels import open_labels
from cellseg.io.samples import Sample
from cellseg.io.table import read_table
from cellseg.stages.match_marks import Pairs, scan_labels
from cellseg.stages.outcome import read_failure
from cellseg.stages.results import instances_path
from cellseg.types import Labels

_MARKED = ("_points", "_labels", "_classes", "_cells")
"""What names of files say beside the sample's name."""
_IMAGES = (".tif", ".tiff", ".png")


@dataclass(frozen=True)
class CellsOf:
    """The cells of a sample: a label image, or the ids of a table."""

    labels: Path | None
    ids: Labels | None = None


@dataclass(frozen=True)
class Source:
    """Marks of one file on one sample."""

    path: Path
    marks: Marks


def find_cells(path: Path, sample: str | None = None) -> dict[str, CellsOf]:
    """The cells of each sample of a results folder, a folder of label images, a label image, or a table.

    Raises
    ------
    ConfigError
        If there are none.
    TableError
        If a table lacks `cell_id`.
    """
    if path.suffix.lower() in (".parquet", ".csv") and path.is_file():
        return _cells_of_table(path, sample)
    if path.is_file():
        return {sample or path.stem.removesuffix(".ome").removesuffix("_labels"): CellsOf(path)}
    if not path.is_dir():
        raise ConfigError(f"{path}: no such file or folder; give a results folder, label images, or a table of cells")
    folder = path if (path / "samples").is_dir() else path.parent if path.name == "samples" else path
    if results := sorted(folder.glob("samples/*/segment/labels.ome.tif")):
        return {image.parent.parent.name: CellsOf(image) for image in results}
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGES and file.is_file())
    named = {file: file.stem.removesuffix(".ome") for file in files}
    chosen = [file for file in files if named[file].endswith("_labels")] or files
    if not chosen:
        raise ConfigError(f"{path}: no label images (.tif, .png) and no samples of a run; check the path")
    return {named[file].removesuffix("_labels"): CellsOf(file) for file in chosen}


def _cells_of_table(path: Path, sample: str | None) -> dict[str, CellsOf]:
    columns = ["cell_id"] if sample is not None else ["sample", "cell_id"]
    table = read_table(path, columns)
    ids = np.asarray(table["cell_id"].to_numpy(), np.uint32)
    if sample is not None:
        return {sample: CellsOf(None, ids)}
    codes = table["sample"].combine_chunks().cast(pa.string()).dictionary_encode()
    of = codes.indices.to_numpy()
    return {str(name): CellsOf(None, ids[of == at]) for at, name in enumerate(codes.dictionary.to_pylist())}


def sources_by_sample(sources: Sequence[Path], places: Mapping[str, CellsOf]) -> dict[str, list[Source]]:
    """The marks of each sample, in the order of the sources.

    Raises
    ------
    ConfigError
        If a file is not there, or is about no known sample.
    LabelError, TableError
        If one cannot be read.
    """
    found: dict[str, list[Source]] = {}
    for path in _files(sources):
        for marks in read_geojson_marks(path) if is_geojson(path) else (read_marks(path),):
            if marks.samples is None:
                found.setdefault(_sample_of(path, places), []).append(Source(path, marks))
                continue
            names, codes = np.unique(marks.samples.astype(str), return_inverse=True)
            if unknown := [str(name) for name in names if name not in places]:
                raise ConfigError(
                    f"{path}: {len(unknown)} samples are unknown ({', '.join(map(repr, unknown[:5]))}); known are "
                    f"{_some(places)}; correct the names, or leave their rows out"
                )
            order, n_rows = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=len(names))
            for name, rows in zip(names, np.split(order, np.cumsum(n_rows)[:-1]), strict=True):
                found.setdefault(str(name), []).append(Source(path, marks.take(rows)))
    return found


def _files(sources: Sequence[Path]) -> list[Path]:
    """The files, those of folders by name."""
    files: list[Path] = []
    for path in sources:
        if not path.exists():
            raise ConfigError(
                f"{path}: no such file or folder; give tables, points or GeoJSON files, or folders of them"
            )
        inside = sorted(file for file in path.iterdir() if _is_source(file)) if path.is_dir() else [path]
        if not inside:
            raise ConfigError(f"{path}: no file whose name ends in {', '.join((*TABLES, *ENDINGS))}; check the folder")
        files += inside
    return files


def _is_source(path: Path) -> bool:
    known = path.name.lower().endswith((*TABLES, *ENDINGS))
    return known and not path.name.startswith(".") and path.is_file()


def _sample_of(path: Path, places: Mapping[str, CellsOf]) -> str:
    """The sample that a file is named after, or the only one."""
    ending = next((e for e in (".geojson.gz", ".json.gz") if path.name.lower().endswith(e)), path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    shorter = [stem.removesuffix(mark) for mark in _MARKED]
    for name in (stem, *shorter):
        if name in places:
            return name
    if len(places) == 1:
        return next(iter(places))
    raise ConfigError(
        f"{path}: named after no sample, and without a column sample; known are {_some(places)}; rename the file after "
        "its sample, or add that column"
    )


def _some(places: Mapping[str, CellsOf]) -> str:
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return ", ".join(sorted(places)[:5]) + more


def named_cells(name: str, source: Source, place: CellsOf) -> Pairs:
    """The cells that rows name, after a check that there are such cells.

    Raises
    ------
    TableError
        If there is no such cell.
    """
    wanted = source.marks.cell_ids
    if wanted is None:
        raise ValueError("marks that do not name cells")
    ids = known_ids(place)
    missing = ~np.isin(wanted, ids)
    if missing.any():
        raise TableError(
            f"{source.path}: {int(missing.sum())} of {len(wanted)} cells of sample {name} are not among its {len(ids)} "
            f"cells, the first is cell_id {wanted[missing][0]}; labels of another segmentation? label the cells again, "
            "or give points, which fit any"
        )
    return Pairs(np.arange(len(wanted)), wanted, np.zeros(len(wanted), bool))


def known_ids(place: CellsOf) -> Labels:
    """The ids of a sample's cells: of its table, of the instances beside its label image, or of the image itself.

    Raises
    ------
    LabelError, TableError
        If a file cannot be read.
    """
    if place.labels is None:
        return np.empty(0, np.uint32) if place.ids is None else place.ids
    instances = instances_path(place.labels)
    if instances.is_file() and read_failure(instances) is None:
        return np.asarray(read_table(instances, ["cell_id"])["cell_id"].to_numpy(), np.uint32)
    with open_labels(place.labels) as labels:
        return scan_labels(labels).ids


def sheet_groups(samples: Sequence[Sample]) -> dict[str, str]:
    """The patient of each sample of a sheet, or its slide where none is named; samples with neither are left out."""
    named = {sample.sample: sample.patient or sample.slide for sample in samples}
    return {name: group for name, group in named.items() if group}
