"""`cellseg train segnet` as a function: weights with their story, splits by case, fine-tuning, breaks, refusals."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from training import QUICK_TISSUE, write_masked

from cellseg.errors import CellsegError, ConfigError, LabelError, ModelError
from cellseg.io.weights import read_weights
from cellseg.segment.tissue import load_tissue_network
from cellseg.stages.tissue_training import find_tissue_images, read_tissue_images, split_cases
from cellseg.stages.train_segnet import FORMAT, SegNetRequest, train_segnet
from cellseg.stages.training_run import TrainingFiles, export_checkpoint

INDEX = "id,split,case\ni0,train,a\ni1,train,a\ni2,val,b\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed in range(3):
        write_masked(folder, f"i{seed}", seed=seed)
    (folder / "index.csv").write_text(INDEX)
    return folder


def request(data: Path, out: Path) -> SegNetRequest:
    return SegNetRequest((data,), out, QUICK_TISSUE, classes=("pink", "purple"), licence="CC0-1.0", device="cpu")


def copy_of(data: Path, to: Path, index: str | None = None) -> Path:
    for part in ("images", "masks"):
        (to / part).mkdir(parents=True)
        for file in (data / part).iterdir():
            (to / part / file.name).write_bytes(file.read_bytes())
    if index is not None:
        (to / "index.csv").write_text(index)
    return to


class Broken(Exception):
    """The power is cut."""


def cut_after(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Broken

    return progress


def test_weights_tell_their_story_and_can_be_used(data: Path, tmp_path: Path) -> None:
    files = TrainingFiles(tmp_path / "w.safetensors")
    metadata = train_segnet(replace(request(data, files.weights), mpp=1.5))
    weights = read_weights(files.weights, expected_format=FORMAT)
    assert weights.metadata == metadata
    assert metadata["data"]["images"] == {"training": 2, "validation": 1}
    assert metadata["data"]["cases"] == {"training": 1, "validation": 1}
    assert (metadata["architecture"]["mpp"], metadata["stains"], metadata["licence"]) == (1.5, ["he"], "CC0-1.0")
    network = load_tissue_network(weights, device="cpu")
    assert network.names == ("pink", "purple")
    assert network.look(np.zeros((40, 50, 3), np.uint8))[0].shape == (40, 50)
    rows = list(csv.DictReader(files.log.read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"] and rows[1]["val_score"]
    assert files.curves.read_bytes().startswith(b"\x89PNG") and not files.checkpoint.exists()


def test_a_run_that_was_broken_off_goes_on_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    whole, broken = TrainingFiles(tmp_path / "a.safetensors"), TrainingFiles(tmp_path / "b.safetensors")
    train_segnet(request(data, whole.weights))
    with pytest.raises(Broken):
        train_segnet(request(data, broken.weights), progress=cut_after(3))
    kept = export_checkpoint(broken.checkpoint, tmp_path / "kept.safetensors")
    assert kept["best_step"] == 2
    load_tissue_network(read_weights(tmp_path / "kept.safetensors", expected_format=FORMAT), device="cpu")
    with pytest.raises(ConfigError, match="go on with --resume"):
        train_segnet(request(data, broken.weights))
    with pytest.raises(ModelError, match="its setting seed is 0, not 1"):
        other = QUICK_TISSUE.model_copy(update={"seed": 1})
        train_segnet(replace(request(data, broken.weights), settings=other, resume=True))
    train_segnet(replace(request(data, broken.weights), resume=True))
    assert broken.weights.read_bytes() == whole.weights.read_bytes()


def test_fine_tuning_takes_classes_levels_and_scale_over(data: Path, tmp_path: Path) -> None:
    levels = [{"all": ["pink", "purple"]}]
    settings = QUICK_TISSUE.model_copy(
        update={"architecture": {"width": 0.0625, "levels": levels, "smooth_px": 8.0, "balance": {"pink": 2.0}}}
    )
    first = replace(request(data, tmp_path / "a.safetensors"), settings=settings, mpp=2.0)
    train_segnet(first)
    tuned = QUICK_TISSUE.model_copy(update={"architecture": {}, "fine_tune": {"steps": 1}})
    metadata = train_segnet(
        replace(first, out=tmp_path / "b.safetensors", settings=tuned, init=str(first.out), classes=(), mpp=None)
    )
    kept = metadata["architecture"]
    assert (kept["levels"], kept["mpp"], kept["smooth_px"], kept["balance"]) == (levels, 2.0, 8.0, {"pink": 2.0})
    assert metadata["start"].startswith(str(first.out)) and metadata["last_step"] == 1
    with pytest.raises(ConfigError, match=r"architecture\.width: it is that of"):
        train_segnet(replace(first, out=tmp_path / "c.safetensors", init=str(first.out)))


def test_whole_cases_are_drawn_where_no_split_is_given(data: Path, tmp_path: Path) -> None:
    folder = copy_of(data, tmp_path / "d", "id,case\ni0,a\ni1,a\ni2,b\n")
    for seed in range(6):
        split = split_cases(find_tissue_images([folder], stain="he"), val_share=0.3, seed=seed)
        parts = {name: {i.case for i in split if i.split == name} for name in ("train", "val")}
        assert len(parts["val"]) == 1 and not parts["train"] & parts["val"]


def test_weights_say_how_cases_were_told_apart(data: Path, tmp_path: Path) -> None:
    one_step = QUICK_TISSUE.with_steps(1)
    alone = replace(request(copy_of(data, tmp_path / "d"), tmp_path / "a.safetensors"), settings=one_step)
    assert train_segnet(alone)["split"].endswith("seed 0; every image is a case of its own")
    told = train_segnet(replace(request(data, tmp_path / "b.safetensors"), settings=one_step))
    assert told["split"].startswith("by case") and "its own" not in told["split"]


def test_polygons_of_qupath_are_classes_and_the_rest_is_unknown(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "q"
    folder.mkdir()
    cv2.imwrite(str(folder / "x.png"), np.full((20, 30, 3), 200, np.uint8))
    square = [[[0, 0], [10, 0], [10, 20], [0, 20], [0, 0]]]
    other = [[[10, 0], [20, 0], [20, 20], [10, 20], [10, 0]]]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": ring},
            "properties": {"classification": {"name": n}},
        }
        for ring, n in ((square, "tumor"), (other, "stroma"))
    ]
    (folder / "x.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read_tissue_images(split_cases(find_tissue_images([folder], stain="he"), val_share=0, seed=0), val_share=0)
    assert found.classes == ("stroma", "tumor")
    classes = found.training[0].classes
    assert (classes[:, :10] == 1).all() and (classes[:, 10:20] == 0).all() and (classes[:, 20:] == 255).all()


def test_images_of_known_pixel_size_come_to_the_scale_asked_for(data: Path, tmp_path: Path) -> None:
    folder = copy_of(data, tmp_path / "d", "id,mpp\ni0,0.5\ni1,1\ni2,\n")
    found = read_tissue_images(
        split_cases(find_tissue_images([folder], stain="he"), val_share=0, seed=0),
        classes=("a", "b"),
        mpp=1.0,
        val_share=0,
    )
    sizes = {image.name: image.classes.shape for image in found.training}
    assert sizes == {"i0": (32, 32), "i1": (64, 64), "i2": (64, 64)}
    small = next(image for image in found.training if image.name == "i0")
    dark = small.pixels.mean(axis=2) < 150
    assert (dark == (small.classes == 1)).mean() > 0.9


def test_faults_say_what_to_do(data: Path, tmp_path: Path) -> None:
    asked = request(data, tmp_path / "w.safetensors")
    mixed = copy_of(data, tmp_path / "mixed", "id,split,case\ni0,train,a\ni1,val,a\ni2,val,b\n")
    bare = copy_of(data, tmp_path / "bare", INDEX)
    (bare / "masks" / "i1.png").unlink()
    values = copy_of(data, tmp_path / "values", INDEX)
    cv2.imwrite(str(values / "masks" / "i0.png"), np.full((64, 64), 7, np.uint8))
    size = copy_of(data, tmp_path / "size", INDEX)
    cv2.imwrite(str(size / "masks" / "i0.png"), np.zeros((8, 8), np.uint8))
    twice = copy_of(data, tmp_path / "twice", INDEX)
    (twice / "images" / "i2.png").write_bytes((twice / "images" / "i0.png").read_bytes())
    faults: dict[str, SegNetRequest] = {
        "no such folder": replace(asked, data=(tmp_path / "none",)),
        "case a is in train and in val": replace(asked, data=(mixed,)),
        r"i1\.png: no mask; expected one of masks/i1\.png": replace(asked, data=(bare,)),
        r"i0\.png: a value of 7; expected 0 to 1 \(pink, purple\)": replace(asked, data=(values,)),
        r"8 x 8 px, the image .* is 64 x 64 px": replace(asked, data=(size,)),
        "the same file as": replace(asked, data=(twice,)),
        "a mask tells no names; give --classes": replace(asked, classes=()),
        "written as NAME.safetensors": replace(asked, out=tmp_path / "w.pt"),
        "no such weights file": replace(asked, init=str(tmp_path / "none.safetensors")),
    }
    for message, fault in faults.items():
        with pytest.raises(CellsegError, match=message):
            train_segnet(fault)
    with pytest.raises(LabelError):
        train_segnet(replace(asked, data=(mixed,)))
    assert not list(tmp_path.glob("w.*"))
