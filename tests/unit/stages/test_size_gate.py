"""The gate at work: slides whose pixel size is declared right and wrong, by both methods, under each action."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fields import blobs, he_look

from cellseg.config import Config, InputSettings, SegmentationSettings
from cellseg.errors import ImageError
from cellseg.input_config import PixelSizeSettings
from cellseg.io.table import read_table
from cellseg.network_config import MaskRcnnSettings
from cellseg.preprocess.size_gate import CellSize
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.preprocess import preprocess_slide, read_recipe
from cellseg.stages.segment import segment_slide
from cellseg.stages.size_gate import asks_for_another, corrected_size
from cellseg.types import PixelSize

RIGHT = 0.5
"""um per pixel at which the nuclei of the fields measure 7 um."""
SIDE_PX = 288


def written(path: Path, *, times: int = 1, glass_px: int = 0) -> Path:
    """About 140 nuclei 14 px across, or so many times more, and glass beside them."""
    labels = blobs((SIDE_PX * times, SIDE_PX * times), mean_radius_px=7.0 * times, spacing_px=24 * times, seed=3)
    pixels = he_look(labels, seed=3)
    glass = np.full((len(pixels), glass_px, 3), 242, np.uint8)
    tifffile.imwrite(path, np.concatenate([pixels, glass], axis=1), photometric="rgb")
    return path


def inputs(action: str, **changed) -> InputSettings:
    return InputSettings(pixel_size=PixelSizeSettings(action=action, **changed))


def segmented(image: Path, out: Path, mpp: float, action: str = "stop", *, method: str = "threshold", **changed):
    """The record of a slide that was prepared and segmented with this pixel size."""
    chosen = inputs(action, **changed)
    recipe = preprocess_slide(image, out / "preprocess", stain="he", mpp=mpp, inputs=chosen)
    return segment_slide(
        image, out / "segment/labels.ome.tif", recipe=recipe, tissue=out / "preprocess/tissue.png", inputs=chosen,
        settings=SegmentationSettings(method=method),
    )  # fmt: skip


def test_a_right_pixel_size_passes_and_is_on_record(tmp_path: Path) -> None:
    record = segmented(written(tmp_path / "a.tif"), tmp_path, RIGHT)
    seen = record["pixel_size"]
    assert (seen["decision"], seen["mpp"]) == ("agree", RIGHT)
    assert 6 < seen["diameter_um"] < 8 and seen["n_cells"] > 120
    assert record == json.loads((tmp_path / "segment/labels.json").read_text())
    for name in ("recipe.json", "tissue.png", "quality.json"):
        assert (tmp_path / "segment" / name).read_bytes() == (tmp_path / "preprocess" / name).read_bytes()


@pytest.mark.parametrize(
    ("mpp", "found", "method"), [(0.25, "3", "threshold"), (1.0, "1[234]", "threshold"), (1.0, "1[234]", "maskrcnn")]
)
def test_a_wrong_one_stops_and_says_what_is_likely(mpp: float, found: str, method: str, tmp_path: Path) -> None:
    said = (
        rf"a.tif: .* {found}[.\d]* um across.* at {mpp:g} um per pixel \(given by.*6 to 8 um.*at 0.5 um per.*column mpp"
    )
    with pytest.raises(ImageError, match=said):
        segmented(written(tmp_path / "a.tif"), tmp_path, mpp, method=method)
    assert not (tmp_path / "segment/labels.ome.tif").exists()


@pytest.mark.parametrize(("times", "mpp", "likely"), [(1, 0.125, 0.5), (2, 0.5, 0.25), (2, 0.125, 0.25)])
def test_bounds_on_area_do_not_hide_it(times: int, mpp: float, likely: float, tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif", times=times)
    with pytest.raises(ImageError, match=f"at {likely:g} um per pixel"):
        segmented(image, tmp_path, mpp)


@pytest.mark.parametrize(("mpp", "method"), [(0.25, "threshold"), (1.0, "threshold"), (0.25, "maskrcnn")])
def test_rescaled_it_gives_the_cells_of_the_right_one(mpp: float, method: str, tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif", glass_px=100)
    assert segmented(image, tmp_path / "right", RIGHT, method=method)["pixel_size"]["decision"] == "agree"
    record = segmented(image, tmp_path / "wrong", mpp, "rescale", method=method)
    wrong, right = tmp_path / "wrong/segment", tmp_path / "right/segment"
    for name in ("labels.ome.tif", "instances.parquet", "tissue.png"):
        assert (wrong / name).read_bytes() == (right / name).read_bytes()
    recipe = read_recipe(wrong)
    assert recipe.mpp == RIGHT and "by the size of the cells" in recipe.mpp_source
    assert recipe.tissue_block_px == read_recipe(right).tissue_block_px
    assert recipe.tissue_block_px != read_recipe(tmp_path / "wrong/preprocess").tissue_block_px
    assert record["pixel_size"]["decision"] == "rescale" and record["pixel_size"]["first"][0]["mpp"] == mpp
    assert "0.5 um per pixel is used instead" in record["notes"][-1]
    corrected, true = (json.loads((folder / "quality.json").read_text()) for folder in (wrong, right))
    assert corrected["tissue_area_mm2"] == true["tissue_area_mm2"]
    assert corrected["pixel_size"]["decision"] == "by cells"
    assert len(read_table(wrong / "instances.parquet", ["cell_id"])) > 120


def test_beside_labels_of_another_name_stand_files_of_that_name(tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif")
    recipe = preprocess_slide(image, tmp_path, stain="he", mpp=RIGHT)
    segment_slide(image, tmp_path / "out/a.ome.tif", recipe=recipe, tissue=tmp_path / "tissue.png")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    beside = ("json", "instances.parquet", "recipe.json", "tissue.png", "quality.json", "tiles.parquet")
    assert names == {"a.ome.tif", *(f"a.{name}" for name in beside)}
    assert read_recipe(tmp_path / "out/a.recipe.json") == recipe


def test_noted_it_goes_on_as_given(tmp_path: Path) -> None:
    record = segmented(written(tmp_path / "a.tif"), tmp_path, 1.0, "note")
    assert (record["mpp"], record["pixel_size"]["decision"]) == (1.0, "note")
    assert "0.5 um per pixel" in record["notes"][0] and "check the pixel size" in record["notes"][0]


def test_few_cells_are_not_judged(tmp_path: Path) -> None:
    record = segmented(written(tmp_path / "a.tif"), tmp_path, 1.0, min_cells=1000)
    assert (record["pixel_size"]["decision"], record["notes"]) == ("not judged", [])
    assert record["pixel_size"]["why"] == "fewer than 1000 cells"


def test_no_fitting_size_is_a_failure_even_where_it_may_be_corrected(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="um across"):
        segmented(written(tmp_path / "a.tif"), tmp_path, RIGHT, "rescale", cell_diameter_um={"he": (900.0, 950.0)})


def test_a_size_that_the_settings_name_goes_before_the_stain(tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif")
    recipe = preprocess_slide(image, tmp_path, stain="he", mpp=1.0)
    for chosen, decision in (({"diameter_um": 14.0}, "agree"), ({"diameter_px": 14.0}, "not judged")):
        settings = SegmentationSettings(method="maskrcnn", maskrcnn=MaskRcnnSettings(**chosen))
        record = segment_slide(image, tmp_path / "labels.ome.tif", recipe=recipe, settings=settings)
        assert record["pixel_size"]["decision"] == decision


def stated(path: Path, mpp: float) -> Path:
    labels = blobs((96, 96), seed=1)
    tifffile.imwrite(path, he_look(labels), photometric="rgb", resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit=3)
    return path


def test_sheet_against_file(tmp_path: Path) -> None:
    image = stated(tmp_path / "a.tif", 0.25)
    with pytest.raises(
        ImageError, match=r"a.tif: 0.5 \(given by.*0.25 \(TIFF resolution tags\).*differ 2 times.*action"
    ):
        preprocess_slide(image, tmp_path, stain="he", mpp=0.5, inputs=inputs("stop"))
    for action in ("rescale", "note"):
        recipe = preprocess_slide(image, tmp_path, stain="he", mpp=0.5, inputs=inputs(action))
        assert recipe.mpp == 0.5 and [mpp for mpp, _ in recipe.pixel_sizes] == [0.5, 0.25]
        said = json.loads((tmp_path / "quality.json").read_text())
        assert said["pixel_size"]["decision"] == action
        assert "one of them is wrong" in said["notes"][0] and "differ" not in " ".join(said["notes"])
    near = preprocess_slide(image, tmp_path, stain="he", mpp=0.3, inputs=inputs("stop"))
    assert near.mpp == 0.3 and "one of them is wrong" in near.notes[0]


def aperio(path: Path, said: str) -> Path:
    labels = blobs((96, 96), seed=1)
    tifffile.imwrite(path, he_look(labels), photometric="rgb", description=f"Aperio Image Library v1\n|{said}")
    return path


def test_an_objective_speaks_against_the_file_until_the_sheet_agrees_with_it(tmp_path: Path) -> None:
    image = aperio(tmp_path / "a.tif", "AppMag = 40|MPP = 0.499")
    with pytest.raises(ImageError, match=r"a.tif: 0.499 \(Aperio MPP\), 0.25 \(objective power 40x\).*differ 2 times"):
        preprocess_slide(image, tmp_path, stain="he")
    for given, chosen in ((0.5, inputs("stop")), (None, inputs("rescale")), (None, inputs("note"))):
        recipe = preprocess_slide(image, tmp_path, stain="he", mpp=given, inputs=chosen)
        assert recipe.mpp == (given or 0.499) and "one is wrong" in recipe.notes[0]
    right = preprocess_slide(aperio(tmp_path / "b.tif", "AppMag = 20|MPP = 0.499"), tmp_path, stain="he")
    assert right.pixel_sizes == ((0.499, "Aperio MPP"), (0.5, "objective power 20x"))
    assert not any("wrong" in note for note in right.notes)


def test_an_objective_alone_is_no_pixel_size(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no pixel size in the file \(its objective is 20x\)"):
        preprocess_slide(aperio(tmp_path / "a.tif", "AppMag = 20"), tmp_path, stain="he")


def test_a_screens_resolution_is_still_none(tmp_path: Path) -> None:
    image = stated(tmp_path / "a.tif", 25400 / 96)
    recipe = preprocess_slide(image, tmp_path, stain="he", mpp=0.5)
    assert [source for _, source in recipe.pixel_sizes] == ["given by the sample sheet or --mpp"]


def test_corrections_go_on_until_the_cells_are_nearest_to_the_usual_and_end() -> None:
    settings = PixelSizeSettings(action="rescale")

    def at(mpp: float, likely: float, decision: str = "agree") -> CellSize:
        nearest = PixelSize(likely, "the nearest usual figure")
        return CellSize(PixelSize(mpp, "x"), 200, 5.0, (6.0, 8.0), 1.2, decision, "why", nearest)

    first = at(0.125, 0.25, "rescale")
    assert asks_for_another([first], settings, "a")
    assert not asks_for_another([at(0.125, 0.25)], settings, "a")  # within what is allowed, nothing is touched
    assert asks_for_another([first, at(0.25, 0.5)], settings, "a")
    assert corrected_size([first, at(0.25, 0.5)]) == (0.5, "by the size of the cells: the nearest usual figure")
    assert not asks_for_another([first, at(0.25, 0.25)], settings, "a")
    assert not asks_for_another([first, at(0.25, 0.5), at(0.5, 0.25)], settings, "a")
    steps = [first, at(0.25, 0.5, "rescale"), at(0.5, 1.0, "rescale"), at(1.0, 2.0, "rescale")]
    assert asks_for_another(steps[:3], settings, "a")
    with pytest.raises(ImageError, match="a: why"):
        asks_for_another(steps, settings, "a")


def test_without_a_workflow_later_stages_go_by_the_corrected_size_too(tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif")
    for name, mpp in (("right", RIGHT), ("wrong", 1.0)):
        config = Config(input=inputs("rescale"))
        assert analyze_images([image], tmp_path / name, acquisition=Acquisition("he", mpp), config=config) == []
    for table in ("samples/a/cells.csv", "summary.csv", "samples/a/overlay.png"):
        assert (tmp_path / "wrong" / table).read_bytes() == (tmp_path / "right" / table).read_bytes()
