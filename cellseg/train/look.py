"""Training the network that looks at pictures of cells. Floor 4; torch."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cellseg.classify_config import TrainLookSettings
from cellseg.measure.crop_network import CropNetwork, build_network
from cellseg.measure.crops import DARKEST, FAINT, QUANTILES, CropField
from cellseg.measure.view import Look
from cellseg.segment.infer import choose_device
from cellseg.train.loop import computes_in_half

_DROPPED = 0.3
"""Share of the last features that a step does without (Srivastava et al. 2014, J Mach Learn Res 15:1929)."""


def look_field(settings: TrainLookSettings) -> CropField:
    """What a network of these settings looks at."""
    return CropField(settings.side_px, settings.mpp)


def fit_look(
    crops: NDArray[np.uint8],
    abnormal: NDArray[np.bool_],
    weights: NDArray[np.float64],
    settings: TrainLookSettings,
    *,
    seed: int,
    device: str = "auto",
    name: str = "look",
) -> Look:
    """A network that gives log-odds of being abnormal; the same numbers for the same input, seed and processor.

    Pictures are drawn by the cells' weights, turned, flipped, scaled, blurred and mixed to gray in another way each
    time: a network that has seen few slides must not learn their colour, light and focus.

    Parameters
    ----------
    crops : (n, S, S, C) ndarray of uint8
        Pictures of `cut_crops`.
    abnormal : (n,) ndarray of bool
        The truth; both must be there.
    weights : (n,) ndarray of float64
        How often each cell is drawn, relative to others.
    settings : TrainLookSettings
        Size and schedule.
    seed : int
        Of weights, draws and changes.
    device : str
        Where it is trained, as of `compute.device`; the network comes back on the CPU.
    name : str
        Of the network, in its column's name.
    """
    # fits run beside each other, and sums must not depend on how many threads there are
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = _train(crops, abnormal, weights, settings, seed, choose_device(device))
    finally:
        torch.set_num_threads(n_threads)
    return CropNetwork(network, look_field(settings), name)


def _train(
    crops: NDArray[np.uint8],
    abnormal: NDArray[np.bool_],
    weights: NDArray[np.float64],
    settings: TrainLookSettings,
    seed: int,
    device: torch.device,
) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    network = build_network(settings.width, generator).to(device).to(memory_format=torch.channels_last)
    body, head = network[:-1], network[-1]
    n_steps = max(settings.epochs * math.ceil(len(crops) / settings.batch), 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=n_steps)
    draw = torch.from_numpy(weights / weights.sum())
    target = torch.from_numpy(abnormal.astype(np.float32)) * (1 - 2 * settings.smoothing) + settings.smoothing
    low_precision = torch.autocast(device.type, torch.bfloat16, enabled=computes_in_half(device))
    network.train()
    for _ in range(n_steps):
        rows = torch.multinomial(draw, settings.batch, replacement=True, generator=generator)
        pictures = torch.from_numpy(crops[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
        seen = _vary(pictures, generator).to(device, memory_format=torch.channels_last)
        with low_precision:
            features = cast("Tensor", body(seen))
            kept = torch.rand(features.shape, generator=generator) >= _DROPPED
            answer = cast("Tensor", head(features * kept.to(device) / (1 - _DROPPED)))[:, 0]
        loss = functional.binary_cross_entropy_with_logits(answer.float(), target[rows].to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return cast("nn.Module", network.to("cpu").to(memory_format=torch.contiguous_format))


def _vary(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (n, C, S, S), 0 to 1, as a network sees them (n, 1, S, S): `see_gray`, at random."""
    n, n_channels = pictures.shape[:2]

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, zoom = uniform(-math.pi, math.pi), torch.exp(uniform(-0.1, 0.1))
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    turn = torch.zeros(n, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1] = torch.cos(angle) * zoom * flip, -torch.sin(angle) * zoom
    turn[:, 1, 0], turn[:, 1, 1] = torch.sin(angle) * zoom * flip, torch.cos(angle) * zoom
    mix = torch.rand(n, n_channels, 1, 1, generator=generator) + 0.2
    gray = (pictures * (mix / mix.sum(dim=1, keepdim=True))).sum(dim=1, keepdim=True)
    grid = functional.affine_grid(turn, list(gray.shape), align_corners=False)
    gray = functional.grid_sample(gray, grid, padding_mode="reflection", align_corners=False)
    if float(torch.rand(1, generator=generator)) < 0.5:
        gray = functional.avg_pool2d(gray, 3, 1, 1, count_include_pad=False)
    density = -torch.log(gray.clamp(min=DARKEST))
    flat = density.flatten(1).sort(dim=1).values
    low, high = (flat[:, round(one * (flat.shape[1] - 1))].view(-1, 1, 1, 1) for one in QUANTILES)
    return ((density - low) / (high - low + FAINT) - 0.5) * 2
