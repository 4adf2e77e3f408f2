"""The few types that every floor shares. Floor 0: no files, no pixels of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import LabelError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Labels = NDArray[np.uint32]
Stain = Literal["he", "hdab", "giemsa", "fluorescence", "brightfield"]
Status = Literal["healthy", "abnormal", "uncertain", "excluded"]
Progress = Callable[[int, int], None]
"""Called with (units done, units in all); stages call it, only the command line draws it."""

STATUSES: tuple[Status, ...] = ("healthy", "abnormal", "uncertain", "excluded")
STAINS: tuple[Stain, ...] = ("he", "hdab", "giemsa", "fluorescence", "brightfield")


def silent(done: int, total: int) -> None:
    """Report no progress."""


class Window(NamedTuple):
    """A half-open rectangle (y0, y1, x0, x1) in level-0 pixels, y first."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        """Rows, px."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns, px."""
        return self.x1 - self.x0

    def grow(self, margin_px: int) -> Window:
        """The window with `margin_px` more on every side; may leave the image."""
        return Window(self.y0 - margin_px, self.y1 + margin_px, self.x0 - margin_px, self.x1 + margin_px)

    def clip(self, height: int, width: int) -> Window:
        """The part of the window that lies in an image of `height` x `width` px."""
        return Window(max(self.y0, 0), min(self.y1, height), max(self.x0, 0), min(self.x1, width))

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Slices that cut this window out of an array that holds `outer`."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )


class PixelSize(NamedTuple):
    """Microns per pixel and where the figure comes from."""

    mpp: float
    source: str


class Level(NamedTuple):
    """One resolution of a pyramid."""

    height: int
    width: int
    downsample: float


class Slide(Protocol):
    """An image that is read window by window and never as a whole unless its format forces it.

    `channel_names` is ("red", "green", "blue") for colour, ("gray",) for one plain channel, and the
    file's own names for multi-channel images. `read` is thread-safe.
    """

    @property
    def path(self) -> Path: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def channel_names(self) -> tuple[str, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def is_rgb(self) -> bool: ...
    @property
    def levels(self) -> tuple[Level, ...]: ...
    @property
    def pixel_size(self) -> PixelSize | None: ...
    @property
    def objective_power(self) -> float | None:
        """What the file says of the objective's magnification, as 40; None where it says nothing."""
        ...

    def read(self, window: Window, level: int = 0) -> Pixels:
        """Pixels (h, w, C) of `window`, given in pixels of `level`, which must lie inside the image."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_labels(labels: NDArray[Any], where: str) -> None:
    """Refuse what is not (H, W) of uint32.

    Raises
    ------
    LabelError
        With the shape and dtype found.
    """
    if labels.ndim != 2 or labels.dtype != np.uint32:
        raise LabelError(
            f"{where}: labels of shape {labels.shape} and type {labels.dtype}; expected (height, width) of uint32 "
            "(uint16 would clip at 65,535 cells); save the label image as 32-bit"
        )
