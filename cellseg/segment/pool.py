"""Features of regions of interest, read from the level of the pyramid that fits their size. Floor 3; torch.

RoIAlign (He et al. 2017, ICCV) with one bilinear sample a bin, said as weighted sums of rows of channels-last maps:
on a CPU tens of times faster than reading planes, and its gradient needs no atomic additions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class RoiPool(nn.Module):
    """Boxes to (N, C, side, side) features, as torchvision's `MultiScaleRoIAlign` gives them with one sample a bin.

    Parameters
    ----------
    strides : sequence of int
        px; the levels that are read, named by their stride; each twice the one before.
    side : int
        Bins a side.
    canonical_px : float
        Boxes from this size on, and under twice of it, are read from the first level; each doubling goes a level up.
    """

    def __init__(self, strides: Sequence[int], side: int, canonical_px: float) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.output_size = (side, side)
        self.canonical_px = canonical_px

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: object) -> Tensor:
        """Features of all boxes (x0, y0, x1, y1, px) of all images, in their order."""
        every = torch.cat(boxes)
        image = torch.cat([box.new_full((len(box),), number) for number, box in enumerate(boxes)]).long()
        return self.read(features, every, image).permute(0, 3, 1, 2)

    def read(self, features: dict[str, Tensor], boxes: Tensor, image: Tensor) -> Tensor:
        """(N, side, side, C) features of boxes (N, 4) of the images of a batch whose numbers are `image` (N,)."""
        maps = [features[str(stride)] for stride in self.strides]
        side, channels = self.output_size[0], maps[0].shape[1]
        size_px = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=0).sqrt()
        level = torch.floor(torch.log2(size_px / self.canonical_px + 1e-6)).clamp(0, len(maps) - 1).long()
        parts, places = [], []
        for number, (stride, one) in enumerate(zip(self.strides, maps, strict=True)):
            own = torch.nonzero(level == number)[:, 0]
            if len(own) == 0:
                continue
            index, weight = self._taps(boxes[own] / stride, image[own], one.shape[2], one.shape[3])
            rows = one.permute(0, 2, 3, 1).reshape(-1, channels)
            parts.append(functional.embedding_bag(index, rows, per_sample_weights=weight.to(rows.dtype), mode="sum"))
            places.append(own)
        if not parts:
            return maps[0].new_zeros((0, side, side, channels))
        pooled = torch.cat([part.view(-1, side, side, channels) for part in parts])
        return pooled if len(parts) == 1 else pooled[torch.argsort(torch.cat(places))]

    def _taps(self, boxes: Tensor, image: Tensor, n_rows: int, n_columns: int) -> tuple[Tensor, Tensor]:
        """Rows (N * side^2, 4) of the four neighbours of every sample in a map, and their weights."""
        y, fy = self._samples(boxes[:, 1], boxes[:, 3], n_rows)
        x, fx = self._samples(boxes[:, 0], boxes[:, 2], n_columns)
        row, across = n_columns if n_rows > 1 else 0, 1 if n_columns > 1 else 0
        first = (image * n_rows * n_columns)[:, None, None] + (y * n_columns)[:, :, None] + x[:, None, :]
        index = torch.stack([first, first + across, first + row, first + row + across], -1)
        wy, wx = fy[:, :, None], fx[:, None, :]
        weight = torch.stack([(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx], -1)
        return index.reshape(-1, 4), weight.reshape(-1, 4)

    def _samples(self, low: Tensor, high: Tensor, n_cells: int) -> tuple[Tensor, Tensor]:
        """Along one axis: (N, side) the cell before each sample, and how far beyond it the sample lies, 0..1."""
        side = self.output_size[0]
        at = (torch.arange(side, device=low.device) + 0.5) / side
        place = (low[:, None] + (high - low)[:, None] * at - 0.5).clamp(0, n_cells - 1)
        before = place.floor().long().clamp(max=max(n_cells - 2, 0))
        return before, place - before
