"""Bad input at the command line: one line on stderr with the cure, exit status 1, nothing half written.

`cellseg.cli.main` is what `python -m cellseg` calls. It runs here inside the test, with argv, stdout and stderr as the
command would have them, since a start of Python for each fault would take a minute; the last test starts the real
command and holds that it does the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fields import he_field
from skimage.io import imsave

from cellseg.cli import main
from cellseg.io.labels import write_labels
from cellseg.stages.preprocess import preprocess_slide

HE = ("--stain", "he", "--mpp", "0.5")
SIDE_PX = 128


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a good slide, its recipe and labels, and slides with one fault each."""
    folder = tmp_path_factory.mktemp("slides")
    pixels = he_field(shape=(SIDE_PX, SIDE_PX)).pixels
    tifffile.imwrite(folder / "good.tif", pixels, photometric="rgb")
    imsave(folder / "good.png", pixels, check_contrast=False)
    for suffix in ("tif", "png"):
        whole = (folder / f"good.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
        (folder / f"empty.{suffix}").write_bytes(b"")
    (folder / "text.tif").write_text("no image at all")
    (folder / "folder.tif").mkdir()
    floats = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    floats[3, 4] = np.nan
    tifffile.imwrite(folder / "nan.tif", floats)
    tifffile.imwrite(folder / "gray.tif", pixels[..., 1], photometric="minisblack")
    tifffile.imwrite(folder / "small.tif", pixels[:100, :90], photometric="rgb")
    tifffile.imwrite(folder / "one.tif", np.full((1, 1, 3), 90, np.uint8), photometric="rgb")
    for name, level in (("white", 255), ("black", 0)):
        tifffile.imwrite(folder / f"{name}.tif", np.full((96, 96, 3), level, np.uint8), photometric="rgb")
    preprocess_slide(folder / "good.tif", folder / "good", stain="he", mpp=0.5)
    preprocess_slide(folder / "small.tif", folder / "small", stain="he", mpp=0.5)
    write_labels(folder / "small.ome.tif", iter([np.zeros((100, 90), np.uint32)]), height_px=100, width_px=90, mpp=0.5)
    (folder / "file").write_text("in the way")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "cut.json").write_text((folder / "good" / "recipe.json").read_text()[:200])
    return folder


