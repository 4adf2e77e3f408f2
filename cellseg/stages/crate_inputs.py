"""What a run was made from, as its crate names it: images and drawings of the sheet, weights, settings. Floor 6.

No path of the machine is written down: a file goes by what the sheet or the settings call it, and where that is an
absolute path by its name alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cellseg.config import Config
from cellseg.errors import ImageError
from cellseg.io.checksum import Checksum, checksum_of
from cellseg.io.dicom import is_dicom, slide_files
from cellseg.io.samples import Sample
from cellseg.io.shipped import SHIPPED, is_path
from cellseg.stream import map_tiles


class Input(NamedTuple):
    """A file or folder that a run was made from.

    key : what it is called in the crate, unique. name : what the sheet or the settings call it. path : where it lies
    here. is_folder, checksum : None and no folder where it is not there.
    """

    key: str
    name: str
    path: Path
    is_folder: bool = False
    checksum: Checksum | None = None


def name_in_sheet(path: Path | str, folder: Path) -> str:
    """What the sheet calls a file: its path from the sheet's folder, a URL without its query, else its name alone.

    Examples
    --------
    >>> name_in_sheet(Path("/lab/images/a.tif"), Path("/lab")), name_in_sheet(Path("/home/jane/a.tif"), Path("/lab"))
    ('images/a.tif', 'a.tif')
    >>> name_in_sheet("https://lab.org/a.tif?token=1", Path("/lab"))
    'https://lab.org/a.tif'
    """
    if isinstance(path, str):
        return path.split("?", 1)[0].split("#", 1)[0]
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def name_of_sheet(sheet: Path, results: Path) -> str:
    """The sheet's path from the results, where that tells nothing of the machine: both in one project, side by side."""
    here, there = Path.cwd(), (sheet.resolve(), results.resolve())
    if all(path.is_relative_to(here) for path in there) or there[0].is_relative_to(there[1].parent):
        return Path(os.path.relpath(there[0], there[1])).as_posix()
    return sheet.name


def sample_inputs(
    samples: Sequence[Sample], folder: Path, *, images: Mapping[str, Path], tissues: Mapping[str, Path]
) -> list[Input]:
    """The files that the sheet names, not yet looked at.

    Parameters
    ----------
    folder : Path
        The sheet's.
    images, tissues : mapping of str to Path
        By sample, where what has a URL was fetched to.
    """
    found = []
    for sample in samples:
        for what, path, fetched in (("image", sample.path, images), ("tissue", sample.tissue, tissues)):
            if path is None:
                continue
            key, name, there = f"{sample.sample}/{what}", name_in_sheet(path, folder), fetched.get(sample.sample)
            found.append(Input(key, name, there or Path(path)))
            if what == "image" and there is None and isinstance(path, Path):
                found += [
                    Input(f"{key}/{other.name}", name_in_sheet(other, folder), other) for other in _companions(path)
                ]
    return found


def weights_inputs(config: Config) -> list[Input]:
    """The weights, models and networks that the settings name and the run reads, not yet looked at."""
    named = {
        "segmentation": config.segmentation.maskrcnn.weights if config.segmentation.method == "maskrcnn" else "",
        "tissue": config.tissue.weights if config.tissue.enabled else "",
        "classify": config.classify.model.weights,
        "appearance": config.measure.appearance_network if "appearance" in config.measure.families else "",
    }
    found = []
    for key, given in named.items():
        path = Path(given) if is_path(given) else SHIPPED / f"{given}.safetensors"
        if given:
            found.append(Input(key, plain(given) if is_path(given) else f"cellseg/weights/{path.name}", path))
    return found


def plain(value: Any) -> Any:  # noqa: ANN401 - what JSON can hold
    """The settings without paths of the machine: an absolute one becomes its last part.

    Examples
    --------
    >>> plain({"weights": "/home/jane/mine.safetensors", "tile_px": 64})
    {'weights': 'mine.safetensors', 'tile_px': 64}
    """
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, str) and value.startswith(("/", "~", "file:")):
        return Path(value).name
    return value


def look_at(inputs: Iterable[Input], *, workers: int) -> Iterator[Input]:
    """Each with its size and sha256, in their order; those that are not there as they are.

    Raises
    ------
    CellsegError
        If one is there and cannot be read.
    """
    seen: dict[Path, Input] = {}
    wanted = list(inputs)
    distinct = {one.path: one for one in wanted}

    def look(one: Input) -> Input:
        if not one.path.exists() or not os.access(one.path, os.R_OK):
            return one
        return one._replace(is_folder=one.path.is_dir(), checksum=checksum_of(one.path))

    for one in map_tiles(look, distinct.values(), workers=workers):
        seen[one.path] = one
    return (one._replace(is_folder=seen[one.path].is_folder, checksum=seen[one.path].checksum) for one in wanted)


def _companions(image: Path) -> list[Path]:
    """What belongs to an image and lies beside it: an .mrxs's folder, the parts that a .vms names, DICOM's files."""
    if not image.is_file():
        return []
    suffix = image.suffix.lower()
    if suffix == ".mrxs":
        folder = image.with_suffix("")
        return [folder] if folder.is_dir() else []
    if suffix in (".vms", ".vmu"):
        lines = image.read_text(encoding="latin-1").splitlines()
        named = [image.with_name(Path(line.partition("=")[2].strip()).name) for line in lines if "=" in line]
        return sorted({path for path in named if path != image and path.is_file()})
    if is_dicom(image):
        try:
            return [path for path in slide_files(image) if path != image]
        except ImageError:  # that sample has failed, and its ledger says why
            return []
    return []
