"""The training loop of every network: schedule, averages, checkpoints, refusals. Floor 4; torch.

A step's images depend on the seed and the step's number alone, so that a run that is resumed ends in the same weights
as one that was never broken off.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cellseg.errors import ModelError


@dataclass(frozen=True)
class LoopSettings:
    """How a network is trained."""

    steps: int = 6000
    batch: int = 8
    learning_rate: float = 8e-4
    trunk_rate: float = 0.5
    warmup_steps: int = 200
    weight_decay: float = 0.03
    clip_norm: float = 5.0
    ema: float = 0.998
    validate_every: int = 500
    patience: int = 1000
    seed: int = 0
    loaders: int = 1


class Task(Protocol):
    """What the loop needs to know of a network."""

    model: nn.Module

    def sample(self, seed: int, step: int, index: int) -> Any:  # noqa: ANN401 - the task's own
        """Image `index` of step `step`."""
        ...

    def losses(self, model: nn.Module, batch: list[Any], device: torch.device) -> dict[str, Tensor]:
        """The parts of the loss."""
        ...

    def names(self, batch: list[Any]) -> list[str]:
        """Names of the images of a batch."""
        ...

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Figures on the validation images; "score" is what is maximised."""
        ...


class _Samples(Dataset[Any]):
    def __init__(self, task: Task, settings: LoopSettings, first: int) -> None:
        self.task, self.settings, self.first = task, settings, first

    def __len__(self) -> int:
        return (self.settings.steps - self.first) * self.settings.batch

    def __getitem__(self, at: int) -> Any:  # noqa: ANN401 - the task's own
        step, index = divmod(at + self.first * self.settings.batch, self.settings.batch)
        return self.task.sample(self.settings.seed, step, index)


def train_network(
    task: Task,
    settings: LoopSettings,
    *,
    checkpoint: Path,
    device: torch.device,
    report: Callable[[dict[str, float]], None],
) -> nn.Module:
    """The averaged network with the best validation score; resumes from `checkpoint` where it exists."""
    model = task.model.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    trunk = [p for n, p in model.named_parameters() if ".trunk." in n]
    others = [p for n, p in model.named_parameters() if ".trunk." not in n]
    optimizer = torch.optim.AdamW(
        [{"params": others, "rate": 1.0}, {"params": trunk, "rate": settings.trunk_rate}],
        lr=settings.learning_rate, weight_decay=settings.weight_decay,
    )  # fmt: skip
    best: dict[str, Any] = {"score": -math.inf, "step": 0, "weights": None}
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        best, first = state["best"], state["step"]
    for step, batch in _batches(task, settings, first):
        rate = learning_rate(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        torch.manual_seed(settings.seed * 1_000_003 + step)
        figures = _step(task, model, batch, optimizer, settings, device)
        _update_average(average, model, min(settings.ema, (step + 1) / (step + 10)))
        figures |= {"step": step + 1, "learning_rate": rate}
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            found = task.validate(average, device)
            figures |= {f"val_{name}": value for name, value in found.items()}
            if found["score"] > best["score"]:
                best = {"score": found["score"], "step": step + 1, "weights": copy.deepcopy(average.state_dict())}
            _save(checkpoint, model, average, optimizer, best, step + 1)
        report(figures)
        if step + 1 - best["step"] >= settings.patience * settings.validate_every:
            break
    if best["weights"] is not None:
        average.load_state_dict(best["weights"])
    return average


def learning_rate(step: int, settings: LoopSettings) -> float:
    """Linear warm-up, then half a cosine down to nothing (Loshchilov and Hutter 2017, ICLR)."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _batches(task: Task, settings: LoopSettings, first: int) -> Iterator[tuple[int, list[Any]]]:
    loader = DataLoader(
        _Samples(task, settings, first), batch_size=settings.batch, num_workers=settings.loaders, collate_fn=list
    )
    yield from enumerate(loader, start=first)


def _step(
    task: Task,
    model: nn.Module,
    batch: list[Any],
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
    device: torch.device,
) -> dict[str, float]:
    model.train()
    with torch.autocast(device.type, dtype=torch.bfloat16):
        parts = task.losses(model, batch, device)
    total = torch.stack(list(parts.values())).sum()
    if not torch.isfinite(total):
        raise ModelError(
            f"the loss is {float(total)} on images {', '.join(task.names(batch))}; look at their labels, or lower the "
            "learning rate"
        )
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    if torch.isfinite(norm):
        optimizer.step()
    return {"loss": total.item()} | {name: value.item() for name, value in parts.items()} | {"norm": norm.item()}


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(now, 1 - decay)
        else:
            kept.copy_(now)


def _save(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, best: dict[str, Any], step: int
) -> None:
    state = {
        "model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
        "best": best, "step": step,
    }  # fmt: skip
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
