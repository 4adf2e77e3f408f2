"""Pixel size from each place that files keep it, what is no pixel size, and the sheet against the file."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cellseg.errors import ImageError
from cellseg.io.ome import parse_ome
from cellseg.io.pixel_size import resolve_pixel_size
from cellseg.io.slide import open_slide
from cellseg.types import PixelSize

GRAY = np.full((20, 30), 7, np.uint8)


def size_of(path: Path) -> PixelSize | None:
    with open_slide(path) as slide:
        return slide.pixel_size


def mpp_of(path: Path) -> float | None:
    size = size_of(path)
    return size.mpp if size else None


@pytest.mark.parametrize(
    ("value", "unit", "mpp"),
    [
        (0.5, None, 0.5),
        (500, "nm", 0.5),
        (0.00025, "mm", 0.25),
        (5e-5, "cm", 0.5),
        (0.5, "µm", 0.5),
        (1e-5, "inch", 0.254),
    ],
)
def test_ome_units(tmp_path: Path, value: float, unit: str | None, mpp: float) -> None:
    meta = {"axes": "YX", "PhysicalSizeX": value, "PhysicalSizeY": value}
    if unit:
        meta |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", GRAY, ome=True, metadata=meta)
    assert mpp_of(tmp_path / "a.ome.tif") == pytest.approx(mpp, rel=1e-9)


@pytest.mark.parametrize(("value", "unit"), [(1.0, "pixel"), (264.58, "µm"), (0.0, "µm"), (1.0, "reference frame")])
def test_ome_values_that_are_no_pixel_size(tmp_path: Path, value: float, unit: str) -> None:
    meta = {"axes": "YX", "PhysicalSizeX": value, "PhysicalSizeY": value}
    meta |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", GRAY, ome=True, metadata=meta)
    assert mpp_of(tmp_path / "a.ome.tif") is None


def test_ome_with_entities_is_not_read() -> None:
    assert parse_ome('<!DOCTYPE x [<!ENTITY a "b">]><OME><Image><Pixels PhysicalSizeX="1"/></Image></OME>') is None
    assert parse_ome("<OME><Image>") is None
    assert parse_ome("<OME/>") is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [
        ("micron", 2.0, 0.5),
        ("um", 4.0, 0.25),
        ("\\u00B5m", 5.0, 0.2),
        ("cm", 20000.0, 0.5),
        ("mm", 1000.0, 1.0),
        ("nm", 0.002, 0.5),
    ],
)
def test_imagej_units(tmp_path: Path, unit: str, per_unit: float, mpp: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit})
    size = size_of(tmp_path / "a.tif")
    assert size is not None and size.mpp == pytest.approx(mpp, rel=1e-6) and "ImageJ" in size.source


def test_imagej_pixels_are_no_unit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, imagej=True, resolution=(2, 2), metadata={"unit": "pixel"})
    assert mpp_of(tmp_path / "a.tif") is None


@pytest.mark.parametrize(
    ("per_unit", "unit", "mpp"), [(20000, 3, 0.5), (50800, 2, 0.5), (40000, 3, 0.25), (500, 3, 20.0)]
)
def test_resolution_tags(tmp_path: Path, per_unit: int, unit: int, mpp: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    assert size_of(tmp_path / "a.tif") == (mpp, "TIFF resolution tags")


@pytest.mark.parametrize("dpi", [1, 72, 96, 150, 300, 600, 1200])
def test_screen_resolution_is_no_pixel_size(tmp_path: Path, dpi: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(dpi, dpi), resolutionunit=2, metadata=None)
    Image.fromarray(GRAY).save(tmp_path / "a.png", dpi=(dpi, dpi))
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", dpi=(dpi, dpi))
    assert [mpp_of(tmp_path / f"a.{suffix}") for suffix in ("tif", "png", "jpg")] == [None] * 3


def test_resolution_without_unit_is_no_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(20000, 20000), resolutionunit=1, metadata=None)
    assert mpp_of(tmp_path / "a.tif") is None


def test_png_and_jpeg_density(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png", dpi=(50800, 50800))
    size = size_of(tmp_path / "a.png")
    assert size is not None and size.mpp == pytest.approx(0.5) and size.source == "PNG pHYs"
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", dpi=(25400, 25400))
    assert mpp_of(tmp_path / "a.jpg") == pytest.approx(1.0)


def test_aperio_wins_over_tags(tmp_path: Path) -> None:
    text = "Aperio Image Library v1\n|AppMag = 40|MPP = 0.2527|Left = 3"
    tifffile.imwrite(
        tmp_path / "a.tif", GRAY, description=text, resolution=(20000, 20000), resolutionunit=3, metadata=None
    )
    assert size_of(tmp_path / "a.tif") == (0.2527, "Aperio MPP")


def test_anisotropic_pixels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(20000, 20100), resolutionunit=3, metadata=None)
    assert mpp_of(tmp_path / "a.tif") == pytest.approx(0.5, rel=0.01)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(20000, 20500), resolutionunit=3, metadata=None)
    with pytest.raises(ImageError, match=r"square.*resample"):
        open_slide(tmp_path / "a.tif")


def test_the_sheet_wins_and_the_contradiction_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(20000, 20000), resolutionunit=3, metadata=None)
    with open_slide(tmp_path / "a.tif") as slide:
        assert resolve_pixel_size(slide, None, tolerance=0.02, where="A")[0] == (0.5, "TIFF resolution tags")
        assert resolve_pixel_size(slide, 0.505, tolerance=0.02, where="A")[1] is None
        size, note = resolve_pixel_size(slide, 0.25, tolerance=0.02, where="A")
        assert size.mpp == 0.25
        assert note is not None and "0.25" in note and "0.5 (TIFF resolution tags)" in note
        for impossible in (0.0, -1.0, 0.001, 101.0, float("nan")):
            with pytest.raises(ImageError, match="impossible"):
                resolve_pixel_size(slide, impossible, tolerance=0.02, where="A")


def test_neither_says_what_to_write_where(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        with pytest.raises(ImageError, match=r"A: no pixel size.*column mpp.*--mpp"):
            resolve_pixel_size(slide, None, tolerance=0.02, where="A")
        assert resolve_pixel_size(slide, 100.0, tolerance=0.02, where="A")[0].mpp == 100.0


def power_of(path: Path) -> float | None:
    with open_slide(path) as slide:
        return slide.objective_power


@pytest.mark.parametrize(("said", "power"), [("40", 40.0), ("20.0", 20.0), ("0", None), ("-20", None), ("x", None)])
def test_objective_power_of_aperio(said: str, power: float | None, tmp_path: Path) -> None:
    text = f"Aperio Image Library v1\n|AppMag = {said}|MPP = 0.25"
    tifffile.imwrite(tmp_path / "a.tif", GRAY, description=text, metadata=None)
    assert power_of(tmp_path / "a.tif") == power


@pytest.mark.parametrize(("chosen", "power"), [("Objective:1", 20.0), ("Objective:2", 63.0), ("Objective:9", None)])
def test_objective_power_of_ome_is_of_the_one_that_was_used(chosen: str, power: float | None, tmp_path: Path) -> None:
    objectives = "".join(
        f'<Objective ID="Objective:{n}" NominalMagnification="{m}"/>' for n, m in ((1, "20.0"), (2, "63"))
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument ID="Instrument:0">'
        f'{objectives}</Instrument><Image ID="Image:0"><ObjectiveSettings ID="{chosen}"/>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{GRAY.shape[1]}" SizeY="{GRAY.shape[0]}" '
        'SizeC="1" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Channel ID="Channel:0:0"/><TiffData/>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", GRAY, description=xml, metadata=None)
    assert power_of(tmp_path / "a.ome.tif") == power


def test_no_objective_is_none(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    assert power_of(tmp_path / "a.png") is None
