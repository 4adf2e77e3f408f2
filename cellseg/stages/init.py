"""Starting a project: a commented `config.yaml` and a sample sheet for the images of a folder. Floor 6."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cellseg.errors import ConfigError, ImageError
from cellseg.io.atomic import write_text
from cellseg.io.samples import SampleRow, safe_name
from cellseg.io.settings import config_yaml
from cellseg.io.slide import IMAGE_SUFFIXES, is_slide_folder, open_slide


@dataclass(frozen=True)
class InitReport:
    """What was written.

    `without_mpp` are the samples whose pixel size a person must fill in, `left_out` says why files were not.
    """

    config: Path
    sheet: Path
    samples: tuple[str, ...]
    without_mpp: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    name: str
    path: str
    stain: str
    has_mpp: bool


def init_project(folder: Path, images: Path) -> InitReport:
    """Write `config.yaml` and `samples.tsv` into `folder` for the images that lie in `images` (not in its subfolders).

    Raises
    ------
    ConfigError
        If one of the two is there already, or `images` is not a folder with images.
    """
    config, sheet = folder / "config.yaml", folder / "samples.tsv"
    for path in (config, sheet):
        if path.exists():
            raise ConfigError(f"{path}: is there already; remove it or choose another folder, nothing was written")
    files = find_images(images)
    found: list[_Found] = []
    left_out: list[str] = []
    for file in files:
        try:
            found.append(_describe(file, folder, {sample.name.lower() for sample in found}))
        except ImageError as error:
            left_out.append(str(error))
    if not found:
        raise ConfigError(f"{images}: none of its {len(files)} images can be read; first: {left_out[0]}")
    write_text(config, config_yaml())
    write_text(sheet, _sheet_text(found, left_out))
    without = tuple(sample.name for sample in found if not sample.has_mpp)
    return InitReport(config, sheet, tuple(sample.name for sample in found), without, tuple(left_out))


def find_images(folder: Path) -> list[Path]:
    """The images of a folder, by name: files that end like one, and folders that are one; hidden ones are left out.

    A folder without any that is an image itself is the one.

    Raises
    ------
    ConfigError
        If it is not a folder or has none.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the folder that holds the images")
    files = sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and (is_slide_folder(path) or (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES))
    )
    if not files and is_slide_folder(folder):
        return [folder]
    if not files:
        raise ConfigError(
            f"{folder}: no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}, or folders that are "
            "OME-Zarr or a DICOM slide, in the folder itself, not in its subfolders"
        )
    return files


def _describe(file: Path, folder: Path, taken: set[str]) -> _Found:
    path = os.path.relpath(file.resolve(), folder.resolve())
    # a long way up means that the two will not be moved together
    path = path if path.count("..") <= 2 else str(file.resolve())
    if any(ord(character) < 32 for character in path):
        raise ImageError(f"{path!r}: control character in the path; rename it")
    with open_slide(file) as slide:
        # the dots in the name of a folder of DICOM files begin no ending
        stem = safe_name(file.name if file.is_dir() and file.suffix != ".zarr" else file.stem.removesuffix(".ome"))
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem[:95]}_{number}"
        return _Found(name, path, "he" if slide.is_rgb else "fluorescence", slide.pixel_size is not None)


def _sheet_text(found: list[_Found], left_out: list[str]) -> str:
    columns = list(SampleRow.model_fields)
    lines = [
        "# One slide a line, cells parted by tabs. Check every stain (he, hdab, giemsa, fluorescence, brightfield):"
    ]
    lines.append(
        "# colour images were entered as he, others as fluorescence. group: reference (healthy controls) or test."
    )
    missing = [sample.name for sample in found if not sample.has_mpp]
    some = ", ".join(missing[:5]) + (" and others" if len(missing) > 5 else "")
    if missing:
        lines.append(
            f"# FILL IN mpp (microns per pixel) for {some}: the files do not say it. "
            "Often 0.25 at 40x, 0.5 at 20x; a scale bar tells."
        )
    else:
        lines.append("# mpp (microns per pixel) is empty where the file says it; a figure here wins over the file's.")
    lines += [f"# left out: {' '.join(reason.split())}" for reason in left_out]
    lines.append("\t".join(columns))
    for sample in found:
        cells = {"sample": sample.name, "path": sample.path, "group": "test", "stain": sample.stain}
        lines.append("\t".join(cells.get(column, "") for column in columns))
    return "\n".join(lines) + "\n"
