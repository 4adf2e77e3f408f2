"""The training loop of every network: schedule, averages, checkpoints, early stop, refusals. Floor 4; torch.

A step's images depend on the seed and the step's number alone, so that a run that is resumed ends in the same weights
as one that was never broken off. Started by `torchrun`, each process takes its share of every batch and all take the
same step.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cellseg.errors import ConfigError, ModelError
from cellseg.network_config import LoopSettings
from cellseg.segment.infer import choose_precision
from cellseg.stream import map_tiles

Figures = dict[str, float]


class Task(Protocol):
    """What the loop needs to know of a network and its images."""

    model: nn.Module

    def sample(self, seed: int, step: int, index: int) -> Any:  # noqa: ANN401 - the task's own
        """Image `index` of step `step`; the same for the same three numbers."""
        ...

    def losses(self, model: nn.Module, batch: list[Any], device: torch.device) -> dict[str, Tensor]:
        """The parts of the loss, each a mean over the batch."""
        ...

    def names(self, batch: list[Any]) -> list[str]:
        """Names of the images of a batch."""
        ...

    def validate(self, model: nn.Module, device: torch.device) -> Figures:
        """Figures on the validation images; "score" is what is maximised."""
        ...


@dataclass(frozen=True)
class Crew:
    """The processes that train together: this one's number, how many they are, and where this one computes."""

    device: torch.device
    rank: int = 0
    size: int = 1


@dataclass(frozen=True)
class Trained:
    """What came out: the averaged network with the best score, its figures, its step and the last step taken."""

    model: nn.Module
    figures: Figures
    best_step: int
    last_step: int


def join_crew(device: torch.device) -> Crew:
    """A crew of one on `device`; under `torchrun`, a place in its crew, with a GPU of its own where it is on GPUs."""
    if not dist.is_torchelastic_launched():
        return Crew(device)
    if device.type == "cuda":
        device = torch.device("cuda", dist.get_node_local_rank(fallback_rank=0))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Crew(device, dist.get_rank(), dist.get_world_size())


def leave_crew(crew: Crew) -> None:
    """Wait for the others and part."""
    if crew.size > 1:
        dist.barrier()
        dist.destroy_process_group()


def train_network(
    task: Task,
    settings: LoopSettings,
    *,
    crew: Crew,
    about: Mapping[str, str],
    record: str = "",
    checkpoint: bytes | None = None,
    save: Callable[[bytes], None] = lambda _: None,
    report: Callable[[Figures], None] = lambda _: None,
    loaders: int = 2,
) -> Trained:
    """Train `task.model` to the end, or until its score stands still.

    Parameters
    ----------
    about : mapping of str to str
        What the run is: kept in checkpoints, and a checkpoint of another run is refused.
    record : str
        More to keep in checkpoints, which decides nothing.
    checkpoint : bytes or None
        What `save` was given last, to go on from there.
    save : callable
        Gets a checkpoint at each validation; of several processes only the first calls it.
    report : callable
        Gets the figures of every step: "step", "loss" and its parts, "norm" of the gradient, "learning_rate", and with
        a validation its figures as "val_NAME"; of several processes only the first calls it.
    loaders : int
        Threads that make batches ahead (from 2 on); changes time, not results.

    Raises
    ------
    ModelError
        If the loss is not finite, with the names of the images; if the checkpoint does not fit.
    ConfigError
        If a batch cannot be shared out evenly among the processes.
    """
    if settings.batch % crew.size:
        raise ConfigError(f"batch {settings.batch} for {crew.size} processes; give a multiple of {crew.size}")
    run = _Run(task, settings, crew)
    if checkpoint is not None:
        run.restore(read_checkpoint(checkpoint), about)
    for batch in _batches(task, settings, crew, run.step, loaders):
        if run.stands_still():
            break
        figures = run.take_step(batch)
        if run.step % settings.validate_every == 0 or run.step == settings.steps:
            figures |= {f"val_{name}": value for name, value in run.validate().items()}
            if crew.rank == 0:
                save(run.checkpoint(about, record))
        if crew.rank == 0:
            report(figures)
    return run.result()


