"""Every format that a scanner or an archive writes: the right reader, size, pixels, and nothing of the patient."""

from __future__ import annotations

import numpy as np
import pytest
from slide_files import LABEL_COLOUR, PLANTED, WITHOUT_POWER, WRITERS, half

from cellseg.errors import ImageError
from cellseg.io.slide import open_slide
from cellseg.types import Window

IMAGE = np.random.default_rng(0).integers(0, 256, (512, 768, 3)).astype(np.uint8)
HELD = ("_slide", "_levels", "_arrays", "_readers", "_cache", "path")


@pytest.fixture(scope="module", params=list(WRITERS))
def written(request, tmp_path_factory):
    """(format, path, pixels) of one slide of each maker."""
    return request.param, *WRITERS[request.param](tmp_path_factory.mktemp("slides"), IMAGE)


def test_reader_sizes_and_what_it_says(written):
    name, path, _ = written
    with open_slide(path) as slide:
        assert slide.format.startswith(name.split(" (VMS)")[0])
        assert (slide.height, slide.width, slide.is_rgb, slide.dtype) == (512, 768, True, np.uint8)
        assert slide.pixel_size is not None and slide.pixel_size.mpp == pytest.approx(0.5, rel=1e-6)
        assert slide.objective_power == (None if name in WITHOUT_POWER else 20)
        # OpenSlide makes further levels of JPEGs, which can be decoded at 1/2, 1/4 and 1/8
        factors = [1, 2, 4, 8, 16, 32] if "hamamatsu" in name else [1, 4] if name == "OpenSlide leica" else [1, 2]
        sizes = [(512 // factor, 768 // factor, factor) for factor in factors[: len(slide.levels)]]
        assert len(sizes) >= 2 and [tuple(level) for level in slide.levels] == sizes


def test_pixels_are_those_that_were_written(written):
    name, path, pixels = written
    with open_slide(path) as slide:
        for window in (Window(0, 512, 0, 768), Window(200, 377, 250, 601)):
            assert np.array_equal(slide.read(window), pixels[window.y0 : window.y1, window.x0 : window.x1])
        if "hamamatsu" in name:  # the smaller level is a JPEG of its own
            return
        low = half(pixels, round(slide.levels[1].downsample))
        window = Window(31, low.shape[0], 7, 150)
        assert np.array_equal(slide.read(window, 1), low[31:, 7:150])


def test_no_label_and_nobody_s_name(written):
    _, path, _ = written
    with open_slide(path) as slide:
        said = repr({name: value for name, value in vars(slide).items() if name not in HELD})
        for number, level in enumerate(slide.levels):
            pixels = slide.read(Window(0, level.height, 0, level.width), number)
            assert not (pixels == LABEL_COLOUR).all(axis=2).mean() > 0.01
    assert not any(word in said for word in PLANTED)


def cut(path, share):
    """The slide's largest file cut to a share of its bytes, in the same place; the folder that holds it all."""
    inside = path if path.is_dir() else path.parent
    whole = max((file for file in inside.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])


READERS = {"Aperio SVS": "tifffile|TIFF", "DICOM": "wsidicom", "OME-Zarr": "zarr"}


@pytest.mark.parametrize("share", [0.0005, 0.6])
@pytest.mark.parametrize("name", list(WRITERS))
def test_a_damaged_file_names_its_reader(name, share, tmp_path):
    path, _ = WRITERS[name](tmp_path, IMAGE)
    cut(path, share)
    reader = READERS.get(name, "OpenSlide|tifffile|TIFF")
    with pytest.raises(ImageError, match=rf"(?s){path.name}.*({reader})") as caught, open_slide(path) as slide:
        for number, level in enumerate(slide.levels):
            slide.read(Window(0, level.height, 0, level.width), number)
    message = str(caught.value)
    assert "\n" not in message and any(cure in message for cure in ("copy", "export"))


@pytest.mark.parametrize("name", ["OpenSlide mirax", "OpenSlide hamamatsu (VMS)"])
def test_a_slide_without_the_files_that_belong_to_it(name, tmp_path):
    path, _ = WRITERS[name](tmp_path, IMAGE)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file != path:
            file.unlink()
    with pytest.raises(ImageError, match=r"OpenSlide.*with all files that belong to it"):
        open_slide(path)
