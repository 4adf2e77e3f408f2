"""Images of a lab's folders whose pixels have classes: what there is, is learned from and judged on. Floor 6."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError, LabelError
from cellseg.io.annotations import read_geojson
from cellseg.io.labels import open_labels
from cellseg.io.slide import IMAGE_SUFFIXES, open_slide
from cellseg.segment.scale import View, network_pixels
from cellseg.segment.tissue_architecture import UNLABELLED
from cellseg.stages.preprocess import look_at
from cellseg.stages.training_images import Split, read_index, read_mpp, read_stain
from cellseg.types import PixelSize, Progress, Slide, Stain, Window, silent

if TYPE_CHECKING:
    from cellseg.train.tissue_data import TissueImage

_MASK_ENDS = ("_mask.png", "_mask.tif", "_mask.tiff", "_mask.ome.tif")
_GROUP_KEYS = ("case", "group", "patient")
_NO_SIZE = PixelSize(1.0, "none: only the place of empty glass depends on it")
_SAME_SCALE = 1e-3


@dataclass(frozen=True)
class Masked:
    """An image and where its classes are: a mask of class numbers, or GeoJSON polygons. `case` decides the split."""

    name: str
    image: Path
    classes: Path
    stain: Stain
    kind: str
    case: str
    split: Split = ""
    mpp: float | None = None


@dataclass(frozen=True)
class TissueSet:
    """Images to learn from and to judge on; class names; um per pixel that they are at, None if unknown.

    `digest` is the sha256 of the images' names, splits and content; `is_honest` says that no case is in both.
    """

    training: tuple[TissueImage, ...]
    validation: tuple[TissueImage, ...]
    classes: tuple[str, ...]
    mpp: float | None
    digest: str
    is_honest: bool


def find_tissue_images(data: Sequence[Path], *, stain: Stain) -> tuple[Masked, ...]:
    """Every image with classes in folders, by name.

    Images lie in `images/` with masks of the same names in `masks/`, or anywhere below the folder with `NAME_mask.png`
    (or .tif) or `NAME.geojson` beside them. An `index.csv` (id and, if wanted, split, case (or group, or patient),
    kind or class, stain, mpp) says which images count and what they are; without it each image is its own case.

    Raises
    ------
    ConfigError
        If a folder is missing or has no images, or an index is no index.
    LabelError
        If an image has no mask, or a case is in both splits.
    """
    found: list[Masked] = []
    for folder in data:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give a folder of images and masks")
        files, index = _image_files(folder), folder / "index.csv"
        own = list(_of_index(index, files, folder, stain) if index.is_file() else _of_folder(files, folder, stain))
        if not own:
            raise ConfigError(
                f"{folder}: no images with classes; expected images/NAME.png and masks/NAME.png, or NAME.png and "
                "NAME_mask.png or NAME.geojson"
            )
        found += sorted(own, key=lambda image: image.name)
    _check_cases(found)
    return tuple(found)


def _image_files(folder: Path) -> dict[str, Path]:
    """Images by their path without ending, from `images/` where there is such a folder."""
    top = folder / "images" if (folder / "images").is_dir() else folder
    files: dict[str, Path] = {}
    for path in sorted(top.rglob("*")):
        inner = path.relative_to(top)
        is_mask = path.name.endswith(_MASK_ENDS) or (top == folder and inner.parts[0] == "masks")
        if path.suffix.lower() not in IMAGE_SUFFIXES or is_mask or any(part.startswith(".") for part in inner.parts):
            continue
        name = inner.with_name(path.stem.removesuffix(".ome")).as_posix()
        if name in files:
            raise LabelError(f"{path}: and {files[name].name}: two images of one name; rename one and its mask")
        files[name] = path
    return files


def _classes_of(name: str, image: Path, folder: Path) -> Path:
    beside = [image.with_name(image.stem.removesuffix(".ome") + end) for end in (*_MASK_ENDS, ".geojson")]
    masks = [folder / "masks" / f"{name}{end}" for end in (".png", ".tif", ".tiff")]
    there = [path for path in (*masks, *beside) if path.is_file()]
    if len(there) != 1:
        found = "no mask" if not there else " and ".join(path.name for path in there)
        raise LabelError(
            f"{image}: {found}; expected one of masks/{name}.png, {image.stem}_mask.png, {image.stem}.geojson; add it, "
            "or take the image out of the folder"
        )
    return there[0]


def _of_folder(files: Mapping[str, Path], folder: Path, stain: Stain) -> Iterator[Masked]:
    for name, image in files.items():
        first = name.split("/")[0] if "/" in name else ""
        split = cast("Split", first) if first in ("train", "val") else ""
        yield Masked(name, image, _classes_of(name, image, folder), stain, stain, name, split)


def _of_index(index: Path, files: Mapping[str, Path], folder: Path, stain: Stain) -> Iterator[Masked]:
    for line, row in read_index(index):
        name, split, where = row["id"], row.get("split") or "", f"{index}, line {line}"
        if split not in ("train", "val", ""):
            continue
        image = files.get(name) or files.get(f"{split}/{name}")
        if image is None:
            raise LabelError(f"{where}: no image of the name {name!r} in {folder}; mend the id")
        kind = row.get("kind") or row.get("class") or ""
        case = next((row[key] for key in _GROUP_KEYS if row.get(key)), name)
        own = read_stain(row.get("stain") or "", kind, stain, where)
        classes = _classes_of(name, image, folder)
        mpp = read_mpp(row.get("mpp"), where)
        yield Masked(name, image, classes, own, kind or own, case, cast("Split", split), mpp)


def _check_cases(images: Sequence[Masked]) -> None:
    """Fields of one case look alike: to judge on what was learned from is to flatter."""
    splits: dict[str, str] = {}
    for image in images:
        if image.split and splits.setdefault(image.case, image.split) != image.split:
            raise LabelError(
                f"{image.image}: case {image.case} is in train and in val; put all of its images into one of them"
            )


def split_cases(images: Sequence[Masked], *, val_share: float, seed: int) -> tuple[Masked, ...]:
    """The images with a split each: its own, that of its case, or else whole cases go to `val` by a hash.

    The hash is of seed and case.

    Raises
    ------
    ConfigError
        If nothing would be left to learn from or to judge on.
    """
    known = {image.case: image.split for image in images if image.split}
    images = [replace(image, split=known.get(image.case, "")) for image in images]
    cases = sorted({i.case for i in images if not i.split}, key=lambda case: _hash(f"{seed}:{case}".encode()))
    given = any(image.split == "val" for image in images)
    n_val = max(1, round(val_share * len(cases))) if cases and val_share > 0 and not given else 0
    chosen = set(cases[:n_val])
    split = tuple(i if i.split else replace(i, split="val" if i.case in chosen else "train") for i in images)
    for needed in ("train", "val") if val_share > 0 or given else ("train",):
        if not any(image.split == needed for image in split):
            raise ConfigError(
                f"{len(images)} images of {len({i.case for i in images})} cases: none is left for {needed}; add cases, "
                "or set val_share 0 to validate on the training images"
            )
    return split


def read_tissue_images(
    images: Sequence[Masked],
    *,
    classes: Sequence[str] = (),
    mpp: float | None = None,
    val_share: float = 0.2,
    progress: Progress = silent,
) -> TissueSet:
    """Pixels and classes of images that have a split, in memory, at one scale.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes 0, 1, ...; needed for masks. Empty: the names in the GeoJSON files, in alphabetical order.
    mpp : float, optional
        um per pixel that images of known pixel size are resampled to; others are taken as they are. None: the median
        of the known ones.
    val_share : float
        0: the training images are the validation images.

    Raises
    ------
    ImageError, LabelError
        If an image or its classes cannot be read, do not fit, are in both splits, or name an unknown class.
    ConfigError
        If masks are given and no names.
    """
    digests = _check_apart(images)
    names = tuple(classes) or _names_of(images)
    read = []
    for source in images:
        with open_slide(source.image) as slide:
            read.append((slide.pixel_size.mpp if slide.pixel_size else None) if source.mpp is None else source.mpp)
    known = [size for size in read if size is not None]
    mpp = mpp or (float(np.median(known)) if known else None)
    made = []
    for done, (source, own) in enumerate(zip(images, read, strict=True), start=1):
        made.append(_read_image(source, names, own / mpp if own and mpp else 1.0))
        progress(done, len(images))
    parts = [tuple(i for i, s in zip(made, images, strict=True) if s.split == part) for part in ("train", "val")]
    honest = bool(parts[1]) or val_share > 0
    digest = _hash("\n".join([*digests, f"{mpp}", *names]).encode())
    return TissueSet(parts[0], parts[1] if honest else parts[0], names, mpp, digest, honest)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_apart(images: Sequence[Masked]) -> list[str]:
    """A line of name, split and content for each image; the same picture must not be learned from and judged on."""
    lines: list[str] = []
    seen: dict[str, Masked] = {}
    for image in images:
        content = _hash(image.image.read_bytes())
        other = seen.setdefault(content, image)
        if other.split != image.split:
            raise LabelError(
                f"{image.image}: the same file as {other.image}, one for training and one for validation; keep one"
            )
        lines.append(f"{image.name} {image.split} {image.case} {content} {_hash(image.classes.read_bytes())}")
    return lines


def _names_of(images: Sequence[Masked]) -> tuple[str, ...]:
    masks = [image.classes for image in images if image.classes.suffix != ".geojson"]
    if masks:
        raise ConfigError(f"{masks[0]}: a mask tells no names; give --classes with those of its values 0, 1, ...")
    names: set[str] = set()
    for image in images:
        with open_slide(image.image) as slide:
            names |= set(read_geojson(image.classes, slide.height, slide.width).names.values())
    if len(names - {""}) < 2:
        raise LabelError(
            f"{images[0].classes}: {', '.join(sorted(names - {''})) or 'no'} class in all files; expected two or more "
            "classes of polygons, of which one may be the rest"
        )
    return tuple(sorted(names - {""}))


def _read_image(source: Masked, names: Sequence[str], scale: float) -> TissueImage:
    from cellseg.train.tissue_data import TissueImage

    with open_slide(source.image) as slide:
        recipe = look_at(slide, slide.pixel_size or _NO_SIZE, stain=source.stain, channel=None)
        whole = Window(0, slide.height, 0, slide.width)
        pixels, classes = network_pixels(slide.read(whole), recipe), _read_classes(source, slide, names)
        if abs(scale - 1) > _SAME_SCALE:
            height, width = (max(round(side * scale), 1) for side in (slide.height, slide.width))
            view, full = View(scale, slide.height, slide.width), pixels
            pixels = view.look_at(lambda w: full[w.inside(whole)], Window(0, height, 0, width))
            rows, columns = (
                np.minimum((np.arange(n) + 0.5) / scale, side - 1).astype(np.int64)
                for n, side in ((height, slide.height), (width, slide.width))
            )
            classes = classes[rows[:, None], columns[None, :]]
    return TissueImage(source.name, pixels, classes, source.stain, source.kind, source.case)


def _read_classes(source: Masked, slide: Slide, names: Sequence[str]) -> NDArray[np.uint8]:
    """(H, W) uint8 of class numbers, 255 where nothing is known."""
    if source.classes.suffix == ".geojson":
        drawn = read_geojson(source.classes, slide.height, slide.width)
        table = np.full(len(drawn.names) + 1, UNLABELLED, np.uint8)
        for number, name in drawn.names.items():
            if name not in names:
                raise LabelError(
                    f"{source.classes}: a polygon of the class {name or 'none'!r}; known are {', '.join(names)}; name "
                    "it in the annotations or in --classes"
                )
            table[number] = list(names).index(name)
        return np.asarray(table[drawn.labels], np.uint8)
    with open_labels(source.classes) as file:
        values: NDArray[Any] = file.read(Window(0, file.height, 0, file.width))
    if values.shape != (slide.height, slide.width):
        raise LabelError(
            f"{source.classes}: {' x '.join(map(str, values.shape))} px, the image {source.image} is {slide.height} x "
            f"{slide.width} px; give the mask of this image"
        )
    wrong = np.unique(values[(values >= len(names)) & (values != UNLABELLED)])
    if len(wrong):
        raise LabelError(
            f"{source.classes}: a value of {wrong[0]}; expected 0 to {len(names) - 1} ({', '.join(names)}), or "
            f"{UNLABELLED} where nothing is known; mend the mask or --classes"
        )
    return values.astype(np.uint8)
