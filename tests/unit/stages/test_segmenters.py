"""The settings choose the segmenter; one of another package plugs in as docs/extending.md shows it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from asserts import assert_canonical_labels
from contract.source import REPOSITORY
from fields import blobs
from measuring import recipe_for

from cellseg.config import Config, SegmentationSettings
from cellseg.errors import ConfigError, ModelError
from cellseg.io.labels import open_labels
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.inputs import check_inputs
from cellseg.stages.segment import segment_slide
from cellseg.stages.segmenters import choose_segmenter
from cellseg.stages.shard_tiles import ShardOf
from cellseg.stages.shards import segment_shard
from cellseg.types import Window


def example() -> tuple[str, str]:
    """The module of docs/extending.md, and its entry point."""
    text = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (point,) = re.findall(r'```toml\n.*?\[project.entry-points."cellseg.segmenters"\]\n(.*?)```', text, re.DOTALL)
    return module, point.replace('"', "")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, modules: dict[str, str], points: str) -> None:
    """Put a distribution with these modules and entry points on the path, as an installer would."""
    info = folder / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cellseg.segmenters]\n{points}\n")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def bright_spots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, points = example()
    install(tmp_path / "site", monkeypatch, {"bright_spots": module}, points)


@pytest.fixture
def slide(tmp_path: Path):
    labels = blobs((500, 470), seed=4)
    pixels = np.where(labels > 0, 220, 20).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    return tmp_path / "a.tif", labels, recipe_for(pixels[..., None], mpp=0.5)


def test_the_example_of_the_docs_finds_the_cells(slide, bright_spots, tmp_path: Path) -> None:
    image, truth, recipe = slide
    out = tmp_path / "out" / "labels.ome.tif"
    settings = SegmentationSettings(method="bright_spots", plugin={"level": 110})
    record = segment_slide(image, out, recipe=recipe, settings=settings, workers=2)
    with open_labels(out) as written:
        labels = written.read(Window(0, 500, 0, 470))
    assert_canonical_labels(labels)
    assert record["n_cells"] == truth.max() and record["method"] == "bright_spots"
    assert json.loads((out.parent / "labels.json").read_text()) == record
    assert ((labels > 0) == (truth > 0)).mean() > 0.97
    assert pq.read_table(out.parent / "instances.parquet")["score"].to_pylist() == [1.0] * record["n_cells"]


def test_the_example_is_short() -> None:
    module, _ = example()
    assert len([line for line in module.splitlines() if line.strip()]) <= 20


def test_its_settings_reach_it(slide, bright_spots, tmp_path: Path) -> None:
    image, _, recipe = slide
    settings = SegmentationSettings(method="bright_spots", plugin={"level": 250})
    assert segment_slide(image, tmp_path / "l.ome.tif", recipe=recipe, settings=settings)["n_cells"] == 0
    assert (tmp_path / "l.instances.parquet").is_file()


def test_the_whole_chain_takes_it(slide, bright_spots, tmp_path: Path) -> None:
    image, truth, _ = slide
    config = Config.model_validate({"segmentation": {"method": "bright_spots"}})
    how = Acquisition("fluorescence", 0.5)
    assert not analyze_images([image], tmp_path / "results", acquisition=how, config=config)
    cells = pq.read_table(tmp_path / "results/samples/a/cells.parquet")
    assert cells.num_rows == truth.max() and set(cells["score"].to_pylist()) == {1.0}


def test_unknown_method_names_the_known_ones(slide, bright_spots, tmp_path: Path) -> None:
    _, _, recipe = slide
    with pytest.raises(
        ConfigError, match=r"method 'bright': no such method; there are threshold, maskrcnn, bright_spots"
    ):
        choose_segmenter(SegmentationSettings(method="bright"), recipe)
    (tmp_path / "samples.tsv").write_text("sample\tpath\n")
    with pytest.raises(ConfigError, match=r"segmentation\.method 'bright': no such method"):
        check_inputs({"segmentation": {"method": "bright"}, "samples": str(tmp_path / "samples.tsv")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name", "cannot be made (ModuleNotFoundError"),
        ("def make(recipe, settings):\n    return settings['level']", "cannot be made (KeyError: 'level')"),
        ("def make(recipe, settings):\n    return 3", "gave int without method, classes, window_px"),
    ],
)
def test_one_that_cannot_be_made_is_said(slide, tmp_path: Path, monkeypatch, text: str, said: str) -> None:
    install(tmp_path / "site", monkeypatch, {"broken_spots": text}, "broken = broken_spots:make")
    with pytest.raises(ConfigError, match=re.escape(said)) as fault:
        choose_segmenter(SegmentationSettings(method="broken"), slide[2])
    assert "segmentation.method broken (broken_spots:make)" in str(fault.value) and "\n" not in str(fault.value)


def test_weights_that_are_not_there(slide, tmp_path: Path) -> None:
    missing = {"method": "maskrcnn", "maskrcnn": {"weights": str(tmp_path / "x.safetensors")}}
    with pytest.raises(ModelError, match=r"x\.safetensors: no such"):
        choose_segmenter(SegmentationSettings.model_validate(missing), slide[2])
    (tmp_path / "samples.tsv").write_text("sample\tpath\na\ta.tif\n")
    with pytest.raises(ConfigError, match=r"segmentation.maskrcnn.weights .*x\.safetensors: no such file"):
        check_inputs({"segmentation": missing, "samples": str(tmp_path / "samples.tsv")})


@pytest.mark.parametrize("cuttable", [True, False])
def test_a_segmenter_may_say_that_it_cannot_be_cut(
    cuttable: bool, slide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, points = example()
    install(tmp_path / "site", monkeypatch, {"bright_spots": f"{module}\nmake.cuttable = {cuttable}\n"}, points)
    (tmp_path / "samples.tsv").write_text("sample\tpath\na\ta.tif\n")
    settings = {"segmentation": {"method": "bright_spots", "plugin": {"level": 110}}, "compute": {"shards": 2}}
    settings |= {"samples": str(tmp_path / "samples.tsv"), "results": str(tmp_path / "out")}
    image, _, recipe = slide
    chosen = SegmentationSettings(**settings["segmentation"])
    paths = [tmp_path / f"{number}.arrow" for number in (1, 2)]
    if not cuttable:
        with pytest.raises(ConfigError, match=r"bright_spots:make\): cannot be cut into shards.* compute\.shards to"):
            check_inputs(settings)
        with pytest.raises(ConfigError, match="cannot be cut"):
            segment_shard(image, paths[0], recipe=recipe, shard=ShardOf(1, 2), settings=chosen)
        assert check_inputs(settings | {"compute": {"shards": 1}})
        return
    check_inputs(settings)
    made = {}
    for number, path in enumerate(paths, start=1):
        segment_shard(image, path, recipe=recipe, shard=ShardOf(number, 2), settings=chosen)
    for name, shards in (("one", ()), ("two", paths)):
        segment_slide(image, tmp_path / name / "labels.ome.tif", recipe=recipe, settings=chosen, shards=shards)
        made[name] = [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]
    assert made["two"] == made["one"]
