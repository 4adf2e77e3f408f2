"""The loop: exact resume, refusals, early stop, several processes that take one step."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cellseg.errors import ConfigError, ModelError
from cellseg.network_config import LoopSettings
from cellseg.train.loop import Crew, learning_rate, read_checkpoint, train_network

CPU = Crew(torch.device("cpu"))


class Line:
    """A task small enough to reason about: fit y = 2 x by one weight, on points drawn by seed, step and index."""

    def __init__(self, *, spoil_at: int = -1, scores: tuple[float, ...] = ()) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.spoil_at, self.scores, self.seen = spoil_at, list(scores), []

    def sample(self, seed: int, step: int, index: int) -> tuple[str, float]:
        self.seen.append((step, index))
        x = float("nan") if step == self.spoil_at else ((seed + 7 * step + 3 * index) % 11) / 11
        return f"image{index}", x

    def losses(self, model: nn.Module, batch: list[Any], device: torch.device) -> dict[str, Tensor]:
        x = torch.tensor([[value] for _, value in batch], device=device)
        return {"square": ((model(x).float() - 2 * x) ** 2).mean()}

    def names(self, batch: list[Any]) -> list[str]:
        return [name for name, _ in batch]

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        model.eval()
        x = torch.linspace(0, 1, 9)[:, None]
        with torch.no_grad():
            own = -float(((model(x) - 2 * x) ** 2).mean())
        # a NumPy number, as means are: checkpoints must be readable all the same
        return {"score": np.float64(self.scores.pop(0) if self.scores else own)}


def settings(**changes: Any) -> LoopSettings:
    plain = {"steps": 12, "batch": 4, "learning_rate": 0.02, "warmup_steps": 2, "validate_every": 3, "ema": 0.5}
    return LoopSettings(**plain | changes)


def weights(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def test_a_resumed_run_ends_in_the_same_weights_and_figures() -> None:
    whole_rows: list[dict[str, float]] = []
    whole = train_network(Line(), settings(), crew=CPU, about={}, report=whole_rows.append, loaders=1)
    saved: list[bytes] = []
    train_network(Line(), settings(), crew=CPU, about={}, save=saved.append, loaders=1)
    rows: list[dict[str, float]] = []
    resumed = train_network(Line(), settings(), crew=CPU, about={}, checkpoint=saved[1], report=rows.append, loaders=1)
    assert [row["step"] for row in rows] == [7, 8, 9, 10, 11, 12]
    assert rows == whole_rows[6:]
    for one, other in zip(weights(whole.model), weights(resumed.model), strict=True):
        assert torch.equal(one, other)


def test_loaders_change_no_result() -> None:
    alone, helped = (train_network(Line(), settings(), crew=CPU, about={}, loaders=n) for n in (1, 3))
    for one, other in zip(weights(alone.model), weights(helped.model), strict=True):
        assert torch.equal(one, other)


def test_it_learns_and_keeps_the_best() -> None:
    task = Line(scores=(0.1, 0.9, 0.2, 0.3))
    done = train_network(task, settings(), crew=CPU, about={}, loaders=1)
    assert (done.best_step, done.last_step, done.figures["score"]) == (6, 12, 0.9)
    rows: list[dict[str, float]] = []
    train_network(Line(), settings(steps=200), crew=CPU, about={}, report=rows.append, loaders=1)
    assert rows[-1]["val_score"] > 0.3 * rows[2]["val_score"]


def test_it_stops_when_the_score_stands_still_also_after_a_break() -> None:
    scores = (0.5, 0.4, 0.3, 0.2, 0.1)
    saved: list[bytes] = []
    done = train_network(
        Line(scores=scores), settings(steps=300, patience=2), crew=CPU, about={}, save=saved.append, loaders=1
    )
    assert (done.best_step, done.last_step) == (3, 9)
    again = train_network(Line(), settings(steps=300, patience=2), crew=CPU, about={}, checkpoint=saved[-1], loaders=1)
    assert again.last_step == 9


def test_a_loss_that_is_no_number_names_the_images() -> None:
    with pytest.raises(ModelError, match=r"step 6: the loss is nan on the images image0, image1, image2, image3; look"):
        train_network(Line(spoil_at=5), settings(), crew=CPU, about={}, loaders=1)


def test_a_checkpoint_of_another_run_is_refused() -> None:
    saved: list[bytes] = []
    train_network(Line(), settings(), crew=CPU, about={"setting steps": "12"}, save=saved.append, loaders=1)
    with pytest.raises(ModelError, match="its setting steps is 12, not 24"):
        train_network(Line(), settings(), crew=CPU, about={"setting steps": "24"}, checkpoint=saved[0], loaders=1)
    other = Line()
    other.model = nn.Linear(3, 1)
    with pytest.raises(ModelError, match="does not fit this network"):
        train_network(other, settings(), crew=CPU, about={}, checkpoint=saved[0], loaders=1)


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="damaged or none"):
        read_checkpoint(data)


def test_rate_rises_and_falls() -> None:
    chosen = settings(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, chosen) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001


def test_each_process_of_a_crew_takes_its_share_of_a_batch() -> None:
    from cellseg.train.loop import _batches

    seen = []
    for rank in range(2):
        task = Line()
        list(_batches(task, settings(steps=2), Crew(torch.device("cpu"), rank, 2), 0, 1))
        seen.append(task.seen)
    assert seen[0] == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert seen[1] == [(0, 1), (0, 3), (1, 1), (1, 3)]
    with pytest.raises(ConfigError, match="batch 4 for 3 processes"):
        train_network(Line(), settings(), crew=Crew(torch.device("cpu"), 0, 3), about={}, loaders=1)


SCRIPT = """
import hashlib, sys, torch
sys.path.insert(0, {folder!r})
from test_loop import Line, settings, weights
from cellseg.train.loop import join_crew, leave_crew, train_network
crew = join_crew(torch.device("cpu"))
saved = []
done = train_network(Line(), settings(), crew=crew, about={{}}, save=saved.append, loaders=1)
last = weights(done.model)
digest = hashlib.sha256(b"".join(w.numpy().tobytes() for w in last)).hexdigest()
# a file each: on one standard output the words of both may mix
open(f"{{sys.argv[1]}}/rank{{crew.rank}}", "w").write(f"{{crew.rank}} {{crew.size}} {{len(saved)}} {{digest}}")
leave_crew(crew)
"""


@pytest.mark.slow
def test_torchrun_trains_one_network_in_two_processes(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(folder=str(Path(__file__).parent)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    done = subprocess.run([*run, str(script), str(tmp_path)], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    lines = [path.read_text().split() for path in sorted(tmp_path.glob("rank*"))]
    assert [line[:3] for line in lines] == [["0", "2", "4"], ["1", "2", "0"]]
    assert lines[0][3] == lines[1][3]
