"""The example of red cells on drawn smears: real snakemake from images and points to model, figures and pictures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from fields import ellipses
from workflow.project import REPOSITORY, SNAKEMAKE

from cellseg.io.labels import open_labels
from cellseg.io.table import read_table
from cellseg.stages.classifier_model import read_classifier
from cellseg.stages.ledger import read_ledger
from cellseg.types import Window

pytestmark = pytest.mark.slow

MPP = 0.3
RESULTS = "my results"
SHAPE = (220, 300)
STEP = 38
FIELDS = 3
"""Images of a block."""
NAMES = {0: "normal", 2: "microcyte", 3: "spherocyte", 6: "ovalocyte"}
UNCATEGORISED = 10
BLOCKS = {"a": (0, 2, 3, 6), "b": (0, 2, 3, 6), "c": (0, 2, 3, 6), "j": (3,)}
"""Classes of each block; j has one, as in the data that the example is made for, and is only trained on."""


class Drawn(NamedTuple):
    """The folder that snakemake ran in, that of the data, and what it said."""

    folder: Path
    data: Path
    done: subprocess.CompletedProcess[str]

    @property
    def results(self) -> Path:
        return self.folder / RESULTS


def draw_field(path: Path, classes: tuple[int, ...], *, tint: int, seed: int) -> list[tuple[int, int, int]]:
    """A smear of round pink cells with a pale middle, half of them normal; returns (x, y, class) of each, px."""
    rng = np.random.default_rng(seed)
    centers = np.mgrid[STEP // 2 + 4 : SHAPE[0] - STEP // 2 : STEP, STEP // 2 + 4 : SHAPE[1] - STEP // 2 : STEP]
    centers = centers.reshape(2, -1).T + rng.integers(-2, 3, (centers[0].size, 2))
    kind = rng.choice(classes, len(centers), p=[1.0] if len(classes) == 1 else [0.5, *[0.5 / 3] * 3])
    radius = 3.75 / MPP * np.select([kind == 2, kind == 3], [0.78, 0.88], 1.0) * rng.normal(1, 0.06, len(kind))
    stretch = np.where(kind == 6, 1.15, 1.0) * rng.normal(1, 0.03, len(kind))
    axes, angles = np.stack([radius * stretch, radius / stretch], axis=1), rng.uniform(0, np.pi, len(kind))
    cells = ellipses(SHAPE, centers, axes, angles) > 0
    pale = ellipses(SHAPE, centers[kind != 3], 0.4 * axes[kind != 3], angles[kind != 3]) > 0
    ground, cell, middle = (216, 214, 206), (186, 116, 132), (208, 168, 178)
    picture = np.where(pale[..., None], middle, np.where(cells[..., None], cell, ground)).astype(np.float64)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8) + np.array([0, tint, -tint]) + rng.normal(0, 2, (*SHAPE, 3))
    cv2.imwrite(str(path), np.clip(picture, 0, 255).astype(np.uint8)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return [(int(x), int(y), int(k)) for (y, x), k in zip(centers, kind, strict=True)]


def draw_data(folder: Path) -> Path:
    """images/NAME.jpg, labels/NAME.txt and index.csv, as the example expects them."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    index = ["id,block,n_labelled"]
    for number, (block, classes) in enumerate(BLOCKS.items()):
        for field in range(1 if len(classes) == 1 else FIELDS):
            name = f"{10 * number + field:03d}"
            points = draw_field(folder / f"images/{name}.jpg", classes, tint=4 * number, seed=10 * number + field)
            # one of no class that counts, one that nobody marked, and one mark beside all cells
            points[0] = (*points[0][:2], UNCATEGORISED)
            points[1] = (1, 1, 0)
            lines = [f"{x} {y} {k}" for x, y, k in points]
            (folder / f"labels/{name}.txt").write_text("\n".join(lines) + "\n")
            index.append(f"{name},{block},{len(points)}")
    (folder / "index.csv").write_text("\n".join(index) + "\n")
    return folder