@pytest.fixture
def cellseg(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command line, started in the folder of slides; `{out}` in an argument is a fresh folder."""
    monkeypatch.chdir(slides)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["cellseg", *(a.replace("{out}", str(tmp_path / "out")) for a in arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return run


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_refused(ended: Ended, *words: str) -> None:
    """Exit status 1 and one line on stderr, with these words in it."""
    assert ended.status == 1, ended
    assert ended.err.startswith("cellseg: error: ")
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err, ended.err


BAD_IMAGES = [
    ("missing.tif", ["missing.tif"]),
    ("empty.tif", ["empty.tif", "empty"]),
    ("empty.png", ["empty.png", "empty"]),
    ("cut.tif", ["cut.tif", "truncated", "again"]),
    ("cut.png", ["cut.png", "truncated", "again"]),
    ("text.tif", ["text.tif", "not an image", "expected PNG, JPEG, TIFF"]),
    ("folder.tif", ["folder.tif", "a folder", "cellseg init"]),
    ("nan.tif", ["nan.tif", "float32", "NaN", "16-bit"]),
    ("gray.tif", ["gray.tif", "he", "colour", "brightfield"]),
]
IMAGE_COMMANDS = {
    "preprocess": ("preprocess", "{image}", "-o", "{out}", *HE),
    "segment": ("segment", "{image}", "-o", "{out}/labels.ome.tif", *HE),
    "measure": ("measure", "{image}", "small.ome.tif", "-o", "{out}/m.parquet", *HE),
}


@pytest.mark.parametrize("command", IMAGE_COMMANDS)
@pytest.mark.parametrize(("image", "words"), BAD_IMAGES, ids=[image for image, _ in BAD_IMAGES])
def test_bad_image_is_refused(cellseg, tmp_path: Path, command: str, image: str, words: list[str]) -> None:
    arguments = [argument.replace("{image}", image) for argument in IMAGE_COMMANDS[command]]
    assert_refused(cellseg(*arguments), *words)
    assert files_in(tmp_path / "out") == []


SEGMENTED = [
    "instances.parquet", "labels.json", "labels.ome.tif", "quality.json", "recipe.json", "tiles.parquet", "tissue.png",
]  # fmt: skip
"""What segmenting leaves: the cells, and what the slide was prepared as."""
SEGMENT = ("segment", "good.tif", "-o", "{out}/labels.ome.tif")
MEASURE = ("measure", "good.tif")
REFUSED = {
    "no pixel size": ((*SEGMENT, "--stain", "he"), ["good.tif", "no pixel size", "--mpp"]),
    "wrong stain": ((*SEGMENT, "--stain", "purple", "--mpp", "0.5"), ["purple", "he, hdab, giemsa"]),
    "impossible mpp": ((*SEGMENT, "--stain", "he", "--mpp", "-1"), ["mpp -1"]),
    "mpp not a number": ((*SEGMENT, "--stain", "he", "--mpp", "nan"), ["mpp nan"]),
    "unknown channel": ((*SEGMENT, *HE, "--channel", "violet"), ["violet", "red, green, blue", "hematoxylin"]),
    "unknown channel in settings": (
        (*SEGMENT, *HE, "--settings", '{"channel": "violet"}'),
        ["violet", "hematoxylin", "red, green, blue"],
    ),
    "recipe and stain": ((*SEGMENT, "--recipe", "good", "--stain", "he"), ["--recipe", "stain"]),
    "no recipe there": ((*SEGMENT, "--recipe", "nowhere"), ["nowhere", "cellseg preprocess"]),
    "recipe of another image": ((*SEGMENT, "--recipe", "small"), ["good.tif", "128 x 128", "100 x 90"]),
    "recipe is a list": ((*SEGMENT, "--recipe", "list.json"), ["list.json", "not a recipe"]),
    "recipe is cut": ((*SEGMENT, "--recipe", "cut.json"), ["cut.json", "recipe"]),
    "recipe is an image": ((*SEGMENT, "--recipe", "good.tif"), ["good.tif", "recipe"]),
    "labels of another size": (
        (*MEASURE, "small.ome.tif", "-o", "{out}/m.parquet", "--recipe", "good"),
        ["small.ome.tif", "100", "90", "128"],
    ),
    "labels are an image": ((*MEASURE, "good.tif", "-o", "{out}/m.parquet", "--recipe", "good"), ["good.tif", "cell"]),
    "labels are missing": ((*MEASURE, "no.ome.tif", "-o", "{out}/m.parquet", "--recipe", "good"), ["no.ome.tif"]),
    "decodes to too much": (
        ("segment", "good.png", "-o", "{out}/labels.ome.tif", *HE, "--inputs", '{"max_decoded_mpx": 0.01}'),
        ["good.png", "128 x 128", "input.max_decoded_mpx", "0.01"],
    ),
    "measurements are text": (("classify", "file", "-o", "{out}/v.parquet", "--recipe", "good"), ["file"]),
    "measurements are missing": (("classify", "no.parquet", "-o", "{out}/v.parquet", "--recipe", "good"), ["no."]),
    "no settings file": ((*SEGMENT, *HE, "--settings", "no.yaml"), ["no.yaml", "cellseg config"]),
    "settings are no YAML": ((*SEGMENT, *HE, "--settings", '{"smooth_um": '), ["--settings", "not valid"]),
    "two images of one name": (("analyze", "good.tif", "good.png", "-o", "{out}", *HE), ["good.png", "good"]),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_is_refused(cellseg, tmp_path: Path, fault: str) -> None:
    arguments, words = REFUSED[fault]
    assert_refused(cellseg(*arguments), *words)
    assert files_in(tmp_path / "out") == []


UNWRITABLE = {
    "preprocess": ("preprocess", "good.tif", "-o", "file/x", *HE),
    "segment": ("segment", "good.tif", "-o", "file/labels.ome.tif", "--recipe", "good"),
    "segment onto a folder": ("segment", "good.tif", "-o", "good", "--recipe", "good"),
    "measure": ("measure", "small.tif", "small.ome.tif", "-o", "file/m.parquet", "--recipe", "small"),
    "analyze": ("analyze", "good.tif", "-o", "file/out", *HE),
}


@pytest.mark.parametrize("command", UNWRITABLE)
def test_output_that_cannot_be_written_is_refused(cellseg, slides: Path, command: str) -> None:
    before = files_in(slides)
    assert_refused(cellseg(*UNWRITABLE[command]), "cannot be written", "another output")
    assert files_in(slides) == before


def test_every_fault_of_the_settings_is_in_one_message(cellseg, tmp_path: Path) -> None:
    faults = {
        "threshold": {"smoth_um": 1, "min_area_um2": -2, "method": "otsuu"},
        "by_stain": {"giemsa": {"faktor": 1}},
    }
    ended = cellseg(*SEGMENT, *HE, "--settings", json.dumps(faults))
    assert_refused(ended, "threshold.smoth_um", "did you mean smooth_um?", "threshold.min_area_um2: -2 found")
    assert_refused(ended, "threshold.method", "did you mean otsu?")
    assert files_in(tmp_path / "out") == []


def test_every_fault_of_the_config_is_in_one_message(cellseg, tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("preprocess:\n  gama: 1\ncompute:\n  tile_px: 3\nsegmentation:\n  threshold: {open_um: -1}\n")
    ended = cellseg("analyze", "good.tif", "-o", "{out}", *HE, "--config", str(config))
    assert_refused(ended, "bad.yaml", "preprocess.gama", "gamma", "compute.tile_px", "segmentation.threshold.open_um")
    assert files_in(tmp_path / "out") == []


def test_results_of_an_earlier_run_survive_a_failed_one(cellseg, tmp_path: Path) -> None:
    assert cellseg(*SEGMENT, "--recipe", "good").status == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")}
    assert set(before) == set(SEGMENTED)
    assert_refused(cellseg("segment", "cut.tif", "-o", "{out}/labels.ome.tif", *HE))
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")} == before


@pytest.mark.parametrize("image", ["one", "white", "black"])
def test_image_without_cells_is_a_valid_answer(cellseg, tmp_path: Path, image: str) -> None:
    ended = cellseg("analyze", f"{image}.tif", "-o", "{out}", *HE)
    assert ended.status == 0, ended
    assert "Traceback" not in ended.err
    folder = tmp_path / "out" / "samples" / image
    for table in ("cells", "healthy", "abnormal", "uncertain", "excluded"):
        (header,) = (folder / f"{table}.csv").read_text().splitlines()
        assert header.startswith("sample,cell_id,") or "cell_id" in header.split(",")
    ledger = (tmp_path / "out" / "slides.tsv").read_text()
    assert ("done" if image == "white" else "unassessable") in ledger


@pytest.mark.parametrize("image", ["one", "white", "black"])
def test_stages_alone_take_an_image_without_cells(cellseg, tmp_path: Path, image: str) -> None:
    ended = cellseg("segment", f"{image}.tif", "-o", "{out}/labels.ome.tif", *HE)
    assert (ended.status, ended.err) == (0, ""), ended
    assert json.loads((tmp_path / "out" / "labels.json").read_text())["n_cells"] == 0
    ended = cellseg("measure", f"{image}.tif", "{out}/labels.ome.tif", "-o", "{out}/m.parquet", *HE)
    assert ended.status == 0, ended
    assert files_in(tmp_path / "out") == sorted([*SEGMENTED, "m.parquet"])


def test_one_pixel_that_is_large_enough_is_assessed(cellseg, tmp_path: Path) -> None:
    ended = cellseg("analyze", "one.tif", "-o", "{out}", "--stain", "he", "--mpp", "20")
    assert ended.status == 0, ended
    assert "done" in (tmp_path / "out" / "slides.tsv").read_text()


def test_bad_image_in_a_batch_fails_alone(cellseg, tmp_path: Path) -> None:
    ended = cellseg("analyze", "cut.tif", "white.tif", "-o", "{out}", *HE)
    assert ended.status == 1
    assert "cut failed at preprocess" in ended.err
    rows = (tmp_path / "out" / "slides.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == ["failed", "done"]
    assert not [name for name in files_in(tmp_path / "out") if ".tmp-" in name]


@pytest.fixture
def full_disk(tmp_path: Path):
    """A folder with room for some 16 KB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    # lazily: a writer that met the full disk may keep its file open until it is collected
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("preprocess", "good.tif", "-o", "{full}/x", *HE),
        ("segment", "good.tif", "-o", "{full}/labels.ome.tif", "--recipe", "good"),
        ("measure", "small.tif", "small.ome.tif", "-o", "{full}/m.parquet", "--recipe", "small"),
    ],
    ids=["preprocess", "segment", "measure"],
)
def test_full_disk_is_said_and_nothing_is_left(cellseg, full_disk: Path, arguments: tuple[str, ...]) -> None:
    (full_disk / "ballast").write_bytes(b"x" * (12 * 1024))
    try:
        (full_disk / "rest").write_bytes(b"x" * 4096)
    except OSError:
        (full_disk / "rest").unlink(missing_ok=True)
    ended = cellseg(*(argument.replace("{full}", str(full_disk)) for argument in arguments))
    assert_refused(ended, "cannot be written", "No space left")
    assert set(files_in(full_disk)) <= {"ballast", "rest"}


def test_the_command_itself_does_the_same(slides: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for image, status in (("cut.tif", 1), ("good.tif", 0)):
        ended = subprocess.run(
            [sys.executable, "-m", "cellseg", "segment", image, "-o", str(tmp_path / "labels.ome.tif"), *HE],
            cwd=slides, capture_output=True, text=True, check=False, timeout=120,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(made), "HOME": str(Path.home())},
        )  # fmt: skip
        assert ended.returncode == status, ended
        if status:
            assert_refused(Ended(status, ended.stdout, ended.stderr), "cut.tif", "truncated")
        # the recipe that was made on the spot is taken away again
        assert list(made.glob("cellseg-*")) == []
    assert files_in(tmp_path) == SEGMENTED
