"""Features of regions of interest, read from the level of the pyramid that fits their size. Floor 3; torch.

RoIAlign (He et al. 2017, ICCV) with one bilinear sample a bin, said as weighted sums of rows of channels-last maps:
on a CPU tens of times faster than reading planes, and its gradient needs no atomic additions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        levels = [features[str(stride)] for stride in self.strides]
        channels = levels[0].shape[1]
        side = self.output_size[0]
        every = torch.cat(boxes)
        image = torch.cat([box.new_full((len(box),), number) for number, box in enumerate(boxes)]).long()
        if len(every) == 0:
            return levels[0].new_zeros((0, channels, side, side))
        rows = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, channels) for level in levels])
        index, weight = self._taps(every, image, [level.shape for level in levels])
        pooled = F.embedding_bag(index, rows, per_sample_weights=weight.to(rows.dtype), mode="sum")
        return pooled.view(len(every), side, side, channels).permute(0, 3, 1, 2)

    def _taps(self, boxes: Tensor, image: Tensor, shapes: Sequence[torch.Size]) -> tuple[Tensor, Tensor]:
        """Rows (N * side^2, 4) of the four neighbours of every sample, and their weights."""
        device = boxes.device
        height = torch.tensor([shape[2] for shape in shapes], device=device)
        width = torch.tensor([shape[3] for shape in shapes], device=device)
        sizes = torch.tensor([shape[0] * shape[2] * shape[3] for shape in shapes], device=device)
        starts = sizes.cumsum(0) - sizes
        size_px = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=0).sqrt()
        level = torch.floor(torch.log2(size_px / self.canonical_px + 1e-6)).clamp(0, len(shapes) - 1).long()
        stride = torch.tensor(self.strides, device=device)[level]
        rows, columns = height[level], width[level]
        y, fy = self._samples(boxes[:, 1] / stride, boxes[:, 3] / stride, rows)
        x, fx = self._samples(boxes[:, 0] / stride, boxes[:, 2] / stride, columns)
        corner = (starts[level] + image * rows * columns)[:, None, None]
        row, across = (rows > 1).long()[:, None, None] * columns[:, None, None], (columns > 1).long()[:, None, None]
        first = corner + (y * columns[:, None])[:, :, None] + x[:, None, :]
        index = torch.stack([first, first + across, first + row, first + row + across], -1)
        wy, wx = fy[:, :, None], fx[:, None, :]
        weight = torch.stack([(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx], -1)
        return index.reshape(-1, 4), weight.reshape(-1, 4)

    def _samples(self, low: Tensor, high: Tensor, n_cells: Tensor) -> tuple[Tensor, Tensor]:
        """Along one axis: (N, side) the cell before each sample, and how far beyond it the sample lies, 0..1."""
        side = self.output_size[0]
        at = (torch.arange(side, device=low.device) + 0.5) / side
        place = low[:, None] + (high - low)[:, None] * at - 0.5
        place = torch.minimum(place.clamp(min=0), (n_cells[:, None] - 1).to(place.dtype))
        before = torch.minimum(place.floor().long(), (n_cells[:, None] - 2).clamp(min=0))
        return before, place - before
