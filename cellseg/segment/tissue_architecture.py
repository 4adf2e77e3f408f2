"""What a SegNet is built like, and how its classes nest. Floor 3: no torch, no files."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cellseg.errors import ModelError

BLOCKS: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the 13 convolutions of VGG16 (Simonyan and Zisserman 2015, ICLR), by block, at width 1."""
GRID_PX = 2 ** len(BLOCKS)
"""px of the network; the pooling grid: what it is fed begins and ends at multiples of this."""
UNLABELLED = 255
"""Value of pixels of a class map of which nothing is known."""
MAX_CLASSES = 250


class TissueArchitecture(BaseModel):
    """Everything needed to build the network and to read its answer; stored in the metadata of its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    width: float = Field(default=0.5, gt=0, le=2)
    """share of the published number of channels; 1.0: as published, 29.5 million weights."""
    classes: tuple[str, ...] = Field(min_length=2, max_length=MAX_CLASSES)
    """names of the classes 0, 1, ... of the map."""
    levels: tuple[dict[str, tuple[str, ...]], ...] = ()
    """groups of classes by name, coarsest level first; each level holds every class once and parts the groups of the
    one before. A pixel takes the likeliest group of the first level, within it that of the second, and so on. Groups
    stand in the order of their first classes, whatever order they were given in: JSON keeps none."""
    mpp: float | None = Field(default=None, gt=0, le=1000)
    """um per pixel that the network works at; null: unknown, images are looked at as they are."""

    @field_validator("levels")
    @classmethod
    def _in_order(
        cls, levels: tuple[dict[str, tuple[str, ...]], ...], info: ValidationInfo
    ) -> tuple[dict[str, tuple[str, ...]], ...]:
        place = {name: number for number, name in enumerate(info.data.get("classes", ()))}

        def first(group: tuple[str, tuple[str, ...]]) -> int:
            return min((place.get(name, len(place)) for name in group[1]), default=len(place))

        return tuple(dict(sorted(level.items(), key=first)) for level in levels)

    @model_validator(mode="after")
    def _check(self) -> TissueArchitecture:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes {', '.join(self.classes)}: a name is there twice")
        outer = [set(self.classes)]
        for level in self.levels:
            groups = [set(names) for names in level.values()]
            members = [name for names in level.values() for name in names]
            if sorted(members) != sorted(self.classes):
                raise ValueError(f"levels: {', '.join(level)} must hold each of {', '.join(self.classes)} once")
            if not all(any(group <= whole for whole in outer) for group in groups):
                raise ValueError(f"levels: a group of {', '.join(level)} lies in several groups of the level before")
            outer = groups
        return self

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Channels of the encoder's convolutions at this width."""
        return tuple(tuple(max(round(channels * self.width), 1) for channels in block) for block in BLOCKS)

    @cached_property
    def members(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Class numbers of each group of each level, and last each class alone."""
        index = {name: number for number, name in enumerate(self.classes)}
        grouped = [tuple(tuple(sorted(index[n] for n in names)) for names in level.values()) for level in self.levels]
        return (*grouped, tuple((number,) for number in range(len(self.classes))))

    def decide(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The class of each pixel: from the coarsest level to the finest, the likeliest group within the last one.

        Parameters
        ----------
        probabilities : (K, H, W) ndarray of float32

        Returns
        -------
        (H, W) ndarray of uint8
            Of equals the first.
        """
        shape = probabilities.shape[1:]
        allowed = np.ones(probabilities.shape, bool) if len(self.members) > 1 else None
        for groups in self.members[:-1]:
            sums = np.stack([probabilities[list(group)].sum(axis=0, dtype=np.float32) for group in groups])
            open_ = np.stack([allowed[group[0]] for group in groups])  # type: ignore[index]
            best = np.where(open_, sums, np.float32(-1)).argmax(axis=0)
            allowed = np.zeros(probabilities.shape, bool)
            for number, group in enumerate(groups):
                allowed[list(group)] = best == number
        last = probabilities if allowed is None else np.where(allowed, probabilities, np.float32(-1))
        return np.asarray(last.argmax(axis=0), np.uint8).reshape(shape)


def parse_tissue_architecture(found: dict[str, Any], where: str) -> TissueArchitecture:
    """The architecture that metadata speak of.

    Raises
    ------
    ModelError
        If they do not describe one.
    """
    try:
        return TissueArchitecture.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"{where}: its metadata describe no SegNet that this version can build ({key}: {first['msg']}); use "
            "weights made by `cellseg train segnet`"
        ) from error


def context_px() -> int:
    """How far around a pixel the network looks, px, grown to a multiple of `GRID_PX`.

    Followed through all layers for a pixel at either end of a cell of the pooling grid: a convolution looks one pixel
    further at its resolution, pooling and unpooling at the rest of the pair.
    """
    reach = 0
    for at in range(GRID_PX):
        first, last = at, at
        for block in BLOCKS:
            first, last = (first - len(block)) // 2, (last + len(block)) // 2
        for block in reversed(BLOCKS):
            first, last = 2 * first - len(block), 2 * last + 1 + len(block)
        reach = max(reach, at - first, last - at)
    return int(-(-reach // GRID_PX) * GRID_PX)