class _Run:
    """A network in training: its weights, their average, the optimizer, the best so far."""

    def __init__(self, task: Task, settings: LoopSettings, crew: Crew) -> None:
        self.task, self.settings, self.crew = task, settings, crew
        self.model = task.model.to(crew.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model)
        trunk = [p for name, p in self.model.named_parameters() if _reads_pixels(name)]
        others = [p for name, p in self.model.named_parameters() if not _reads_pixels(name)]
        self.optimizer = torch.optim.AdamW(
            [{"params": others, "rate": 1.0}, {"params": trunk, "rate": settings.trunk_rate}],
            lr=settings.learning_rate, weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.step = 0
        self.best: dict[str, Any] = {"score": -math.inf, "step": 0, "weights": None, "figures": {}}

    def stands_still(self) -> bool:
        """Whether the best score is too old to hope for a better one."""
        late = self.step - int(self.best["step"])
        return late >= self.settings.patience * self.settings.validate_every

    def take_step(self, batch: list[Any]) -> Figures:
        """One step of the optimizer; its figures."""
        rate = learning_rate(self.step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        # what is drawn inside the network depends on the step alone, too
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step + 500_009 * self.crew.rank)
        self.model.train()
        with torch.autocast(self.crew.device.type, torch.bfloat16, enabled=computes_in_half(self.crew.device)):
            parts = self.task.losses(self.model, batch, self.crew.device)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise ModelError(
                f"step {self.step + 1}: the loss is {total.item()} on the images "
                f"{', '.join(sorted(set(self.task.names(batch))))}; look at their pixels and labels, or lower "
                "learning_rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        _share_gradients(self.model, self.crew)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        _update_average(self.average, self.model, min(self.settings.ema, (self.step + 1) / (self.step + 10)))
        self.step += 1
        named = {name: value.item() for name, value in parts.items()}
        return {"step": self.step, "learning_rate": rate, "loss": total.item()} | named | {"norm": norm.item()}

    def validate(self) -> Figures:
        """Figures of the averaged weights, which are kept if they are the best; all processes learn the score."""
        told = self.task.validate(self.average, self.crew.device) if self.crew.rank == 0 else {}
        # plain numbers: a checkpoint with others would not be read again
        found = {name: float(value) for name, value in told.items()}
        score = found.get("score", math.nan)
        if self.crew.size > 1:
            shared = torch.tensor([score], dtype=torch.float64, device=self.crew.device)
            dist.broadcast(shared, 0)
            score = shared.item()
        if score > self.best["score"]:
            weights = {name: value.detach().clone() for name, value in self.average.state_dict().items()}
            self.best = {"score": score, "step": self.step, "weights": weights, "figures": found}
        return found

    def checkpoint(self, about: Mapping[str, str], record: str) -> bytes:
        """All that is needed to go on."""
        buffer = io.BytesIO()
        state = {
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "best": self.best, "step": self.step, "about": dict(about),
            "record": record,
        }  # fmt: skip
        torch.save(state, buffer)
        return buffer.getvalue()

    def restore(self, state: Mapping[str, Any], about: Mapping[str, str]) -> None:
        """Take up a checkpoint of the same run."""
        for key, value in about.items():
            if (found := state["about"].get(key)) != value:
                raise ModelError(
                    f"the checkpoint is of another run: its {key} is {found}, not {value}; go on with what it was made "
                    "with, or take it away to start anew"
                )
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"the checkpoint does not fit this network ({str(error).splitlines()[0]}); take it away to start anew"
            ) from error
        self.best, self.step = state["best"], state["step"]

    def result(self) -> Trained:
        """The best weights; the last ones where none was ever validated."""
        if self.best["weights"] is not None:
            self.average.load_state_dict(self.best["weights"])
        return Trained(self.average.eval(), self.best["figures"], self.best["step"] or self.step, self.step)


def read_checkpoint(data: bytes) -> dict[str, Any]:
    """The parts of a checkpoint: `model`, `average`, `optimizer`, `best`, `step`, `about`, `record`.

    Raises
    ------
    ModelError
        If it is none, or damaged.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if {"model", "average", "optimizer", "best", "step", "about", "record"} <= state.keys():
            return dict(state)
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
        raise ModelError("the checkpoint is damaged or none; take it away to start anew") from error
    raise ModelError(f"the checkpoint holds {', '.join(map(str, state))}; expected one of `cellseg train`")


def learning_rate(step: int, settings: LoopSettings) -> float:
    """Linear warm-up, then half a cosine down to nothing (Loshchilov and Hutter 2017, ICLR)."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def computes_in_half(device: torch.device) -> bool:
    """Whether networks are trained in bfloat16 there; float16 has too little range for gradients."""
    return choose_precision(device) is torch.bfloat16


def _batches(task: Task, settings: LoopSettings, crew: Crew, first: int, loaders: int) -> Iterator[list[Any]]:
    """The own part of the batch of each step from `first` on.

    Made ahead by threads, whose hot loops release the interpreter: processes would copy the images, or fork OpenCV.
    """

    def draw(step: int) -> list[Any]:
        return [task.sample(settings.seed, step, index) for index in range(crew.rank, settings.batch, crew.size)]

    return map_tiles(draw, range(first, settings.steps), workers=loaders)


def _reads_pixels(name: str) -> bool:
    """Whether a weight is of the layers that turn pixels into features, which `trunk_rate` is about."""
    return ".trunk." in name or ".encoder." in name


def _share_gradients(model: nn.Module, crew: Crew) -> None:
    """Give all processes the mean of their gradients; what one of them did not use counts as 0."""
    if crew.size == 1:
        return
    used = [p for p in model.parameters() if p.requires_grad]
    for parameter in used:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.reshape(-1) for p in used if p.grad is not None])
    dist.all_reduce(flat)
    flat /= crew.size
    for parameter, part in zip(used, torch.split(flat, [p.numel() for p in used]), strict=True):
        parameter.grad = part.reshape(parameter.shape)


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(now, 1 - decay)
        else:
            kept.copy_(now)
