"""Slides of scanners' makers: pixels, levels, pixel size, what was scanned, and nothing of the patient."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cellseg.errors import ImageError
from cellseg.io.slide import open_slide
from cellseg.io.tiff import TiffSlide
from cellseg.io.vendor import VendorSlide, vendor_of
from cellseg.types import Window

DATA = Path(os.environ.get("CELLSEG_DATA", "../shared/data"))
REAL = DATA / "slides" / "CMU-1-Small-Region.svs"


def picture(height=600, width=700, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def write_trestle(path, image, *, mpp=0.5, name="Jane Roe"):
    """A pyramid of two levels as Trestle's MedScan writes it."""
    with tifffile.TiffWriter(path) as file:
        for level, factor in ((image, 1), (image[::2, ::2], 2)):
            file.write(
                level, tile=(256, 256), photometric="rgb", software="MedScan 1.0", metadata=None,
                description=f"Background Color=E6E6E6;Objective Magnification=20;Patient={name}",
                resolution=(mpp * factor, mpp * factor), resolutionunit="NONE",
            )  # fmt: skip
    return path


@pytest.fixture
def trestle(tmp_path):
    image = picture()
    return write_trestle(tmp_path / "a.tif", image), image


def test_pixels_levels_and_pixel_size(trestle):
    path, image = trestle
    assert vendor_of(path) == "trestle"
    with open_slide(path) as slide:
        assert isinstance(slide, VendorSlide) and slide.format == "OpenSlide trestle"
        assert (slide.height, slide.width, slide.is_rgb, slide.dtype) == (600, 700, True, np.uint8)
        assert [(level.height, level.width, level.downsample) for level in slide.levels] == [
            (600, 700, 1),
            (300, 350, 2),
        ]
        assert slide.pixel_size is not None
        assert (slide.pixel_size.mpp, slide.pixel_size.source) == (0.5, "OpenSlide mpp (trestle)")
        assert np.array_equal(slide.read(Window(0, 600, 0, 700)), image)
        assert np.array_equal(slide.read(Window(100, 353, 250, 301)), image[100:353, 250:301])
        assert np.array_equal(slide.read(Window(31, 300, 7, 350), level=1), image[::2, ::2][31:300, 7:350])
        assert slide.read(Window(5, 5, 9, 9)).shape == (0, 0, 3)


def test_a_window_outside_is_a_bug_of_the_caller(trestle):
    with open_slide(trestle[0]) as slide, pytest.raises(ValueError, match="leaves level"):
        slide.read(Window(0, 601, 0, 10))


def test_what_was_scanned_is_the_image_and_the_rest_has_the_background(trestle, monkeypatch):
    path, image = trestle
    bounds = {"x": 640, "y": 550, "width": 100, "height": 80}
    told = openslide.OpenSlide(path).properties
    given = {**told, **{f"openslide.bounds-{name}": str(value) for name, value in bounds.items()}}
    monkeypatch.setattr(openslide.OpenSlide, "properties", property(lambda _: given))
    with open_slide(path) as slide:
        assert (slide.height, slide.width) == (80, 100)
        pixels = slide.read(Window(0, 80, 0, 100))
    assert np.array_equal(pixels[:50, :60], image[550:600, 640:700])
    assert (pixels[50:] == 0xE6).all() and (pixels[:, 60:] == 0xE6).all()


def test_formats_that_are_ours_stay_ours(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", picture(), tile=(256, 256), photometric="rgb")
    assert vendor_of(tmp_path / "plain.tif") is None
    with open_slide(tmp_path / "plain.tif") as slide:
        assert isinstance(slide, TiffSlide)


def test_what_nobody_knows_and_what_is_cut_short(tmp_path, trestle):
    odd = tmp_path / "odd.mrxs"
    odd.write_bytes(b"no slide at all")
    with pytest.raises(ImageError, match=r"which OpenSlide does not know either.*with all files that belong to it"):
        open_slide(odd)
    path = trestle[0]
    path.write_bytes(path.read_bytes()[:400_000])
    with pytest.raises(ImageError, match=r"a\.tif"), open_slide(path) as slide:
        slide.read(Window(0, 600, 0, 700))


def test_nothing_of_the_patient_is_on_the_slide_object(trestle):
    with open_slide(trestle[0]) as slide:
        said = {name: value for name, value in vars(slide).items() if name not in ("path", "_slide")}
    assert "Jane" not in repr(said)


@pytest.mark.skipif(not REAL.is_file(), reason=f"no {REAL}: set CELLSEG_DATA to the folder of labelled images")
def test_a_real_slide_is_the_same_by_both_readers():
    with open_slide(REAL) as ours, VendorSlide(REAL, "aperio") as theirs:
        assert (ours.height, ours.width) == (theirs.height, theirs.width)
        assert theirs.pixel_size.mpp == pytest.approx(ours.pixel_size.mpp)
        window = Window(500, 900, 700, 1300)
        apart = np.abs(ours.read(window).astype(int) - theirs.read(window).astype(int))
    # two JPEG decoders may round differently
    assert apart.max() <= 3 and (apart > 0).mean() < 0.05
