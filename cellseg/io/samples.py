"""The sample sheet: one slide a row, every fault named with its line number and its cure, all at once. Floor 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellseg.errors import ConfigError
from cellseg.types import STAINS, Stain

GROUPS = ("reference", "test")
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"
"""What a sample may be called: it becomes a folder, a wildcard of the workflow and a field of spreadsheets."""
_NAME = re.compile(NAME_PATTERN)


class SampleRow(BaseModel):
    """One row of the sample sheet, as written; the workflow's schema is generated from here."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    sample: str = Field(pattern=NAME_PATTERN)
    """unique name: letters, digits, `.`, `_`, `-`; it becomes a folder of the results."""
    path: str = Field(min_length=1)
    """the image, from the folder of the sheet: a file, or the folder of OME-Zarr or of a DICOM slide; or a URL
    (`s3://bucket/a.tif`) of a storage that the workflow fetches it from."""
    mpp: float | None = Field(default=None, ge=0.01, le=100)
    """um per pixel; empty takes what the file says, and a figure here wins over the file's."""
    patient: str | None = None
    """whose tissue it is; samples of one patient are kept together."""
    slide: str | None = None
    """the slide that the image is a field of, by a name of its own; images of one slide are summed up together, and one
    without a name is a slide of its own."""
    group: Literal["reference", "test"] = "test"
    """reference: healthy controls, which the verdict is fitted on; test: to be judged."""
    stain: Stain = "he"
    """he, hdab, giemsa, fluorescence or brightfield."""
    channel: str | None = None
    """name of the channel to segment, where the image has several."""
    tissue: str | None = None
    """GeoJSON or a label image of the slide's tissues, from the folder of the sheet; with `tissue.enabled` it stands in
    for the network."""


