"""Starting a project and looking at an image."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_files import write_dicom, write_ome_zarr

from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.io.samples import read_samples
from cellseg.io.settings import read_config
from cellseg.stages.info import image_info
from cellseg.stages.init import init_project

RGB = np.full((30, 40, 3), 200, np.uint8)


def folder_of_images(tmp_path: Path) -> Path:
    images = tmp_path / "my images"
    images.mkdir()
    Image.fromarray(RGB).save(images / "b 1.PNG")
    tifffile.imwrite(images / "a.tif", RGB, photometric="rgb", resolution=(20000, 20000), resolutionunit=3)
    Image.fromarray(RGB[..., 0]).save(images / "A.jpg")
    (images / "notes.txt").write_text("no image")
    (images / ".hidden.png").write_bytes(b"x")
    return images


def test_init_writes_what_the_readers_take(tmp_path: Path) -> None:
    report = init_project(tmp_path / "project", folder_of_images(tmp_path))
    assert read_config(report.config) == Config()
    samples = read_samples(report.sheet)
    assert [(s.sample, s.stain, s.mpp) for s in samples] == [
        ("A", "fluorescence", None),
        ("a_2", "he", None),
        ("b_1", "he", None),
    ]
    assert report.samples == ("A", "a_2", "b_1") and report.without_mpp == ("A", "b_1")
    text = report.sheet.read_text("utf-8")
    assert "../my images/a.tif" in text
    assert "FILL IN mpp" in text.split("sample\tpath")[0] and "A, b_1" in text


def test_init_is_the_same_every_time(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    first, second = init_project(tmp_path / "one", images), init_project(tmp_path / "two", images)
    assert first.sheet.read_bytes() == second.sheet.read_bytes()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    images, project = folder_of_images(tmp_path), tmp_path / "project"
    project.mkdir()
    (project / "samples.tsv").write_text("mine")
    with pytest.raises(ConfigError, match=r"samples\.tsv: is there already"):
        init_project(project, images)
    assert (project / "samples.tsv").read_text() == "mine"
    assert not (project / "config.yaml").exists()


def test_init_leaves_out_what_cannot_be_read_and_says_so(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    (images / "broken.png").write_bytes((images / "b 1.PNG").read_bytes()[:-20])
    report = init_project(tmp_path / "project", images)
    assert len(report.samples) == 3 and len(report.left_out) == 1
    assert "# left out:" in report.sheet.read_text() and "truncated PNG" in report.sheet.read_text()
    assert len(read_samples(report.sheet)) == 3


def test_init_without_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        init_project(tmp_path / "p", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no images; expected files that end in"):
        init_project(tmp_path / "p", tmp_path / "empty")
    (tmp_path / "empty" / "x.png").write_bytes(b"x")
    with pytest.raises(ConfigError, match="none of its 1 images can be read"):
        init_project(tmp_path / "p", tmp_path / "empty")
    assert not (tmp_path / "p").exists()


def test_info_is_plain_values(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    info = image_info(images / "a.tif")
    assert json.loads(json.dumps(info)) == {
        "path": str(images / "a.tif"),
        "format": "TIFF (stripped, none)",
        "height_px": 30,
        "width_px": 40,
        "channels": ["red", "green", "blue"],
        "type": "uint8",
        "levels": [{"height_px": 30, "width_px": 40, "downsample": 1.0}],
        "mpp": 0.5,
        "objective_power": None,
        "mpp_source": "TIFF resolution tags",
    }
    gray = image_info(images / "A.jpg")
    assert (gray["format"], gray["channels"], gray["mpp"]) == ("JPEG", ["gray"], None)
    assert "--mpp" in gray["mpp_source"]


def test_folders_that_are_images(tmp_path: Path) -> None:
    images = tmp_path / "images"
    picture = np.full((300, 300, 3), 200, np.uint8)
    write_dicom(images / "case 1.5", picture)
    write_ome_zarr(images / "b.ome.zarr", picture)
    (images / "more").mkdir()
    Image.fromarray(RGB).save(images / "c.png")
    report = init_project(tmp_path / "project", images)
    assert [(s.sample, s.path.name) for s in read_samples(report.sheet)] == [
        ("b", "b.ome.zarr"), ("c", "c.png"), ("case_1.5", "case 1.5"),
    ]  # fmt: skip
    assert report.without_mpp == ("c",) and not report.left_out
    alone = init_project(tmp_path / "other", images / "case 1.5")
    assert alone.samples == ("case_1.5",)
    write_dicom(images / "case 1.5", picture, series="1.2.3.2", name="second")
    with pytest.raises(ConfigError, match=r"none of its 1 images can be read; .*2 DICOM slides in one folder"):
        init_project(tmp_path / "third", images / "case 1.5")


def test_what_a_folder_that_is_an_image_holds(tmp_path: Path) -> None:
    write_dicom(tmp_path / "slide", np.full((300, 300, 3), 200, np.uint8), mpp=0.25)
    told = image_info(tmp_path / "slide")
    assert (told["format"], told["mpp"], len(told["levels"])) == ("DICOM (Explicit VR Little Endian)", 0.25, 2)
    assert told["objective_power"] == 20