def run(folder: Path, data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a folder; stdout and stderr together as `stdout`."""
    command = [SNAKEMAKE, "-s", REPOSITORY / "workflows/red_cells/Snakefile", "--cores", "1"]
    return subprocess.run(
        [*map(str, command), "--config", f"data={data}", f"results={RESULTS}", f"mpp={MPP}", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """After the first run. The test that changes it works on a copy."""
    folder = tmp_path_factory.mktemp("red cells")
    data = draw_data(tmp_path_factory.mktemp("drawn") / "my data")
    return Drawn(folder, data, run(folder, data))


def logs(results: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text()}" for path in sorted((results / "logs").glob("*.log")))


def test_figures_of_every_block_and_pictures(drawn: Drawn) -> None:
    assert drawn.done.returncode == 0, drawn.done.stdout + logs(drawn.results)
    assert {row.outcome for row in read_ledger(drawn.results)} == {"done"}
    figures = (drawn.results / "figures.txt").read_text()
    ranking = figures.split("\n\n")[0].splitlines()
    shown = {line.split()[0]: line for line in ranking}
    assert {"a", "b", "c", "mean", "worst"} <= shown.keys()
    assert "j" not in shown
    auroc = float(re.search(r"Mean AUROC of groups ([\d.]+);", figures).group(1))
    assert 0.9 < auroc <= 1
    for name in ("spherocyte", "ovalocyte", "microcyte", "normal"):
        assert re.search(rf"^{name} ", figures, re.MULTILINE)
    plots = {path.name for path in (drawn.results / "plots").glob("*.png")}
    assert plots == {"calibration.png", "classes.png", "curves.png", "probabilities.png", "wrong_cells.png"}
    assert all(cv2.imread(str(drawn.results / "plots" / name)).std() > 5 for name in plots)
    assert "cannot be shown" not in logs(drawn.results)


def test_the_model_loads_and_knows_what_it_learnt(drawn: Drawn) -> None:
    model = read_classifier(drawn.results / "redcell.safetensors")
    assert model.stain == "giemsa"
    assert model.story["groups"].keys() == BLOCKS.keys()
    assert model.story["settings"]["train"]["train_only_groups"] == ["j"]
    predictions = read_table(drawn.results / "redcell.predictions.parquet")
    assert set(predictions["group"].to_pylist()) == {"a", "b", "c"}


def test_every_mark_in_a_cell_is_labelled_once(drawn: Drawn) -> None:
    expected = []
    n_beside = 0
    for path in sorted((drawn.data / "labels").glob("*.txt")):
        block = "abcj"[int(path.stem) // 10]
        with open_labels(drawn.results / f"samples/{path.stem}/segment/labels.ome.tif") as image:
            labels = image.read(Window(0, image.height, 0, image.width))
        for line in path.read_text().splitlines():
            x, y, kind = map(int, line.split())
            n_beside += not labels[y, x]
            if labels[y, x] and kind != UNCATEGORISED:
                expected.append((path.stem, int(labels[y, x]), NAMES[kind], kind != 0, block))
    columns = read_table(drawn.results / "labelled.parquet")
    names = ("sample", "cell_id", "class", "abnormal", "group")
    found = list(zip(*(columns[name].to_pylist() for name in names), strict=True))
    assert sorted(found) == sorted(expected)
    # nearly every drawn cell was found; the mark beside them is of none
    n_fields = 3 * FIELDS + 1
    assert n_fields <= n_beside < 2 * n_fields
    assert len(found) > 30 * n_fields


def test_nothing_is_left_to_do(drawn: Drawn) -> None:
    again = run(drawn.folder, drawn.data, "-n")
    assert "Nothing to be done" in again.stdout


def test_a_block_that_is_only_trained_on_must_be_there(drawn: Drawn, tmp_path: Path) -> None:
    copy = shutil.copytree(drawn.folder, tmp_path / "copy")
    # the model and the reference both refuse the name, and either may come first
    wrong = run(copy, drawn.data, "train_only=[j, z]", "--keep-going")
    assert wrong.returncode != 0
    assert "rule train" in wrong.stdout
    assert "rule analyze" not in wrong.stdout
    log = (copy / RESULTS / "logs/train.log").read_text()
    assert "train_only_groups names 'z'; known are a, b, c, j; correct the name" in log
    assert log.count("\n") == 1
