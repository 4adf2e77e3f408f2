"""Which prediction belongs to which truth: two files, two folders, or a table. Floor 6."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellseg.errors import ConfigError

_NO_MAPS = (".probability.ome.tif", ".overlay.png")
"""What lies beside a map of tissue."""


@dataclass(frozen=True)
class Pair:
    """A label image and its truth (a label image, or a file of points)."""

    prediction: Path
    truth: Path
    group: str = "all"


def read_pairs(table: Path) -> tuple[Pair, ...]:
    """The pairs of a CSV with the columns prediction, truth and, if wanted, group; paths go from the CSV's folder.

    Raises
    ------
    ConfigError
        If the file is missing, empty, or lacks a column or a value.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{table}: cannot be read ({error}); give a CSV with columns prediction, truth, group"
        ) from error
    if not rows or not {"prediction", "truth"} <= rows[0].keys():
        found = ", ".join(map(str, rows[0])) if rows else "no rows"
        raise ConfigError(f"{table}: found {found}; expected the columns prediction, truth and, if wanted, group")
    for number, row in enumerate(rows, start=2):
        if not row["prediction"] or not row["truth"]:
            raise ConfigError(f"{table}, line {number}: prediction or truth is empty; fill it in or drop the line")
    return tuple(
        Pair(table.parent / row["prediction"], table.parent / row["truth"], row.get("group") or "all") for row in rows
    )


def find_pairs(
    prediction: Path,
    truth: Path,
    *,
    suffixes: Sequence[str] = (".tif", ".tiff", ".png"),
    inner: str = "segment/labels.ome.tif",
) -> tuple[Pair, ...]:
    """The pair of two files, or the pairs of two folders by name; every truth must find its prediction.

    Names are compared without suffixes and without a trailing `_labels`; a results folder stands for its samples'
    label images, by the sample's name. In a folder of truth that has files ending in `_labels`, only those count.

    Parameters
    ----------
    prediction, truth : Path
        Two files or two folders.
    suffixes : sequence of str
        Of truth files: other files of the folder are left alone.
    inner : str
        The file that stands for a sample of a results folder.

    Raises
    ------
    ConfigError
        If one is missing, one is a file and the other a folder, or a truth has no prediction.
    """
    for path in (prediction, truth):
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder; give a label image or a folder of them")
    if prediction.is_file() and truth.is_file():
        return (Pair(prediction, truth),)
    if prediction.is_file() or truth.is_file():
        raise ConfigError(f"{prediction} and {truth}: one is a file, one a folder; give two files or two folders")
    predicted, true = _label_files(prediction, (".tif", ".tiff", ".png"), inner), _label_files(truth, suffixes, inner)
    missing = sorted(true.keys() - predicted.keys())
    if missing or not true:
        what = f"no prediction for {', '.join(missing[:5])} ({len(missing)} in all)" if missing else "no truth found"
        raise ConfigError(f"{prediction} against {truth}: {what}; names must agree, or give a table with --pairs")
    return tuple(Pair(predicted[name], true[name]) for name in sorted(true))


def _label_files(folder: Path, suffixes: Sequence[str], inner: str) -> dict[str, Path]:
    samples = folder / "samples" if (folder / "samples").is_dir() else folder
    if results := sorted(samples.glob(f"*/{inner}")):
        return {path.parent.parent.name: path for path in results}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    files = [path for path in files if not path.name.endswith(_NO_MAPS)]
    marked = [path for path in files if _plain_name(path, keep_mark=True).endswith("_labels")]
    return {_plain_name(path): path for path in marked or files}


def _plain_name(path: Path, *, keep_mark: bool = False) -> str:
    name = path.stem.removesuffix(".ome")
    return name if keep_mark else name.removesuffix("_labels")
