"""`cellseg evaluate semantic`: maps and masks of folders, by case and by group of classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cellseg.commands.evaluate import app
from cellseg.errors import CellsegError, ConfigError, LabelError
from cellseg.io.class_map import cut_tiles, write_class_map
from cellseg.stages.evaluate_semantic import (
    SemanticSettings,
    evaluate_semantic,
    parse_levels,
    read_cases,
    score_files,
)
from cellseg.stages.pairs import find_pairs

NAMES = ("stroma", "normal", "tumor")
LEVELS = ({"stroma": ("stroma",), "gland": ("normal", "tumor")},)
SETTINGS = SemanticSettings(NAMES, LEVELS)


def write_map(path: Path, values: np.ndarray, names: tuple[str, ...] = NAMES) -> Path:
    height, width = values.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles = cut_tiles([values], height_px=height, width_px=width)
    write_class_map(path, tiles, height_px=height, width_px=width, mpp=1.0, names=names)
    return path


def write_mask(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values)
    return path


def half(left: int, right: int, width: int = 40) -> np.ndarray:
    values = np.full((30, width), right, np.uint8)
    values[:, : width // 2] = left
    return values


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, truth, found in (
        ("a", half(0, 1), half(0, 1)),
        ("b", half(0, 2), half(0, 1)),
        ("c", half(0, 1), half(1, 1)),
    ):
        write_map(tmp_path / "found" / f"{name}.ome.tif", found)
        write_mask(tmp_path / "true" / f"{name}.png", truth)
    return tmp_path / "found", tmp_path / "true"


def test_classes_groups_and_cases(folders: tuple[Path, Path]) -> None:
    result = evaluate_semantic(find_pairs(*folders), SETTINGS, cases={"a": "one", "b": "one", "c": "two"}, n_draws=50)
    rows = {(row["level"], row["class"]): row for row in result.classes}
    # stroma: 1800 true px, 1200 of them found, none invented
    assert rows["classes", "stroma"]["dice"] == pytest.approx(2 * 1200 / 3000)
    assert rows["classes", "tumor"]["dice"] == 0
    # gland: tumor taken for normal is still gland
    assert rows["level 1", "gland"]["dice"] == pytest.approx(2 * 1800 / (1800 + 2400))
    assert rows["classes", "mean over classes"]["pixel_accuracy"] == pytest.approx(
        (1200 + 600 + 600) / 3600 - 600 / 3600 + 600 / 3600
    )
    assert [(row["case"], row["n_images"]) for row in result.cases] == [("one", 2), ("two", 1)]
    assert result.cases[0]["level1 dice gland"] == 1
    assert (
        rows["level 1", "stroma"]["dice_low"]
        <= rows["level 1", "stroma"]["dice"]
        <= rows["level 1", "stroma"]["dice_high"]
    )
    assert rows["level 1", "stroma"]["dice_by_case"] == pytest.approx(0.5)


def test_large_maps_are_scored_strip_by_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth, found = (np.kron(rng.integers(0, 3, (20, 10)), np.ones((5, 5))).astype(np.uint8) for _ in range(2))
    files = write_map(tmp_path / "f.ome.tif", found), write_mask(tmp_path / "t.png", truth)
    whole = score_files(*files, SETTINGS)
    monkeypatch.setattr("cellseg.stages.evaluate_semantic._STRIP_PX", 13)
    for one, other in zip(score_files(*files, SETTINGS), whole, strict=True):
        assert np.array_equal(one.confusion, other.confusion) and np.array_equal(one.boundary, other.boundary)


def test_maps_of_another_resolution_and_order_of_classes(tmp_path: Path) -> None:
    truth = write_mask(tmp_path / "t.png", half(0, 2))
    small = write_map(tmp_path / "s.ome.tif", half(1, 0)[::2, ::2].copy(), ("tumor", "stroma"))
    assert score_files(small, truth, SETTINGS)[-1].confusion.tolist() == [[600, 0, 0, 0], [0, 0, 0, 0], [0, 0, 600, 0]]


def test_glass_counts_as_what_it_is_said_to_be(tmp_path: Path) -> None:
    truth, found = write_mask(tmp_path / "t.png", half(0, 1)), write_map(tmp_path / "f.ome.tif", half(255, 1))
    assert score_files(found, truth, SETTINGS)[-1].confusion[0].tolist() == [0, 0, 0, 600]
    as_stroma = SemanticSettings(NAMES, no_class_is="stroma")
    assert score_files(found, truth, as_stroma)[-1].confusion[0].tolist() == [600, 0, 0, 0]


def test_the_command_prints_all_of_it(folders: tuple[Path, Path], tmp_path: Path) -> None:
    index = tmp_path / "index.csv"
    index.write_text("id,case\na,one\nb,one\nc,two\n")
    arguments = ["semantic", str(folders[0]), str(folders[1]), "--groups", "stroma=stroma;gland=normal,tumor"]
    done = CliRunner().invoke(
        app, [*arguments, "--index", str(index), "--draws", "20", "--json", str(tmp_path / "o.json")]
    )
    assert done.exit_code == 0, done.output
    for word in ("level 1", "gland", "boundary_f1", "pixel_accuracy", "share of the true pixels", "two", "dice tumor"):
        assert word in done.output
    assert (tmp_path / "o.json").is_file()


def test_faults_say_what_to_do(folders: tuple[Path, Path], tmp_path: Path) -> None:
    truth = folders[1] / "a.png"
    other = write_map(tmp_path / "o.ome.tif", half(0, 1), ("stroma", "bone"))
    with pytest.raises(LabelError, match="has the class 'bone', truth has stroma, normal, tumor"):
        score_files(other, truth, SETTINGS)
    wide = write_map(tmp_path / "w.ome.tif", half(0, 1, width=90))
    with pytest.raises(LabelError, match="other proportions"):
        score_files(wide, truth, SETTINGS)
    with pytest.raises(ConfigError, match="no class 'bone'"):
        parse_levels(["a=bone"], NAMES)
    with pytest.raises(ConfigError, match="expected name=class"):
        parse_levels(["gland"], NAMES)
    (tmp_path / "i.csv").write_text("name\nx\n")
    with pytest.raises(CellsegError, match="expected the columns id and case"):
        read_cases(tmp_path / "i.csv")


def test_a_tolerance_of_zero_is_zero_and_not_the_usual_one(tmp_path: Path) -> None:
    truth, found = half(0, 1, 400), np.roll(half(0, 1, 400), 2, axis=1)
    found[:, :2] = 0
    mask, own = write_mask(tmp_path / "t.png", truth), write_map(tmp_path / "f.ome.tif", found)
    for tolerance_px, near in ((0.0, 0), (2.0, 30), (None, 30)):
        score = score_files(own, mask, SemanticSettings(NAMES, tolerance_px=tolerance_px))[-1]
        assert score.boundary[0].tolist() == [30, near, 30, near]
