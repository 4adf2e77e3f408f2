"""Labelled images of a lab's folders: which there are, what is learned from and what is judged on. Floor 6."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from cellseg.errors import ConfigError, LabelError
from cellseg.io.annotations import Annotation, CocoImage, draw_coco, read_coco, read_geojson
from cellseg.io.labels import open_labels
from cellseg.io.slide import IMAGE_SUFFIXES, open_slide
from cellseg.segment.scale import network_pixels
from cellseg.stages.preprocess import look_at
from cellseg.types import STAINS, PixelSize, Progress, Slide, Stain, Window, silent

if TYPE_CHECKING:
    from cellseg.train.data import TrainingImage

Split = Literal["train", "val", ""]
_LABEL_ENDS = ("_labels.png", "_labels.tif", "_labels.tiff", "_labels.ome.tif")
_STAIN_OF_KIND: dict[str, Stain] = {"histology": "he"}
_NO_SIZE = PixelSize(0.5, "none: only the place of empty glass depends on it")


@dataclass(frozen=True)
class Labelled:
    """An image and where its labels are: a label image, a GeoJSON file, or an entry of a COCO file."""

    name: str
    image: Path
    labels: Path
    stain: Stain
    kind: str
    split: Split = ""
    group: str = ""
    mpp: float | None = None
    channel: str | None = None
    coco: CocoImage | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images to learn from and images to judge on; class names in order; median object size in um, None if unknown.

    `digest` is the sha256 of the images' names, splits and content; `is_honest` says that no image is in both.
    """

    training: tuple[TrainingImage, ...]
    validation: tuple[TrainingImage, ...]
    classes: tuple[str, ...]
    diameter_um: float | None
    digest: str
    is_honest: bool


def find_images(data: Sequence[Path], *, stain: Stain) -> tuple[Labelled, ...]:
    """Every labelled image of folders (and COCO files), by name.

    Beside `NAME.png` (or another image) lies `NAME_labels.png`, `.tif` or `.ome.tif`, or `NAME.geojson`; or a COCO
    `.json` in the folder names it. An `index.csv` in the folder (id and, if wanted, split, kind, stain, group, mpp,
    channel) says which images count and what they are; files may then lie in folders named by split. Without it, the
    folders `train` and `val` say the split.

    Raises
    ------
    ConfigError
        If a folder is missing or has no images, or an index is no index.
    LabelError
        If an image has no labels, or annotations cannot be read.
    """
    found: list[Labelled] = []
    for place in data:
        own = sorted(_of_place(place, stain), key=lambda image: image.name)
        if not own:
            raise ConfigError(
                f"{place}: no labelled images; expected NAME.png and NAME_labels.png or NAME.geojson, or a COCO .json"
            )
        found += own
    return tuple(found)


def _of_place(place: Path, stain: Stain) -> Iterator[Labelled]:
    if not place.exists():
        raise ConfigError(f"{place}: no such folder; give a folder of labelled images")
    cocos = [place] if place.is_file() else sorted(place.glob("*.json"))
    for coco in cocos:
        yield from _of_coco(coco, stain)
    if place.is_dir():
        in_coco = {image.image.resolve() for coco in cocos for image in _of_coco(coco, stain)}
        files = {name: path for name, path in _image_files(place).items() if path.resolve() not in in_coco}
        index = place / "index.csv"
        yield from _of_index(index, files, stain) if index.is_file() else _of_folder(files, stain)


def _image_files(folder: Path) -> dict[str, Path]:
    """Images below the folder that are no labels, by their path without ending."""
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.endswith(_LABEL_ENDS) or hidden:
            continue
        name = path.relative_to(folder).with_name(path.stem.removesuffix(".ome")).as_posix()
        if name in files:
            raise LabelError(f"{path}: and {files[name].name}: two images of one name; rename one and its labels")
        files[name] = path
    return files


def _labels_of(image: Path) -> Path:
    stem = image.stem.removesuffix(".ome")
    candidates = [image.with_name(stem + end) for end in (*_LABEL_ENDS, ".geojson")]
    there = [path for path in candidates if path.is_file()]
    if len(there) != 1:
        found = "no labels" if not there else " and ".join(path.name for path in there)
        raise LabelError(
            f"{image}: {found} beside it; expected one of {stem}_labels.png, {stem}_labels.tif, {stem}.geojson; add "
            "it, or take the image out of the folder"
        )
    return there[0]


