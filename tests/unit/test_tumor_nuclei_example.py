"""The example of tumour nuclei: its settings agree with each other, and with the data where they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from cellseg.classify_config import TrainClassifierSettings
from cellseg.io.cell_labels import parse_classes, read_marks
from cellseg.io.settings import parse_settings, read_config, read_segmentation
from cellseg.io.slide import open_slide

EXAMPLE = Path(__file__).parents[2] / "workflows" / "tumor_nuclei"
CONFIG = yaml.safe_load((EXAMPLE / "config.yaml").read_text())


@pytest.fixture
def tiles() -> list[Path]:
    """Points of each tile of the data."""
    folder = Path(os.environ.get("CELLSEG_DATA", "../shared/data")) / "nucls"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set CELLSEG_DATA to the folder of labelled images")
    return sorted(folder.glob("*_points.csv"))


def test_the_model_looks_only_at_what_is_measured() -> None:
    measured = read_config(EXAMPLE / "cellseg.yaml").measure.families
    training = parse_settings(
        TrainClassifierSettings, {"model": CONFIG["model"], "features": CONFIG["features"]}, "config.yaml"
    )
    assert training.features
    assert set(training.features) <= set(measured)
    assert "focus" in measured, "unsharp nuclei are told by it"


def test_the_method_is_one_of_the_package() -> None:
    assert read_segmentation(None, CONFIG["method"]).method == CONFIG["method"]
    assert CONFIG["method"] in {"maskrcnn", "threshold"}


def test_every_class_of_the_data_has_a_meaning_and_no_other_has(tiles: list[Path]) -> None:
    assert len(tiles) == 15
    meaning = parse_classes(str(EXAMPLE / "classes.json"))
    marked = {name for path in tiles for name in read_marks(path).classes}
    named = [*meaning.healthy, *meaning.abnormal, *meaning.ignored]
    assert sorted(named) == sorted(marked)
    assert meaning.abnormal == ("tumor",)


def test_every_point_lies_in_its_tile(tiles: list[Path]) -> None:
    for path in tiles:
        points = read_marks(path).points_px
        with open_slide(path.with_name(path.name.replace("_points.csv", ".png"))) as image:
            assert points is not None
            assert (points >= 0).all()
            assert (points < (image.height, image.width)).all(), path.name
