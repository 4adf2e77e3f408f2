"""The network that looks at pictures of cells. Floor 3; torch.

Six convolutions, three of which halve the picture, a mean over the field and one sum: as few as tell a red cell's
pallor from a slit, so that a processor looks at thousands of cells a second.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cellseg.measure.crops import CropField, see_gray

BATCH = 64
"""Pictures of a batch, always: a cell's answer must not depend on how many others there are."""
DECIMALS = 4
"""Digits of log-odds that do not depend on how a processor adds up."""


def build_network(width: int, generator: torch.Generator | None = None) -> nn.Sequential:
    """A network from pictures (n, 1, S, S) to log-odds (n, 1); `width` channels at first, 4 times as many at last.

    The weights are drawn from `generator` (He et al. 2015, ICCV: 1026), so that networks made beside each other do not
    share one stream of chance.
    """
    layers: list[nn.Module] = []
    channels = 1
    for out, stride in ((1, 2), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1)):
        layers += [
            nn.Conv2d(channels, out * width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out * width),
            nn.ReLU(inplace=True),
        ]
        channels = out * width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1))
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    return network


class CropNetwork:
    """A trained network and the field that it looks at.

    Parameters
    ----------
    network : nn.Module
        Of `build_network`, with its weights.
    field : CropField
        Side and scale of its pictures.
    name : str
        The word in its column's name.
    """

    def __init__(self, network: nn.Module, field: CropField, name: str) -> None:
        self.field, self.name = field, name
        self._network = network.eval().requires_grad_(requires_grad=False)

    def tensors(self) -> dict[str, Tensor]:
        """The network's weights by name."""
        return dict(self._network.state_dict())

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Log-odds (n,) of being abnormal of pictures (n, S, S, C), rounded; each cell's is independent of others."""
        out = np.empty(len(crops))
        for at in range(0, len(crops), BATCH):
            some = see_gray(crops[at : at + BATCH])
            batch = np.zeros((BATCH, 1, *some.shape[1:]), np.float32)
            batch[: len(some), 0] = some
            with torch.inference_mode():
                answer = cast("Tensor", self._network(torch.from_numpy(batch)))
            out[at : at + len(some)] = answer[: len(some), 0].double().numpy()
        return np.round(out, DECIMALS) + 0.0
