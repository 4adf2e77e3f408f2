"""A slide's tissue map: what the network says of the whole, however it is cut and by whom; or what a person drew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fields
import numpy as np
import pytest
import tifffile
import torch
from segnets import TISSUES, eager_segnet, write_tissue_weights

from cellseg.errors import ConfigError, ImageError, ModelError
from cellseg.io.class_map import NO_CLASS, open_class_map
from cellseg.network_config import TissueSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.segment.infer import choose_precision
from cellseg.segment.tissue import TissueNetwork
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.results import MapFiles
from cellseg.stages.tissue import fill_lumina, map_tissue
from cellseg.types import Window

HEIGHT, WIDTH = 330, 420
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return fields.he_look(fields.blobs((HEIGHT, WIDTH), seed=3), seed=3)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> tuple[Path, Recipe]:
    folder = tmp_path_factory.mktemp("slide")
    tifffile.imwrite(folder / "slide.tif", pixels, photometric="rgb", tile=(64, 64))
    return folder / "slide.tif", preprocess_slide(folder / "slide.tif", folder, stain="he", mpp=TISSUES.mpp)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tissue_weights(tmp_path_factory.mktemp("weights") / "own.safetensors")


def read(path: Path) -> np.ndarray:
    with open_class_map(path) as found:
        return found.read(Window(0, found.height, 0, found.width))


def test_the_map_is_what_the_network_says_of_the_whole_slide(
    slide: tuple[Path, Recipe], pixels: np.ndarray, weights: str, tmp_path: Path
) -> None:
    settings = TissueSettings(weights=weights, window_px=128)
    record = map_tissue(slide[0], tmp_path / "t.ome.tif", recipe=slide[1], settings=settings, device="cpu")
    files = MapFiles(tmp_path / "t.ome.tif")
    # beyond the slide there is nothing to see, up to the next multiple of the pooling grid
    network = TissueNetwork(eager_segnet(), TISSUES, device=CPU, precision=choose_precision(CPU))
    seen = np.zeros((352, 448, 3), np.uint8)
    seen[:HEIGHT, :WIDTH] = pixels
    classes, probability = network.look(seen, Window(0, HEIGHT, 0, WIDTH))
    assert (read(files.map) == classes).mean() > 0.9999
    assert np.abs(read(files.probability).astype(int) - probability).mean() < 0.01
    assert set(np.unique(classes)) == {0, 1, 2, 3}
    assert all(path.is_file() for path in files.always)
    assert json.loads(files.record.read_text()) == record
    known = {key: record[key] for key in ("source", "mpp", "scale", "height_px", "width_px", "level", "notes")}
    assert known == {
        "source": "segnet", "mpp": 1.0, "scale": 1.0, "height_px": HEIGHT, "width_px": WIDTH, "level": 0, "notes": [],
    }  # fmt: skip
    assert record["classes"] == list(TISSUES.classes) and len(record["weights_sha256"]) == 64
    assert sum(area["share"] for area in record["areas"]) == pytest.approx(1)
    assert sum(area["area_mm2"] for area in record["areas"]) == pytest.approx(HEIGHT * WIDTH / 1e6)


def test_windows_and_workers_change_nothing(slide: tuple[Path, Recipe], weights: str, tmp_path: Path) -> None:
    maps = {}
    for window_px, workers in ((96, 1), (96, 3), (256, 2), (1024, 1)):
        files = MapFiles(tmp_path / f"{window_px}_{workers}.ome.tif")
        settings = TissueSettings(weights=weights, window_px=window_px)
        map_tissue(slide[0], files.map, recipe=slide[1], settings=settings, workers=workers, device="cpu")
        maps[window_px, workers] = files
    one, other = maps[96, 1], maps[96, 3]
    for name in ("map", "probability", "overlay", "polygons", "record"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes(), name
    for files in maps.values():
        # other windows may add floats up in another order
        assert (read(files.map) == read(one.map)).mean() > 0.9999


def test_at_another_scale_every_pixel_of_the_slide_lies_in_the_map(
    slide: tuple[Path, Recipe], weights: str, tmp_path: Path
) -> None:
    fine = replace(slide[1], mpp=0.3)
    out = tmp_path / "t.ome.tif"
    record = map_tissue(slide[0], out, recipe=fine, settings=TissueSettings(weights=weights), device="cpu")
    assert (record["scale"], record["height_px"], record["width_px"]) == (0.3, 99, 126)
    with open_class_map(out) as found:
        assert (found.height, found.width, found.mpp) == (99, 126, 1.0)
    assert "check the pixel size" in record["notes"][0]
    settings = TissueSettings(weights=weights, mpp=0.7)
    record = map_tissue(slide[0], out, recipe=fine, settings=settings, device="cpu")
    assert (record["mpp"], record["height_px"], record["width_px"]) == (0.7, 142, 180)
    for mpp in (0.02, 20.0):
        with pytest.raises(ConfigError, match=r"tissue: the slide has 0\.3 um a pixel"):
            map_tissue(slide[0], out, recipe=fine, settings=TissueSettings(weights=weights, mpp=mpp), device="cpu")


def test_classes_told_apart_by_their_neighbourhood_are_the_same_for_any_windows(
    slide: tuple[Path, Recipe], tmp_path: Path
) -> None:
    smooth = TISSUES.model_copy(update={"smooth_px": 12.0, "balance": {"polyp": 2.0}})
    weights = write_tissue_weights(tmp_path / "own.safetensors", smooth)
    found = []
    for window_px in (96, 1024):
        out = tmp_path / f"{window_px}.ome.tif"
        settings = TissueSettings(weights=weights, window_px=window_px)
        record = map_tissue(slide[0], out, recipe=slide[1], settings=settings, workers=2, device="cpu")
        found.append(read(out))
    assert record["context_px"] == smooth.context_px > TISSUES.context_px
    assert (found[0] == found[1]).mean() > 0.9999
    assert set(np.unique(found[0])) >= {0, 2}


def test_levels_join_classes(slide: tuple[Path, Recipe], weights: str, tmp_path: Path) -> None:
    found = {}
    for level in (0, 1):
        out = tmp_path / f"{level}.ome.tif"
        settings = TissueSettings(weights=weights, level=level)
        record = map_tissue(slide[0], out, recipe=slide[1], settings=settings, device="cpu")
        found[level] = read(out)
    assert record["classes"] == ["stroma", "gland"] and [a["tissue"] for a in record["areas"]] == ["stroma", "gland"]
    np.testing.assert_array_equal(found[1], found[0] > 0)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_glass_has_no_class(weights: str, tmp_path: Path, scale: float) -> None:
    image = np.full((512, 768, 3), 245, np.uint8)
    image[:, :256] = fields.he_look(fields.blobs((512, 256), seed=1), seed=1)
    tifffile.imwrite(tmp_path / "s.tif", image, photometric="rgb")
    recipe = preprocess_slide(tmp_path / "s.tif", tmp_path, stain="he", mpp=scale)
    settings = TissueSettings(weights=weights, window_px=64)
    files = MapFiles(tmp_path / "t.ome.tif")
    record = map_tissue(
        tmp_path / "s.tif", files.map, recipe=recipe, settings=settings, tissue=tmp_path / "tissue.png", device="cpu"
    )  # fmt: skip
    classes, probability = read(files.map), read(files.probability)
    glass = classes == NO_CLASS
    edge = round(256 * scale)
    # tissue and the block or two beside it, in px of the map
    reach = int(3 * recipe.tissue_block_px * scale)
    assert not glass[:, :edge].any() and glass[:, edge + reach :].all()
    np.testing.assert_array_equal(probability[glass], 0)
    assert probability[~glass].min() > 0
    total = sum(area["area_mm2"] for area in record["areas"])
    assert total == pytest.approx((~glass).sum() * record["mpp"] ** 2 / 1e6, rel=1e-6)


def test_small_holes_of_the_mask_are_lumina_and_large_ones_glass() -> None:
    blocks = np.ones((40, 40), bool)
    blocks[2:5, 2:5] = blocks[10:30, 10:30] = False
    filled = fill_lumina(TissueMask(blocks, 20), mpp=1.0)
    assert filled.blocks[2:5, 2:5].all() and not filled.blocks[10:30, 10:30].any()
    nothing = TissueMask(np.zeros((3, 3), bool), 20)
    assert not fill_lumina(nothing, mpp=1.0).blocks.any()


def test_an_unassessable_slide_is_not_looked_at(slide: tuple[Path, Recipe], weights: str, tmp_path: Path) -> None:
    recipe = replace(slide[1], assessable=False)
    files = MapFiles(tmp_path / "t.ome.tif")
    record = map_tissue(slide[0], files.map, recipe=recipe, settings=TissueSettings(weights=weights), device="cpu")
    assert (read(files.map) == NO_CLASS).all() and (read(files.probability) == 0).all()
    assert "unassessable" in record["notes"][0]
    assert [area["area_mm2"] for area in record["areas"]] == [0, 0, 0, 0]


def test_other_stains_than_the_weights_were_trained_on_are_said(
    slide: tuple[Path, Recipe], weights: str, tmp_path: Path
) -> None:
    recipe = replace(slide[1], stain="giemsa")
    out = tmp_path / "t.ome.tif"
    record = map_tissue(slide[0], out, recipe=recipe, settings=TissueSettings(weights=weights), device="cpu")
    assert record["notes"] == ["the weights were trained on he, this slide is giemsa: do not believe the map"]


def test_a_drawing_stands_in_for_the_network(slide: tuple[Path, Recipe], tmp_path: Path) -> None:
    def polygon(name: str, y0: int, y1: int, x0: int, x1: int) -> dict[str, object]:
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        return {
            "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }  # fmt: skip

    features = [polygon("tumour", 0, 200, 0, 300), polygon("necrosis", 50, 100, 60, 160)]
    drawing = tmp_path / "drawn.geojson"
    drawing.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    files = MapFiles(tmp_path / "out" / "t.ome.tif")
    files.map.parent.mkdir()
    files.probability.write_bytes(b"of the network's map that was here")
    # no weights are read
    settings = TissueSettings(weights="none.safetensors", window_px=64)
    record = map_tissue(slide[0], files.map, recipe=slide[1], settings=settings, annotation=drawing, workers=2)
    expected = np.full((HEIGHT, WIDTH), NO_CLASS, np.uint8)
    expected[:200, :300], expected[50:100, 60:160] = 1, 0
    np.testing.assert_array_equal(read(files.map), expected)
    assert not files.probability.exists() and all(path.is_file() for path in files.always)
    assert (record["source"], record["annotation"], record["mpp"]) == ("annotation", "drawn.geojson", 1.0)
    areas = {area["tissue"]: area["area_mm2"] for area in record["areas"]}
    assert areas == pytest.approx({"necrosis": 0.005, "tumour": 0.055})
    coarse = settings.model_copy(update={"annotation_mpp": 2.0})
    record = map_tissue(slide[0], files.map, recipe=slide[1], settings=coarse, annotation=drawing)
    assert (record["scale"], record["height_px"], record["width_px"]) == (0.5, HEIGHT // 2, WIDTH // 2)
    np.testing.assert_array_equal(read(files.map), expected[::2, ::2])


def test_faults_leave_no_map(slide: tuple[Path, Recipe], weights: str, tmp_path: Path) -> None:
    out = tmp_path / "t.ome.tif"
    with pytest.raises(ModelError, match=r"none\.safetensors"):
        map_tissue(slide[0], out, recipe=slide[1], settings=TissueSettings(weights="none.safetensors"))
    with pytest.raises(ConfigError, match=r"t\.png: maps are written as OME-TIFF; choose a name such as t\.ome\.tif"):
        map_tissue(slide[0], tmp_path / "t.png", recipe=slide[1], settings=TissueSettings(weights=weights))
    with pytest.raises(ConfigError, match=r"tissue\.level 7"):
        map_tissue(slide[0], out, recipe=slide[1], settings=TissueSettings(weights=weights, level=7))
    with pytest.raises(ImageError):
        map_tissue(slide[0], out, recipe=replace(slide[1], width_px=9), settings=TissueSettings(weights=weights))
    assert not list(tmp_path.iterdir())