def _of_folder(files: Mapping[str, Path], stain: Stain) -> Iterator[Labelled]:
    for name, image in files.items():
        first = name.split("/")[0] if "/" in name else ""
        split = cast("Split", first) if first in ("train", "val") else ""
        yield Labelled(name, image, _labels_of(image), stain, stain, split, name)


def _of_coco(path: Path, stain: Stain) -> Iterator[Labelled]:
    for entry in read_coco(path):
        image = path.parent / entry.file_name
        if not image.is_file():
            raise LabelError(f"{path}: names {entry.file_name}, which is not in {path.parent}; put it there")
        name = Path(entry.file_name).with_suffix("").as_posix()
        split = cast("Split", path.stem) if path.stem in ("train", "val") else ""
        yield Labelled(name, image, path, stain, stain, split, name, coco=entry)


def read_index(index: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of an index.csv with their line numbers.

    Raises
    ------
    ConfigError
        If it cannot be read, has no column id, or gives only some rows a split.
    """
    try:
        with index.open(newline="", encoding="utf-8-sig") as stream:
            rows = [{key: value or "" for key, value in row.items()} for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{index}: cannot be read ({error}); give a CSV with the column id") from error
    if not rows or "id" not in rows[0]:
        raise ConfigError(f"{index}: {'no rows' if not rows else ', '.join(map(str, rows[0]))}; expected the column id")
    splits = {row.get("split", "") for row in rows}
    for line, row in enumerate(rows, start=2):
        if row.get("split", "") == "" and splits & {"train", "val"}:
            raise ConfigError(
                f"{index}, line {line}: no split, while others have one; write train, val or another word"
            )
    return list(enumerate(rows, start=2))


def _of_index(index: Path, files: Mapping[str, Path], stain: Stain) -> Iterator[Labelled]:
    rows = read_index(index)
    for line, row in rows:
        name, split, kind = row["id"], row.get("split") or "", row.get("kind") or ""
        if split not in ("train", "val", ""):
            continue
        image = files.get(name) or files.get(f"{split}/{name}") or files.get(f"images/{name}")
        if image is None:
            raise LabelError(f"{index}, line {line}: no image of the name {name!r} in {index.parent}; mend the id")
        own = read_stain(row.get("stain") or "", kind, stain, f"{index}, line {line}")
        yield Labelled(
            name, image, _labels_of(image), own, kind or own, cast("Split", split), row.get("group") or name,
            read_mpp(row.get("mpp"), f"{index}, line {line}"), row.get("channel") or None,
        )  # fmt: skip


def read_stain(named: str, kind: str, default: Stain, where: str) -> Stain:
    """The stain of a row of an index: as named, else by the kind of image, else `default`."""
    for stain in STAINS:
        if named == stain or (not named and kind == stain):
            return stain
    if named:
        raise ConfigError(f"{where}: stain {named!r}; choose one of {', '.join(STAINS)}")
    return _STAIN_OF_KIND.get(kind, default)


def read_mpp(text: str | None, where: str) -> float | None:
    """Microns per pixel of a row of an index, None where it says none."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigError(f"{where}: mpp {text!r}; expected microns per pixel, as 0.25") from error
    if not 0.01 <= value <= 100:
        raise ConfigError(f"{where}: mpp {text}; expected 0.01 to 100 microns per pixel")
    return value


def assign_splits(images: Sequence[Labelled], *, val_share: float, seed: int) -> tuple[Labelled, ...]:
    """The images with a split each; where they have none, whole groups go to `val` by a hash of seed and group.

    Raises
    ------
    ConfigError
        If nothing would be left to learn from or to judge on.
    """
    groups = sorted({i.group for i in images if not i.split}, key=lambda group: _hash(f"{seed}:{group}".encode()))
    n_val = max(1, round(val_share * len(groups))) if groups and val_share > 0 else 0
    given = any(image.split == "val" for image in images)
    chosen = set() if given else set(groups[:n_val])
    split = tuple(
        image if image.split else replace(image, split="val" if image.group in chosen else "train") for image in images
    )
    for needed in ("train", "val") if val_share > 0 or given else ("train",):
        if not any(image.split == needed for image in split):
            raise ConfigError(
                f"{len(images)} images of {len(groups) or 'given'} groups: none is left for {needed}; add images, or "
                "set val_share 0 to validate on the training images"
            )
    return split


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_images(
    images: Sequence[Labelled], *, classes: Sequence[str] = (), val_share: float = 0.2, progress: Progress = silent
) -> ImageSet:
    """Pixels and labels of images that have a split, in memory.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes in order; one name takes all objects together. Empty: the names found, in alphabetical
        order; "nucleus" where there are none.
    val_share : float
        0: the training images are the validation images.

    Raises
    ------
    ImageError, LabelError
        If an image or its labels cannot be read, do not fit, are in both splits, or name an unknown class.
    """
    from cellseg.train.data import TrainingImage, median_diameter_px

    digests = _check_apart(images)
    annotations, made, sizes = [], [], []
    for done, source in enumerate(images, start=1):
        with open_slide(source.image) as slide:
            size = PixelSize(source.mpp, "index") if source.mpp else slide.pixel_size
            recipe = look_at(slide, size or _NO_SIZE, stain=source.stain, channel=source.channel)
            pixels = network_pixels(slide.read(Window(0, slide.height, 0, slide.width)), recipe)
            annotation = _read_labels(source, slide)
        diameter = median_diameter_px(annotation.labels)
        annotations.append(annotation)
        made.append(TrainingImage(source.name, pixels, annotation.labels, source.stain, source.kind, diameter))
        sizes.append((diameter * size.mpp if size else None) if diameter else 0.0)
        progress(done, len(images))
    names = tuple(classes) or tuple(sorted({n for a in annotations for n in a.names.values() if n})) or ("nucleus",)
    typical = {kind: _median([i.diameter_px for i in made if i.kind == kind]) for kind in {i.kind for i in made}}
    numbered = [
        replace(
            image,
            diameter_px=image.diameter_px or typical[image.kind],
            classes=_class_numbers(annotation, names, str(source.labels)),
        )
        for image, annotation, source in zip(made, annotations, images, strict=True)
    ]
    training, validation = (
        [i for i, s in zip(numbered, images, strict=True) if s.split == part] for part in ("train", "val")
    )
    honest = bool(validation) or val_share > 0
    return ImageSet(
        tuple(training),
        tuple(validation if honest else training),
        names,
        None if None in sizes else _median([size for size in sizes if size]) or None,
        _hash("\n".join(digests).encode()),
        honest,
    )


def _median(values: Sequence[float]) -> float:
    """Median of what is over 0; 0.0 where nothing is."""
    known = [value for value in values if value > 0]
    return float(np.median(known)) if known else 0.0


def _check_apart(images: Sequence[Labelled]) -> list[str]:
    """A line of name, split and content for each image; the same picture must not be learned from and judged on."""
    lines: list[str] = []
    seen: dict[str, Labelled] = {}
    for image in images:
        content = _hash(image.image.read_bytes())
        other = seen.setdefault(content, image)
        if other.split != image.split:
            raise LabelError(
                f"{image.image}: the same file as {other.image}, one for training and one for validation; keep one"
            )
        lines.append(f"{image.name} {image.split} {content} {_hash(image.labels.read_bytes())}")
    return lines


def _read_labels(source: Labelled, slide: Slide) -> Annotation:
    if source.coco is not None:
        annotation = draw_coco(source.coco, str(source.labels))
    elif source.labels.suffix == ".geojson":
        annotation = read_geojson(source.labels, slide.height, slide.width)
    else:
        with open_labels(source.labels) as file:
            values = file.read(Window(0, file.height, 0, file.width))
        # other tools number as they like: ids from 1 on keep tables small
        ids, dense = np.unique(values, return_inverse=True)
        labels = dense.reshape(values.shape) + int(ids.size > 0 and ids[0] != 0)
        annotation = Annotation(labels.astype(np.int32), {})
    if annotation.labels.shape != (slide.height, slide.width):
        raise LabelError(
            f"{source.labels}: labels of {' x '.join(map(str, annotation.labels.shape))} px, the image {source.image} "
            f"is {slide.height} x {slide.width} px; give the labels of this image"
        )
    return annotation


def _class_numbers(annotation: Annotation, names: Sequence[str], where: str) -> dict[int, int]:
    if len(names) == 1:
        return {}
    numbers = {}
    for cell, name in annotation.names.items():
        if name not in names:
            raise LabelError(
                f"{where}: an object of the class {name or 'none'!r}; known are {', '.join(names)}; name it in the "
                "annotations or in --classes"
            )
        numbers[cell] = names.index(name) + 1
    if not annotation.names and annotation.labels.any():
        raise LabelError(f"{where}: a label image tells no classes, of which there are {', '.join(names)}; use GeoJSON")
    return numbers
