"""A few images without a workflow: their names, and what is left when one fails."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tifffile
from fields import he_field
from segnets import TISSUES, write_tissue_weights

from cellseg.config import Config
from cellseg.errors import ConfigError, ImageError
from cellseg.io.slide import open_slide
from cellseg.network_config import TissueSettings
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.preprocess import check_recipe, preprocess_slide

HE = Acquisition("he", 0.5)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "slide.v1.tif"
    tifffile.imwrite(path, he_field(shape=(160, 170), seed=1).pixels, photometric="rgb")
    return path


def test_nothing_of_an_earlier_image_is_left_when_it_fails(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert analyze_images([image], out, acquisition=HE, config=Config()) == []
    folder = out / "samples" / "slide.v1"
    assert (folder / "cells.csv").is_file()
    image.write_bytes(image.read_bytes()[:3000])
    (failed,) = analyze_images([image], out, acquisition=HE, config=Config())
    assert (failed.sample, failed.stage) == ("slide.v1", "preprocess")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_names_that_differ_after_a_dot_are_two_samples(image: Path, tmp_path: Path) -> None:
    other = image.with_name("slide.v2.tif")
    other.write_bytes(image.read_bytes())
    assert analyze_images([image, other], tmp_path / "out", acquisition=HE, config=Config()) == []
    assert len((tmp_path / "out" / "slides.tsv").read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match="second image called"):
        analyze_images([image, image], tmp_path / "twice", acquisition=HE, config=Config())


def test_a_recipe_of_another_pixel_type_is_refused(image: Path, tmp_path: Path) -> None:
    recipe = preprocess_slide(image, tmp_path / "recipe", stain="he", mpp=0.5)
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, tifffile.imread(image).astype("uint16") * 257, photometric="rgb")
    with open_slide(deep) as slide, pytest.raises(ImageError, match="uint16"):
        check_recipe(slide, recipe)


def test_tissues_are_mapped_where_settings_ask_for_it(image: Path, tmp_path: Path) -> None:
    weights = write_tissue_weights(tmp_path / "own.safetensors")
    config = Config(tissue=TissueSettings(enabled=True, weights=weights))
    steps: list[tuple[int, int]] = []
    out = tmp_path / "out"
    report = lambda done, total: steps.append((done, total))  # noqa: E731
    assert analyze_images([image], out, acquisition=HE, config=config, progress=report) == []
    assert steps[-1] == (9, 9)
    folder = out / "samples" / "slide.v1"
    cells = pq.read_table(folder / "cells.parquet")
    assert set(cells["tissue"].to_pylist()) <= set(TISSUES.classes) and "signed_distance_polyp_um" in cells.column_names
    assert len((out / "summary_tissue.csv").read_text().splitlines()) >= 1 + len(TISSUES.classes)
    # weights that went away fail the image at this stage, and nothing of the old map passes for a new one
    Path(weights).unlink()
    (failed,) = analyze_images([image], out, acquisition=HE, config=config)
    assert failed.stage == "tissue" and "own.safetensors" in failed.reason
    assert not (folder / "tissue" / "tissue.ome.tif").exists() and not (folder / "cells.csv").exists()
