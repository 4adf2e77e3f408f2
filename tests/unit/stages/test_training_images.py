"""Folders of labelled images: what is found, how it is split, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from training import write_pair

from cellseg.errors import ConfigError, ImageError, LabelError
from cellseg.stages.training_images import assign_splits, find_images, read_images


def splits(images: tuple) -> dict[str, str]:
    return {image.name: image.split for image in images}


def square_json(name: str | None = None, at: int = 10) -> list:
    ring = [[at, at], [at + 20, at], [at + 20, at + 20], [at, at + 20]]
    properties = {} if name is None else {"classification": {"name": name}}
    return [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}]


def test_label_images_beside_images(tmp_path: Path) -> None:
    truth = write_pair(tmp_path, "a", seed=1)
    write_pair(tmp_path / "deep", "b", seed=2)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.png").write_bytes(b"")
    found = find_images([tmp_path], stain="fluorescence")
    assert [image.name for image in found] == ["a", "deep/b"]
    images = read_images(assign_splits(found, val_share=0.5, seed=0))
    assert (len(images.training), len(images.validation), images.classes) == (1, 1, ("nucleus",))
    (a,) = (image for image in images.training + images.validation if image.name == "a")
    assert np.array_equal(a.labels > 0, truth > 0)
    assert (a.kind, a.stain, a.classes, a.pixels.shape) == ("fluorescence", "fluorescence", {}, (96, 96, 3))
    assert a.diameter_px == pytest.approx(18, abs=1)
    # fluorescence fills the range between the image's percentiles
    assert (a.pixels.min(), a.pixels.max()) == (0, 255)


def test_index_says_split_kind_stain_group_and_size(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        write_pair(tmp_path / ("val" if name == "d" else "train"), name, seed=number)
    (tmp_path / "index.csv").write_text(
        "id,split,kind,stain,group,mpp\na,train,smear,fluorescence,p1,0.5\nb,train,fluorescence,,p1,0.25\n"
        "c,test,fluorescence,,p2,\nd,val,fluorescence,,p3,0.5\n"
    )
    found = find_images([tmp_path], stain="he")
    assert splits(found) == {"a": "train", "b": "train", "d": "val"}
    assert [(image.kind, image.stain) for image in found[:2]] == [("smear", "fluorescence"), ("fluorescence",) * 2]
    images = read_images(assign_splits(found, val_share=0.2, seed=0))
    assert [image.name for image in images.validation] == ["d"]
    # about 18 px each, at 0.5, 0.25 and 0.5 um per px
    assert images.diameter_um == pytest.approx(9.0, abs=0.6)


def test_without_a_pixel_size_the_objects_size_is_unknown(tmp_path: Path) -> None:
    for name in "ab":
        write_pair(tmp_path, name, seed=ord(name))
    images = read_images(assign_splits(find_images([tmp_path], stain="fluorescence"), val_share=0.5, seed=0))
    assert images.diameter_um is None


def test_split_is_by_seed_and_keeps_groups_together(tmp_path: Path) -> None:
    for number in range(12):
        write_pair(tmp_path, f"i{number:02d}", seed=number)
    rows = "".join(f"i{number:02d},patient{number // 3}\n" for number in range(12))
    (tmp_path / "index.csv").write_text("id,group\n" + rows)
    found = find_images([tmp_path], stain="fluorescence")
    one = assign_splits(found, val_share=0.25, seed=0)
    assert [image.split for image in one].count("val") == 3
    assert len({image.group for image in one if image.split == "val"}) == 1
    assert one == assign_splits(found[::-1], val_share=0.25, seed=0)[::-1]
    assert len({tuple(splits(assign_splits(found, val_share=0.25, seed=s)).values()) for s in range(8)}) > 1


def test_validation_on_training_images_must_be_asked_for(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    found = find_images([tmp_path], stain="fluorescence")
    with pytest.raises(ConfigError, match="none is left for train; add images, or set val_share 0"):
        assign_splits(found, val_share=0.2, seed=0)
    images = read_images(assign_splits(found, val_share=0, seed=0), val_share=0)
    assert images.training == images.validation
    assert not images.is_honest


def test_geojson_classes_become_numbers_in_order(tmp_path: Path) -> None:
    for name, kind in (("a", "tumor"), ("b", "immune")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.random.default_rng(ord(name)).integers(0, 255, (64, 64, 3)))
        (tmp_path / f"{name}.geojson").write_text(json.dumps(square_json(kind)))
    found = assign_splits(find_images([tmp_path], stain="he"), val_share=0, seed=0)
    images = read_images(found, val_share=0)
    assert images.classes == ("immune", "tumor")
    assert [image.classes for image in images.training] == [{1: 2}, {1: 1}]
    assert read_images(found, classes=("tumor", "immune"), val_share=0).training[0].classes == {1: 1}
    assert read_images(found, classes=("cell",), val_share=0).training[0].classes == {}
    with pytest.raises(LabelError, match=r"an object of the class 'tumor'; known are immune, other"):
        read_images(found, classes=("immune", "other"), val_share=0)


def test_coco_file_in_the_folder_names_its_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.random.default_rng(0).integers(0, 255, (64, 48, 3)))
    value = {
        "images": [{"id": 1, "file_name": "images/a.png", "height": 64, "width": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[4, 4, 20, 4, 20, 20, 4, 20]]}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "all.json").write_text(json.dumps(value))
    found = find_images([tmp_path], stain="he")
    assert found == find_images([tmp_path / "all.json"], stain="he")
    images = read_images(assign_splits(found, val_share=0, seed=0), val_share=0)
    assert images.classes == ("cell",)
    assert images.training[0].labels.sum() == 256
    value["images"][0]["height"] = 60
    (tmp_path / "all.json").write_text(json.dumps(value))
    with pytest.raises(LabelError, match=r"labels of 60 x 48 px, the image .* is 64 x 48 px"):
        read_images(assign_splits(find_images([tmp_path], stain="he"), val_share=0, seed=0), val_share=0)


def test_foreign_label_numbers_and_16_bit_channels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 3000, (2, 64, 64), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    labels = np.zeros((64, 64), np.uint32)
    labels[3:20, 3:20], labels[30:50, 30:50] = 7, 4_000_000_000
    tifffile.imwrite(tmp_path / "a_labels.tif", labels)
    (tmp_path / "index.csv").write_text("id,stain,channel\na,fluorescence,GFP\n")
    (image,) = read_images(
        assign_splits(find_images([tmp_path], stain="he"), val_share=0, seed=0), val_share=0
    ).training
    assert np.unique(image.labels).tolist() == [0, 1, 2]
    expected = np.argsort(pixels[1].ravel())
    assert np.all(np.diff(image.pixels[:, :, 0].ravel()[expected].astype(int)) >= 0)


def test_faults_say_where_and_what_to_do(tmp_path: Path) -> None:
    def message(folder: Path, error: type[Exception]) -> str:
        with pytest.raises(error) as caught:
            read_images(assign_splits(find_images([folder], stain="fluorescence"), val_share=0.5, seed=0))
        return str(caught.value)

    assert "no such folder" in message(tmp_path / "none", ConfigError)
    (tmp_path / "empty").mkdir()
    assert "no labelled images; expected NAME.png" in message(tmp_path / "empty", ConfigError)

    lone = tmp_path / "lone"
    write_pair(lone, "a")
    (lone / "a_labels.png").unlink()
    assert "a.png: no labels beside it; expected one of a_labels.png" in message(lone, LabelError)

    twice = tmp_path / "twice"
    write_pair(twice, "a")
    (twice / "a.geojson").write_text("[]")
    assert "a_labels.png and a.geojson beside it" in message(twice, LabelError)

    sizes = tmp_path / "sizes"
    write_pair(sizes, "b", seed=2)
    write_pair(sizes, "a")
    cv2.imwrite(str(sizes / "a_labels.png"), np.zeros((4, 4), np.uint16))
    assert "labels of 4 x 4 px" in message(sizes, LabelError)

    leak = tmp_path / "leak"
    write_pair(leak / "train", "a")
    write_pair(leak / "val", "b")
    assert "the same file as" in message(leak, LabelError)

    index = tmp_path / "index"
    write_pair(index, "a")
    (index / "index.csv").write_text("id\nzzz\n")
    assert "index.csv, line 2: no image of the name 'zzz'" in message(index, LabelError)
    (index / "index.csv").write_text("name\na\n")
    assert "expected the column id" in message(index, ConfigError)
    (index / "index.csv").write_text("id,stain\na,purple\n")
    assert "line 2: stain 'purple'; choose one of" in message(index, ConfigError)
    (index / "index.csv").write_text("id,mpp\na,wide\n")
    assert "mpp 'wide'" in message(index, ConfigError)


def test_gray_images_are_not_he(tmp_path: Path) -> None:
    for name in "ab":
        write_pair(tmp_path, name, seed=ord(name))
    with pytest.raises(ImageError, match="stain he needs a colour image"):
        read_images(assign_splits(find_images([tmp_path], stain="he"), val_share=0.5, seed=0))
