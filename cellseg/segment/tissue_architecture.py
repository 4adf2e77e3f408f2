"""What a SegNet is built like, and how its classes nest. Floor 3: no torch, no files."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

import cv2
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
SHARE_PX = 8
"""px; side of the blocks that shares are averaged over."""


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
    smooth_px: float = Field(default=0.0, ge=0, le=128)
    """px; the classes within a group of the coarsest level are told apart by their shares in a neighbourhood of this
    standard deviation, since a grade is no matter of one pixel; 0: pixel by pixel."""

    balance: dict[str, Annotated[float, Field(gt=0)]] = Field(default={})
    """factor on the probability of a class where those of its group are told apart, 1 for those not named: rare ones
    are else hardly ever the likeliest; chosen on validation images."""

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
        if unknown := self.balance.keys() - set(self.classes):
            raise ValueError(f"balance: no class {sorted(unknown)[0]!r}")
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

    @cached_property
    def _factors(self) -> NDArray[np.float32]:
        return np.array([self.balance.get(name, 1.0) for name in self.classes], np.float32)[:, None, None]

    @property
    def margin_px(self) -> int:
        """How far around a pixel shares are averaged, px, grown to a multiple of `GRID_PX`."""
        return int(-(-(3 * self.smooth_px + 2 * SHARE_PX) // GRID_PX) * GRID_PX) if self.smooth_px else 0

    @property
    def context_px(self) -> int:
        """How far around a pixel an answer depends on what is seen, px, a multiple of `GRID_PX`."""
        return context_px() + self.margin_px

    def smooth(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities whose shares within each group of the coarsest level are those of the neighbourhood.

        What a group has in a pixel stays as it is. Averages are taken over blocks of 8 px, which lie on one grid over
        the slide, and drawn between their middles.

        Parameters
        ----------
        probabilities : (K, H, W) ndarray of float32
            Beginning on the grid of blocks; nearer than `margin_px` to a border that is not the slide's, values are not
            final.
        """
        if not self.smooth_px:
            return probabilities
        if any(side % SHARE_PX for side in probabilities.shape[1:]):
            height, width = probabilities.shape[1:]
            whole_blocks = np.pad(probabilities, ((0, 0), (0, -height % SHARE_PX), (0, -width % SHARE_PX)), mode="edge")
            return self.smooth(whole_blocks)[:, :height, :width]
        out = probabilities.copy()
        n, height, width = probabilities.shape
        blocks = probabilities.reshape(n, height // SHARE_PX, SHARE_PX, width // SHARE_PX, SHARE_PX).mean((2, 4))
        sigma = self.smooth_px / SHARE_PX
        side = 2 * int(np.ceil(3 * sigma)) + 1
        for group in self.members[0]:
            if len(group) == 1:
                continue
            around = [cv2.GaussianBlur(blocks[own], (side, side), sigma) for own in group]
            whole = np.maximum(np.sum(around, axis=0, dtype=np.float32), np.float32(1e-12))
            there = probabilities[list(group)].sum(axis=0)
            for own, average in zip(group, around, strict=True):
                share = cv2.resize(average / whole, (width, height), interpolation=cv2.INTER_LINEAR)
                out[own] = there * share
        return out

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
        weighed = probabilities * self._factors if self.balance else probabilities
        last = weighed if allowed is None else np.where(allowed, weighed, np.float32(-1))
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
