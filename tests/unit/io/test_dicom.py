"""DICOM slides: pixels, levels, pixel size, which files belong together, and nothing of the patient."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from slide_files import JPEG, JPEG_2000, NATIVE, PLANTED, half, write_dicom

from cellseg.errors import ImageError
from cellseg.io.dicom import DicomSlide
from cellseg.io.slide import open_slide
from cellseg.types import Window


def picture(height=500, width=600, seed=0):
    """Smooth colours, so that JPEG hardly changes them."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = [128 + 100 * np.sin(y / rng.uniform(20, 60) + x / rng.uniform(20, 60)) for _ in range(3)]
    return np.rint(np.stack(waves, axis=2)).astype(np.uint8)


@pytest.fixture
def image():
    return picture()


@pytest.mark.parametrize(("syntax", "tolerance"), [(NATIVE, 0), (JPEG_2000, 0), (JPEG, 8)])
def test_pixels_levels_size_and_objective(image, syntax, tolerance, tmp_path):
    write_dicom(tmp_path / "slide", image, syntax=syntax, mpp=0.46, power=20)
    with open_slide(tmp_path / "slide") as slide:
        assert isinstance(slide, DicomSlide) and slide.format.startswith("DICOM (")
        assert [tuple(level) for level in slide.levels] == [(500, 600, 1.0), (250, 300, 2.0)]
        assert (slide.is_rgb, slide.dtype, slide.channel_names) == (True, np.uint8, ("red", "green", "blue"))
        assert (slide.pixel_size.mpp, slide.pixel_size.source) == (0.46, "DICOM PixelSpacing")
        assert slide.objective_power == 20
        for level, window in (
            (0, Window(0, 500, 0, 600)),
            (0, Window(200, 333, 250, 520)),
            (1, Window(7, 250, 31, 90)),
        ):
            truth = half(image, 2**level)[window.y0 : window.y1, window.x0 : window.x1].astype(int)
            pixels = slide.read(window, level)
            assert pixels.dtype == np.uint8 and np.abs(pixels - truth).max() <= tolerance
        assert slide.read(Window(5, 5, 9, 19)).shape == (0, 10, 3)
        slide.read(Window(0, 256, 0, 256))[:] = 0  # what was handed out is the caller's, not the cache's
        assert slide.read(Window(0, 256, 0, 256)).any()
        with pytest.raises(ValueError, match="leaves level"):
            slide.read(Window(0, 501, 0, 9))


def test_gray_of_8_and_16_bits(tmp_path):
    for dtype, depth in ((np.uint8, 8), (np.uint16, 16)):
        gray = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (300, 270)).astype(dtype)
        write_dicom(tmp_path / str(depth), gray, depth=depth)
        with open_slide(tmp_path / str(depth)) as slide:
            assert (slide.is_rgb, slide.dtype, slide.channel_names) == (False, dtype, ("gray",))
            assert np.array_equal(slide.read(Window(0, 300, 0, 270))[..., 0], gray)


def test_a_file_stands_for_its_slide_and_label_files_for_none(image, tmp_path):
    files = write_dicom(tmp_path, image)
    others = write_dicom(tmp_path, 255 - image, series="1.2.3.2", name="other")
    for file, truth in ((files[0], image), (files[1], image), (others[1], 255 - image)):
        with open_slide(file) as slide:
            assert (slide.height, len(slide.levels)) == (500, 2)
            assert np.array_equal(slide.read(Window(0, 9, 0, 9)), truth[:9, :9])
    with pytest.raises(ImageError, match=r"2 DICOM slides in one folder; .* a folder of its own, or name one file"):
        open_slide(tmp_path)
    with pytest.raises(ImageError, match=r"level_label\.dcm: the label of a DICOM slide; expected one of its VOLUME"):
        open_slide(tmp_path / "level_label.dcm")


def test_archives_give_files_no_ending(image, tmp_path):
    for number, file in enumerate(write_dicom(tmp_path, image)):
        file.rename(tmp_path / f"IM{number:04d}")
    for path in (tmp_path, tmp_path / "IM0000"):
        with open_slide(path) as slide:
            assert isinstance(slide, DicomSlide) and len(slide.levels) == 2


def test_label_and_overview_are_never_opened(image, tmp_path, monkeypatch):
    write_dicom(tmp_path, image)
    import wsidicom

    opened = []
    real = wsidicom.WsiDicom.open.__func__

    def watched(cls, files, **options):
        opened.extend(files)
        return real(cls, files, **options)

    monkeypatch.setattr(wsidicom.WsiDicom, "open", classmethod(watched))
    with open_slide(tmp_path) as slide:
        said = repr({name: value for name, value in vars(slide).items() if name not in ("path", "_slide", "_levels")})
    assert sorted(file.name for file in opened) == ["level_0.dcm", "level_1.dcm"]
    assert not any(word in said for word in (*PLANTED, "1.2.3"))


def test_planes_and_paths_that_would_have_to_be_chosen(image, tmp_path):
    write_dicom(tmp_path, image, paths=2)
    with pytest.raises(ImageError, match=r"1 focus planes and 2 optical paths; expected one of each"):
        open_slide(tmp_path)


def test_levels_with_other_tiles_are_not_left_out(image, tmp_path):
    write_dicom(tmp_path, image, n_levels=1)
    write_dicom(tmp_path / "more", image, tile=64)
    (tmp_path / "more" / "level_1.dcm").rename(tmp_path / "level_1.dcm")
    with open_slide(tmp_path) as slide:
        assert [level.height for level in slide.levels] == [500, 250]


def test_what_the_file_does_not_say(image, tmp_path):
    write_dicom(tmp_path, image, power=None)
    with open_slide(tmp_path) as slide:
        assert slide.objective_power is None


@pytest.mark.parametrize("kept", [60, 140, 300, 1000])
def test_a_slide_cut_short_in_its_header_is_not_opened_at_its_next_level(image, kept, tmp_path):
    first = write_dicom(tmp_path, image)[0]
    first.write_bytes(first.read_bytes()[:kept])
    with pytest.raises(ImageError, match=r"cannot be opened by .*wsidicom.*copy all files of the slide again"):
        open_slide(tmp_path)


def test_a_slide_cut_short_in_its_pixels_names_the_reader(image, tmp_path):
    first = write_dicom(tmp_path, image, syntax=JPEG)[0]
    first.write_bytes(first.read_bytes()[:9000])
    with (
        pytest.raises(ImageError, match=r"cannot be (opened|read) by wsidicom \(.+\); copy all files"),
        open_slide(tmp_path) as slide,
    ):
        slide.read(Window(0, 500, 0, 600))


def test_no_slide_at_all(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ImageError, match="a folder that is neither OME-Zarr nor a DICOM slide"):
        open_slide(tmp_path)
    (tmp_path / "a.dcm").write_text("no DICOM")
    with pytest.raises(ImageError, match=r"a\.dcm: cannot be opened by pydicom, of wsidicom"):
        open_slide(tmp_path / "a.dcm")


def test_many_threads_read_the_same(image, tmp_path):
    write_dicom(tmp_path, image, syntax=JPEG_2000, tile=64)
    windows = [Window(y, min(y + 70, 500), x, min(x + 90, 600)) for y in range(0, 500, 60) for x in range(0, 600, 80)]
    with open_slide(tmp_path) as slide, ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(slide.read, windows), strict=True):
            assert np.array_equal(pixels, image[window.y0 : window.y1, window.x0 : window.x1])
