"""What finds cells in a window: the contract of networks and of segmenters from elsewhere. Floor 3: arrays only.

A `WindowSegmenter` sees one window of the slide at a time and knows nothing of the others; joining what it finds to
the cells of the slide is the stage's. Another package offers one under the entry point group `cellseg.segmenters`: a
factory that takes the slide's recipe and the settings `segmentation.plugin` and returns a `WindowSegmenter`, most
simply by `from_function`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import LabelError
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Labels, Pixels, Window

ENTRY_POINTS = "cellseg.segmenters"
"""Entry point group: the name is what `segmentation.method` says, the object a `Factory`."""
MIN_OVERLAP_PX = 16
"""px of the slide; windows that share less could not tell one cell from two."""
Reader = Callable[[Window], Pixels]
"""Native pixels (h, w, C) of a window inside the slide; thread-safe."""
Function = Callable[[Pixels, float], NDArray[Any]]
"""Labels (h, w) of pixels (h, w, C) and microns per pixel."""


@dataclass(frozen=True)
class TileCells:
    """The cells of one window, at the slide's resolution.

    labels : (h, w) uint32, 0 = background, ids 1..n, each one 8-connected piece; where cells overlap, the more certain
    one has the pixels. scores : (n,) float32, 0..1. classes : (n,) uint8, class numbers from 1 (position in the
    segmenter's `classes`, plus 1). n_at_limit : detections that a limit cut off, for the record.
    """

    labels: NDArray[np.uint32]
    scores: NDArray[np.float32]
    classes: NDArray[np.uint8]
    n_at_limit: int = 0

    def __post_init__(self) -> None:
        n = int(self.labels.max(initial=0))
        if self.labels.ndim != 2 or self.labels.dtype != np.uint32 or not len(self.scores) == len(self.classes) == n:
            raise LabelError(
                f"cells of a window: labels {self.labels.shape} of {self.labels.dtype} up to {n}, {len(self.scores)} "
                f"scores, {len(self.classes)} classes; expected (h, w) of uint32 and one score and class an id"
            )


class WindowSegmenter(Protocol):
    """Anything that finds cells in a window.

    The slide is cut into windows of at most `window_px`, neighbours share `overlap_px` (both px of the slide; a
    network turns its own into them). A cell of up to about half the overlap is seen whole by one window at least;
    larger ones are joined from pieces. `find_cells` must give the same for the same window, in any thread.
    """

    @property
    def method(self) -> str:
        """The name in `segmentation.method`."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1, 2, ...; empty where cells are of one kind."""
        ...

    @property
    def window_px(self) -> int:
        """Longest side of a window, px of the slide; at least three times `overlap_px`."""
        ...

    @property
    def overlap_px(self) -> int:
        """What neighbouring windows share, px of the slide."""
        ...

    def find_cells(self, read: Reader, window: Window) -> TileCells:
        """The cells of `window`; `read` gives its pixels, and those around it as far as the slide goes."""
        ...

    def record(self) -> dict[str, Any]:
        """What goes into labels.json: weights, sha256, scale, settings, device; asked for when all windows are done.

        Where it has `expected_diameter_px` and `size_tolerance`, the stage compares them with the cells of the slide.
        """
        ...


Spread = Callable[[int], Sequence[Window]]
"""Up to six windows of at most so many px a side, spread over the tissue; the same ones each time."""


@runtime_checkable
class LooksFirst(Protocol):
    """A `WindowSegmenter` that wants to see some of the slide before it is asked for windows.

    `look_first` is called once, before `window_px` and `overlap_px` are read: a network can settle its scale there.
    """

    def look_first(self, read: Reader, spread: Spread) -> None:
        """Look at the windows that `spread` gives for a size, px of the slide."""
        ...


@runtime_checkable
class FindsMany(Protocol):
    """A `WindowSegmenter` that looks at several windows at once: what a GPU is quick by."""

    @property
    def batch_size(self) -> int:
        """How many windows to give at once; 1 where nothing is gained."""
        ...

    def find_many(self, read: Reader, windows: Sequence[Window]) -> list[TileCells]:
        """The cells of each window, as `find_cells` gives them up to the rounding of scores."""
        ...


Factory = Callable[[Recipe, dict[str, Any]], WindowSegmenter]


def no_cells(window: Window) -> TileCells:
    """The answer for a window without cells."""
    labels = np.zeros((window.height, window.width), np.uint32)
    return TileCells(labels, np.zeros(0, np.float32), np.zeros(0, np.uint8))


def from_function(
    function: Function, *, mpp: float, name: str = "function", window_px: int = 1024, overlap_px: int = 128
) -> WindowSegmenter:
    """A segmenter from a plain function of pixels (h, w, C) and mpp that returns labels (h, w) of whole numbers.

    The function may be called from several threads at once. Of each label the largest 8-connected piece is the cell;
    scores are 1 and cells of one kind.

    Examples
    --------
    >>> dark = lambda pixels, mpp: (pixels.mean(axis=2) < 100).astype(int)
    >>> segmenter = from_function(dark, mpp=0.5)
    >>> image = np.full((8, 8, 1), 200, np.uint8)
    >>> image[2:4, 3:6] = 50
    >>> window = Window(0, 8, 0, 8)
    >>> int((segmenter.find_cells(lambda w: image, window).labels == 1).sum())
    6

    Raises
    ------
    LabelError
        When called: if the function returns something else than (h, w) of whole numbers >= 0.
    """
    return _FunctionSegmenter(function, mpp, name, window_px, overlap_px)


@dataclass(frozen=True)
class _FunctionSegmenter:
    function: Function
    mpp: float
    method: str
    window_px: int
    overlap_px: int
    classes: tuple[str, ...] = ()

    def find_cells(self, read: Reader, window: Window) -> TileCells:
        from cellseg.segment.pieces import largest_pieces

        labels = largest_pieces(self._check(np.asarray(self.function(read(window), self.mpp)), window)).labels
        n = int(labels.max(initial=0))
        return TileCells(labels, np.ones(n, np.float32), np.ones(n, np.uint8))

    def _check(self, labels: NDArray[Any], window: Window) -> Labels:
        fits = labels.shape == (window.height, window.width) and labels.dtype.kind in "iub"
        if not fits or (labels.dtype.kind == "i" and labels.size and int(labels.min()) < 0):
            raise LabelError(
                f"segmenter {self.method}: returned {labels.shape} of {labels.dtype} for a window of {window.height} x "
                f"{window.width} px; expected whole numbers of that shape, 0 for background; correct the function"
            )
        return labels.astype(np.uint32)

    def record(self) -> dict[str, Any]:
        return {"window_px": self.window_px, "overlap_px": self.overlap_px}