class Sample(BaseModel):
    """One slide of the run; `path` starts from the working folder or the root, or is a URL as written."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    sample: str
    """unique name."""
    path: Path | str
    """the image; text if it is a URL."""
    mpp: float | None = None
    """um per pixel as the sheet says; None leaves it to the file."""
    patient: str | None = None
    """whose tissue it is."""
    slide: str | None = None
    """the slide that the image is a field of; None: the image is a slide of its own."""
    group: Literal["reference", "test"] = "test"
    """reference (healthy controls) or test."""
    stain: Stain = "he"
    """what the tissue was coloured with."""
    channel: str | None = None
    """name of the channel to segment."""
    tissue: Path | str | None = None
    """annotation of its tissues, which stands in for the network."""


def read_samples(sheet: Path, *, check_files: bool = True) -> tuple[Sample, ...]:
    """The samples of a tab-separated sheet, in its order.

    Blank lines, lines that start with `#`, a byte-order mark and Windows line ends are tolerated. With `check_files`
    an image or an annotation of tissues that is not there is a fault too; what a URL names is not looked for.

    Raises
    ------
    ConfigError
        With every fault of the sheet, each with its line number and what to do.
    """
    lines = _read_lines(sheet)
    if not lines:
        raise ConfigError(
            f"{sheet}: the sheet is empty; expected a header line with the columns sample and path, parted by tabs; "
            "`cellseg init` writes one"
        )
    header = [name.strip() for name in lines[0][1].split("\t")]
    faults = _header_faults(header, lines[0][0])
    if faults:
        raise ConfigError(f"{sheet}: " + "; ".join(faults))
    samples: list[Sample] = []
    seen: dict[str, int] = {}
    for number, line in lines[1:]:
        row, wrong = _parse_row(line, header, number)
        wrong += _duplicate_faults(row.get("sample", ""), seen, number)
        files = {key: _place_of(row[key], sheet.parent) for key in ("path", "tissue") if key in row}
        missing = [k for k, file in files.items() if check_files and isinstance(file, Path) and not _is_there(k, file)]
        named = {"path": "image", "tissue": "annotation of tissues"}
        wrong += [f"line {number}: no {named[key]} {row[key]!r} in {sheet.parent}; correct the path" for key in missing]
        faults += wrong
        if not wrong:
            samples.append(Sample.model_validate({**row, **files}))
    if len(lines) == 1:
        faults.append(f"line {lines[0][0]}: no samples under the header; add one line a slide")
    if faults:
        raise ConfigError(f"{sheet}: " + "; ".join(faults))
    return tuple(samples)


def _is_there(key: str, file: Path) -> bool:
    """An image may be a folder (OME-Zarr, DICOM), which its reader tells; an annotation is a file."""
    return file.is_file() or (key == "path" and file.is_dir())


def _read_lines(sheet: Path) -> list[tuple[int, str]]:
    """Lines that say something, with their numbers."""
    try:
        text = sheet.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{sheet}: not UTF-8 text (byte {error.start}); save the sheet as UTF-8, tab separated"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{sheet}: the sample sheet cannot be read ({error.strerror}); `cellseg init DIR --images FOLDER` "
            "writes one"
        ) from error
    # split at line ends only: other separators that str.splitlines knows may stand in a cell
    numbered = enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1)
    return [(number, line) for number, line in numbered if line.strip() and not line.startswith("#")]


def _header_faults(header: Sequence[str], number: int) -> list[str]:
    known = list(SampleRow.model_fields)
    if len(header) == 1 and re.search("[,;]", header[0]):
        return [f"line {number}: the columns are parted by commas or semicolons; save the sheet tab separated"]
    faults = []
    for name in dict.fromkeys(header):
        if name not in known:
            near = get_close_matches(name.lower(), known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"remove it; known are {', '.join(known)}"
            faults.append(f"line {number}: unknown column {name!r}; {cure}")
        elif header.count(name) > 1:
            faults.append(f"line {number}: column {name} is there {header.count(name)} times; keep one")
    missing = [name for name in ("sample", "path") if name not in header]
    if missing:
        faults.append(f"line {number}: no column {' and '.join(missing)}; add it to the header (tab separated)")
    return faults


def _parse_row(line: str, header: Sequence[str], number: int) -> tuple[dict[str, str], list[str]]:
    """The filled cells of a line by column name, and its faults."""
    cells = [cell.strip(" ") for cell in line.split("\t")]
    if len(cells) > len(header) and not any(cells[len(header) :]):
        cells = cells[: len(header)]
    if len(cells) > len(header) or len(cells) < min(len(header), 2):
        return {}, [f"line {number}: {len(cells)} cells, the header has {len(header)}; part them by single tabs"]
    row = {name: cell for name, cell in zip(header, cells, strict=False) if cell}
    faults = [_name_fault(row.get("sample", ""))]
    if "path" not in row:
        faults.append("no path; write the image's path from the sheet's folder")
    faults += [
        f"control character in {key} {row[key]!r}; remove it"
        for key in ("path", "tissue")
        if any(ord(character) < 32 for character in row.get(key, ""))
    ]
    faults += [_url_fault(key, row[key]) for key in ("path", "tissue") if key in row]
    faults += _field_faults(row)
    return row, [f"line {number}: {fault}" for fault in faults if fault]


def is_url(path: str) -> bool:
    """Whether a path of the sheet has a scheme, so that it lies in a storage and not in a folder.

    Examples
    --------
    >>> is_url("s3://bucket/a.tif"), is_url("images/a.tif")
    (True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def _place_of(path: str, folder: Path) -> Path | str:
    """Where a path of the sheet leads: from the sheet's folder, or a URL as it is."""
    return path if is_url(path) else folder / path


def _url_fault(key: str, path: str) -> str:
    """That a URL says who asks, which would reach logs and results; empty if it does not. It repeats no secret."""
    if not is_url(path) or "@" not in path.split("://", 1)[1].split("/", 1)[0]:
        return ""
    return (
        f"the {key} is a URL with a name or password before '@'; take them out, and give credentials by environment "
        "variables such as SNAKEMAKE_STORAGE_S3_ACCESS_KEY"
    )


def _name_fault(name: str) -> str:
    """What is wrong with a sample's name; empty if nothing."""
    if not name:
        return "no sample name; give each slide a unique one"
    if _NAME.match(name) and ".." not in name and not name.startswith("-"):
        return ""
    why = "holds what is not a letter, digit, '.', '_' or '-'"
    if len(name) > 100:
        why = f"is {len(name)} characters long, at most 100 are allowed"
    elif name[0] in "=+-@":
        why = f"starts with {name[0]!r}, which a spreadsheet would run as a formula"
    elif name[0] == ".":
        why = "starts with a dot, which hides its folder"
    elif "/" in name or "\\" in name or ".." in name:
        why = "holds '/', '\\' or '..', which would leave the results folder"
    elif any(ord(character) < 32 or ord(character) == 127 for character in name):
        why = "holds a control character"
    return f"sample name {name[:120]!r} {why}; call it {safe_name(name)!r} for instance"


def safe_name(text: str) -> str:
    """A sample name made from any text: what is not allowed becomes `_`.

    Examples
    --------
    >>> safe_name("=cell 1/2")
    'cell_1_2'
    """
    name = re.sub(r"\.{2,}", "_", re.sub(r"[^A-Za-z0-9._-]+", "_", text))
    return name.lstrip("._-")[:100].rstrip("._-") or "sample"


def _field_faults(row: dict[str, str]) -> list[str]:
    faults = []
    for name, allowed in (("group", GROUPS), ("stain", STAINS)):
        if name in row and row[name] not in allowed:
            near = get_close_matches(row[name].lower(), allowed, n=1, cutoff=0.5)
            cure = f"did you mean {near[0]}? " if near else ""
            faults.append(f"{name} {row[name]!r} is unknown; {cure}one of {', '.join(allowed)}")
    if "mpp" in row:
        try:
            SampleRow.model_validate({"sample": "x", "path": "x", "mpp": row["mpp"]})
        except ValidationError:
            faults.append(
                f"mpp {row['mpp']!r} is impossible; expected microns per pixel from 0.01 to 100 with a decimal point "
                "(often 0.25 or 0.5), or nothing where the file says it"
            )
    return faults


def _duplicate_faults(name: str, seen: dict[str, int], number: int) -> list[str]:
    """A name that another line has, also when only case differs: some file systems take both for one folder."""
    first = seen.setdefault(name.lower(), number)
    if not name or first == number:
        return []
    return [f"line {number}: sample {name!r} is already on line {first}; give each slide a name of its own"]
