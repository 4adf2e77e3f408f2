"""OME-Zarr: both versions, the order of axes, pixel size, colour or channels, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from slide_files import PLANTED, half, write_ome_zarr

from cellseg.errors import ImageError
from cellseg.io.ome_zarr import ZarrSlide
from cellseg.io.slide import open_slide
from cellseg.types import Window


def picture(height=300, width=400, channels=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, channels)).astype(dtype)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("axes", "wrapped"), [("tczyx", False), ("cyx", False), ("yxc", False), ("tczyx", True)])
def test_pixels_levels_and_pixel_size(version, axes, wrapped, tmp_path):
    image = picture()
    write_ome_zarr(tmp_path / "a.ome.zarr", image, version=version, axes=axes, wrapped=wrapped, mpp=0.25)
    with open_slide(tmp_path / "a.ome.zarr") as slide:
        assert isinstance(slide, ZarrSlide) and slide.format == f"OME-Zarr {version}"
        assert [tuple(level) for level in slide.levels] == [(300, 400, 1.0), (150, 200, 2.0)]
        assert (slide.is_rgb, slide.dtype, slide.channel_names) == (True, np.uint8, ("red", "green", "blue"))
        assert (slide.pixel_size.mpp, slide.pixel_size.source) == (0.25, f"OME-Zarr {version} scale")
        assert slide.objective_power is None
        for level, window in ((0, Window(0, 300, 0, 400)), (0, Window(100, 201, 30, 399)), (1, Window(9, 150, 3, 40))):
            truth = half(image, 2**level)[window.y0 : window.y1, window.x0 : window.x1]
            pixels = slide.read(window, level)
            assert pixels.flags.c_contiguous and np.array_equal(pixels, truth)
        assert slide.read(Window(5, 5, 9, 19)).shape == (0, 10, 3)
        with pytest.raises(ValueError, match="leaves level"):
            slide.read(Window(0, 301, 0, 9))


@pytest.mark.parametrize(
    ("unit", "mpp", "found"),
    [
        ("micrometer", 0.5, 0.5),
        ("nanometer", 500.0, 0.5),
        ("millimeter", 0.0005, 0.5),
        (None, 0.5, None),
        ("foot", 0.5, None),
    ],
)
def test_pixel_size_is_scale_times_unit_and_never_guessed(unit, mpp, found, tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", picture(), unit=unit, mpp=mpp)
    with open_slide(tmp_path / "a.zarr") as slide:
        assert (slide.pixel_size.mpp if slide.pixel_size else None) == (pytest.approx(found) if found else None)


def test_a_scale_of_the_whole_pyramid_counts_too(tmp_path):
    folder = write_ome_zarr(tmp_path / "a.zarr", picture(), mpp=1.0)
    told = json.loads((folder / ".zattrs").read_text())
    told["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 1, 0.325, 0.325]}]
    (folder / ".zattrs").write_text(json.dumps(told))
    with open_slide(folder) as slide:
        assert slide.pixel_size.mpp == 0.325


RGB = ("FF0000", "00FF00", "0000FF")


@pytest.mark.parametrize(
    ("names", "colours", "is_rgb"),
    [
        (("R", "G", "B"), None, True),
        (("Channel 0", "Channel 1", "Channel 2"), RGB, True),
        (("", "", ""), RGB, True),
        (("DAPI", "FITC", "Cy5"), RGB, False),
        (("", "", ""), None, False),
    ],
)
def test_three_channels_are_colour_only_where_the_file_says_so(names, colours, is_rgb, tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", picture(), names=names, colours=colours)
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.is_rgb == is_rgb
        if not is_rgb:
            assert slide.channel_names == tuple(name or f"channel_{i}" for i, name in enumerate(names, start=1))


def test_channels_of_16_bits_by_name(tmp_path):
    image = picture(channels=2, dtype=np.uint16)
    write_ome_zarr(tmp_path / "a.zarr", image, names=("DAPI", "DAPI"), version="0.5")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert (slide.is_rgb, slide.dtype, slide.channel_names) == (False, np.uint16, ("DAPI", "DAPI_2"))
        assert np.array_equal(slide.read(Window(0, 300, 0, 400)), image)


def test_one_channel_is_gray_without_an_axis_for_it(tmp_path):
    image = picture(channels=1)
    write_ome_zarr(tmp_path / "a.zarr", image, axes="yx", names=())
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.channel_names == ("gray",)
        assert np.array_equal(slide.read(Window(0, 300, 0, 400)), image)


def test_the_objective_is_of_the_ome_xml_beside_the_image(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", picture(), wrapped=True)
    (tmp_path / "a.zarr" / "OME").mkdir()
    (tmp_path / "a.zarr" / "OME" / "METADATA.ome.xml").write_text(
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument><Objective ID="O:0" '
        'NominalMagnification="40"/></Instrument><Image><Pixels/></Image></OME>'
    )
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.objective_power == 40


def test_several_images_are_refused_and_each_can_be_named(tmp_path):
    image = picture()
    write_ome_zarr(tmp_path / "a.zarr", image, wrapped=True)
    write_ome_zarr(tmp_path / "a.zarr" / "1", 255 - image)
    with pytest.raises(ImageError, match=r"2 images \(0, 1\); expected one; name the one that is meant, such as .*0"):
        open_slide(tmp_path / "a.zarr")
    with open_slide(tmp_path / "a.zarr" / "1") as slide:
        assert np.array_equal(slide.read(Window(0, 9, 0, 9)), 255 - image[:9, :9])


def edited(folder, change):
    """The image with its metadata changed by `change`."""
    write_ome_zarr(folder, picture())
    told = json.loads((folder / ".zattrs").read_text())
    change(told)
    (folder / ".zattrs").write_text(json.dumps(told))
    return folder


def image_of(told):
    return told["multiscales"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.pop("multiscales"), "without an OME-Zarr image"),
        (lambda told: image_of(told).update(version="0.1"), "OME-Zarr 0.1; expected 0.4 or 0.5"),
        (lambda told: image_of(told).update(axes=["y", "x"]), "not that of OME-Zarr 0.4 or 0.5"),
        (lambda told: image_of(told)["axes"][0].update(name="angle"), "axes …, c, z, y, x; expected y and x"),
        (lambda told: image_of(told)["datasets"][0].update(path="gone"), r"cannot be opened by zarr \(.*gone"),
        (lambda told: image_of(told)["datasets"].reverse(), "first level is not the largest"),
        (lambda told: told.update({"image-label": {}}), "a label image"),
        (lambda told: told.update(plate={}), "a plate or well"),
        (lambda told: told["multiscales"].append(told["multiscales"][0]), "2 images in one group"),
    ],
)
def test_metadata_that_cannot_be_followed(change, words, tmp_path):
    with pytest.raises(ImageError, match=words):
        open_slide(edited(tmp_path / "a.zarr", change))


def test_what_is_no_plane_of_whole_numbers(tmp_path):
    import zarr

    folder = write_ome_zarr(tmp_path / "z.zarr", picture(), n_levels=1)
    group = zarr.open_group(str(folder), mode="a")
    group.create_array("0", shape=(1, 3, 4, 30, 40), dtype="u1", chunks=(1, 1, 1, 30, 40), overwrite=True)
    with pytest.raises(ImageError, match="4 focus planes; expected one plane"):
        open_slide(folder)
    group.create_array("0", shape=(1, 3, 1, 30, 40), dtype="f4", chunks=(1, 1, 1, 30, 40), overwrite=True)
    with pytest.raises(ImageError, match="float32 pixels; expected 8-bit or 16-bit"):
        open_slide(folder)


@pytest.mark.parametrize("kept", [0, 8, 20, 16000])
def test_a_chunk_of_blosc_cut_short_is_never_filled_from_memory(kept, tmp_path):
    folder = write_ome_zarr(tmp_path / "a.zarr", picture(), n_levels=1)
    assert json.loads((folder / "0" / ".zarray").read_text())["compressor"]["id"] == "blosc"
    chunk = folder / "0" / "0.1.0.1.1"
    chunk.write_bytes(chunk.read_bytes()[:kept])
    with open_slide(folder) as slide, pytest.raises(ImageError, match=r"cannot be read by zarr \(chunk .*bytes of"):
        slide.read(Window(0, 300, 0, 400))


def test_a_damaged_folder_names_the_reader(tmp_path):
    folder = write_ome_zarr(tmp_path / "a.zarr", picture(), version="0.5")
    chunk = next(file for file in sorted((folder / "0").rglob("*")) if file.is_file() and file.name != "zarr.json")
    chunk.write_bytes(chunk.read_bytes()[:20])
    with (
        open_slide(folder) as slide,
        pytest.raises(ImageError, match=r"cannot be read by zarr \(.+\); copy the folder"),
    ):
        slide.read(Window(0, 300, 0, 400))
    (folder / "zarr.json").write_text("{")
    with pytest.raises(ImageError, match=r"cannot be opened by zarr \(.+\); copy the folder"):
        open_slide(folder)


def test_many_threads_read_the_same(tmp_path):
    image = picture()
    write_ome_zarr(tmp_path / "a.zarr", image, chunk=32)
    windows = [Window(y, min(y + 70, 300), x, min(x + 90, 400)) for y in range(0, 300, 30) for x in range(0, 400, 40)]
    with open_slide(tmp_path / "a.zarr") as slide, ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(slide.read, windows), strict=True):
            assert np.array_equal(pixels, image[window.y0 : window.y1, window.x0 : window.x1])


def test_nothing_of_the_patient_is_on_the_slide_object(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", picture())
    with open_slide(tmp_path / "a.zarr") as slide:
        said = repr({name: value for name, value in vars(slide).items() if name not in ("path", "_arrays")})
    assert not any(word in said for word in PLANTED)
