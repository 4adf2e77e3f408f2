"""`cellseg train maskrcnn` as a function: weights with their story, fine-tuning, breaks, refusals."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training import QUICK, SMALL, write_pair

from cellseg.errors import CellsegError, ConfigError, ModelError
from cellseg.io.weights import half_tensors, read_weights, write_weights
from cellseg.segment.architecture import parse_architecture
from cellseg.segment.maskrcnn import build_maskrcnn
from cellseg.stages.train_maskrcnn import FORMAT, TrainRequest, train_maskrcnn
from cellseg.stages.training_run import TrainingFiles, export_checkpoint

ARCHITECTURE = SMALL.model_dump(mode="json", include={"pyramid_channels", "box_units", "mask_channels", "mask_layers"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed in range(4):
        write_pair(folder, f"image{seed}", seed=seed)
    (folder / "index.csv").write_text("id,mpp\n" + "".join(f"image{seed},0.4\n" for seed in range(4)))
    return folder


def request(data: Path, out: Path) -> TrainRequest:
    settings = QUICK.model_copy(update={"architecture": ARCHITECTURE, "val_share": 0.25})
    return TrainRequest((data,), out, settings, stain="fluorescence", licence="CC0-1.0", device="cpu", command="x")


def small_weights(path: Path, classes: tuple[str, ...] = ("nucleus",)) -> Path:
    torch.manual_seed(3)
    architecture = SMALL.model_copy(update={"classes": classes, "diameter_um": 5.0})
    tensors = half_tensors(build_maskrcnn(architecture).state_dict())
    write_weights(path, tensors, {"format": FORMAT, "architecture": architecture.model_dump(mode="json")})
    return path


class Broken(Exception):
    """The power is cut."""


def cut_after(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Broken

    return progress


def test_weights_tell_their_story_and_log_and_curves_lie_beside(data: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    files = TrainingFiles(tmp_path / "w.safetensors")
    said: list[dict[str, float]] = []
    metadata = train_maskrcnn(request(data, files.weights), progress=lambda *at: seen.append(at), report=said.append)
    weights = read_weights(files.weights, expected_format=FORMAT)
    assert weights.metadata == metadata
    assert (metadata["licence"], metadata["seed"], metadata["start"]) == ("CC0-1.0", 0, "random weights")
    assert metadata["data"]["images"] == {"training": {"fluorescence": 3}, "validation": {"fluorescence": 1}}
    assert metadata["classes"] == ["nucleus"]
    architecture = parse_architecture(metadata["architecture"], "w")
    # discs of about 18 px at 0.4 um per px
    assert architecture.diameter_um == pytest.approx(7.2, abs=0.4)
    build_maskrcnn(architecture).load_state_dict({name: value.float() for name, value in weights.tensors.items()})
    assert weights.tensors["backbone.trunk.stem.0.weight"].dtype == torch.float16
    rows = list(csv.DictReader(files.log.read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[1]["val_score"]) == 0.0
    assert files.curves.read_bytes().startswith(b"\x89PNG")
    assert not files.checkpoint.exists()
    assert (seen, len(said)) == ([(1, 4), (2, 4), (3, 4), (4, 4)], 2)


def test_a_run_that_was_broken_off_goes_on_to_the_same_weights_and_log(data: Path, tmp_path: Path) -> None:
    whole, broken = TrainingFiles(tmp_path / "a.safetensors"), TrainingFiles(tmp_path / "b.safetensors")
    train_maskrcnn(request(data, whole.weights))
    with pytest.raises(Broken):
        train_maskrcnn(request(data, broken.weights), progress=cut_after(3))
    assert broken.checkpoint.exists()
    assert not broken.weights.exists()
    with pytest.raises(ConfigError, match=r"b\.checkpoint: a run that was broken off; go on with --resume"):
        train_maskrcnn(request(data, broken.weights))
    train_maskrcnn(replace(request(data, broken.weights), resume=True))
    assert broken.weights.read_bytes() == whole.weights.read_bytes()
    assert broken.log.read_bytes() == whole.log.read_bytes()
    assert not broken.checkpoint.exists()


def test_a_checkpoint_of_other_settings_or_images_is_refused(data: Path, tmp_path: Path) -> None:
    asked = replace(request(data, tmp_path / "w.safetensors"), resume=True)
    with pytest.raises(Broken):
        train_maskrcnn(asked, progress=cut_after(3))
    with pytest.raises(ModelError, match="its setting seed is 0, not 1"):
        train_maskrcnn(replace(asked, settings=asked.settings.model_copy(update={"seed": 1})))
    other = tmp_path / "other"
    for seed in range(2):
        write_pair(other, f"image{seed}", seed=seed + 10)
    (other / "index.csv").write_text("id,mpp\nimage0,0.4\nimage1,0.4\n")
    with pytest.raises(ModelError, match=r"of another run: its (architecture|set of images) is"):
        train_maskrcnn(replace(asked, data=(other,)))


def test_the_best_weights_of_a_broken_run_can_be_kept(data: Path, tmp_path: Path) -> None:
    files = TrainingFiles(tmp_path / "w.safetensors")
    with pytest.raises(Broken):
        train_maskrcnn(request(data, files.weights), progress=cut_after(3))
    metadata = export_checkpoint(files.checkpoint, tmp_path / "kept.safetensors")
    kept = read_weights(tmp_path / "kept.safetensors", expected_format=FORMAT)
    assert kept.metadata == metadata
    assert (metadata["best_step"], metadata["last_step"], metadata["licence"]) == (2, 2, "CC0-1.0")
    parse_architecture(metadata["architecture"], "kept")
    (tmp_path / "none.checkpoint").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"none\.checkpoint: no checkpoint to take weights from"):
        export_checkpoint(tmp_path / "none.checkpoint", tmp_path / "x.safetensors")


def test_fine_tuning_starts_from_weights_and_takes_its_own_defaults(data: Path, tmp_path: Path) -> None:
    start = small_weights(tmp_path / "start.safetensors")
    settings = QUICK.model_copy(update={"val_share": 0.25, "fine_tune": {"steps": 2, "learning_rate": 1e-9}})
    asked = TrainRequest((data,), tmp_path / "w.safetensors", settings, str(start), stain="fluorescence", device="cpu")
    metadata = train_maskrcnn(asked)
    assert metadata["start"] == f"{start} (sha256 {read_weights(start).sha256})"
    assert (metadata["last_step"], metadata["settings"]["learning_rate"]) == (2, 1e-9)
    old, new = read_weights(start).tensors, read_weights(asked.out).tensors
    # two steps of next to no length
    assert all(torch.allclose(old[name].float(), new[name].float(), atol=1e-3) for name in old)
    with pytest.raises(ConfigError, match=r"architecture: it is that of .*start\.safetensors"):
        train_maskrcnn(replace(asked, settings=settings.model_copy(update={"architecture": ARCHITECTURE})))


def test_fine_tuning_to_other_classes(data: Path, tmp_path: Path) -> None:
    two = small_weights(tmp_path / "two.safetensors", ("a", "b"))
    settings = QUICK.model_copy(update={"fine_tune": {"steps": 1}, "val_share": 0})
    asked = TrainRequest((data,), tmp_path / "w.safetensors", settings, str(two), stain="fluorescence", device="cpu")
    with pytest.raises(ConfigError, match="knows the classes a, b, the images name none; give --classes"):
        train_maskrcnn(asked)
    metadata = train_maskrcnn(replace(asked, classes=("cell",)))
    assert (metadata["classes"], metadata["split"]) == (["cell"], "validated on the training images")


def test_with_steps_wins_over_both_defaults() -> None:
    settings = type(QUICK)().with_steps(30)
    assert (settings.steps, settings.for_fine_tuning().steps) == (30, 30)
    assert settings.for_fine_tuning().learning_rate == 2e-4


def test_faults_say_what_to_do(data: Path, tmp_path: Path) -> None:
    asked = request(data, tmp_path / "w.safetensors")
    faults: dict[str, TrainRequest] = {
        "weights are written as NAME.safetensors": replace(asked, out=tmp_path / "w.pt"),
        "give one of them": replace(asked, init="nucleus", imagenet=tmp_path / "i.pth"),
        "no such weights file": replace(asked, init=str(tmp_path / "none.safetensors")),
        "i.pth: cannot be read": replace(asked, imagenet=tmp_path / "i.pth"),
        "architecture: its metadata describe no Mask R-CNN": replace(
            asked, settings=asked.settings.model_copy(update={"architecture": {"backbone": "vgg"}})
        ),
        "no such folder": replace(asked, data=(tmp_path / "none",)),
    }
    for message, fault in faults.items():
        with pytest.raises(CellsegError, match=message):
            train_maskrcnn(fault)
    assert not list(tmp_path.iterdir())
