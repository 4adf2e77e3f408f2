"""Which level a network reads, and that what it sees lies where the slide's own pixels are."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellseg.io.slide import open_slide
from cellseg.stages.level_view import fitting_level, view_of_slide
from cellseg.types import Level, Window

LEVELS = (Level(1001, 900, 1.0), Level(250, 225, 4.002), Level(62, 56, 16.11))


@pytest.mark.parametrize(
    ("scale", "found"),
    [(2.0, (0, 1.0)), (1.0, (0, 1.0)), (0.26, (0, 1.0)), (0.25, (1, 4.0)), (0.07, (1, 4.0)), (0.01, (2, 16.0))],
)
def test_the_smallest_level_with_all_that_the_network_sees(scale, found):
    assert fitting_level(LEVELS, scale) == found


def test_a_ratio_that_is_no_rounding_stays():
    assert fitting_level((Level(900, 900, 1.0), Level(360, 360, 2.5)), 0.4) == (1, 2.5)


@pytest.mark.parametrize("shape", [(600, 800), (601, 803)])
@pytest.mark.parametrize("scale", [0.25, 0.2, 0.11])
def test_a_pyramid_shows_the_network_what_the_slide_itself_shows(shape, scale, tmp_path):
    rng = np.random.default_rng(0)
    waves = ndimage.gaussian_filter(rng.standard_normal((*shape, 3)), (12, 12, 0))
    image = np.clip(128 + 60 * waves / waves.std(), 0, 255).astype(np.uint8)
    levels = [image] + [image[: shape[0] // n * n, : shape[1] // n * n]
                        .reshape(shape[0] // n, n, shape[1] // n, n, 3).mean(axis=(1, 3)).round().astype(np.uint8)
                        for n in (2, 4)]  # fmt: skip
    for path, kept in ((tmp_path / "plain.tif", levels[:1]), (tmp_path / "pyramid.tif", levels)):
        with tifffile.TiffWriter(path) as file:
            for number, level in enumerate(kept):
                file.write(level, tile=(128, 128), photometric="rgb", subfiletype=int(number > 0), metadata=None)
    seen = []
    for name in ("plain.tif", "pyramid.tif"):
        with open_slide(tmp_path / name) as slide:
            view, read = view_of_slide(slide, scale)
            height, width = (int(np.ceil(side * scale)) for side in shape)
            seen.append(view.look_at(read, Window(0, height, 0, width)).astype(int))
    assert seen[0].shape == seen[1].shape
    apart = np.abs(seen[0] - seen[1])
    # a shift by half a pixel of the network gives a mean of 8 and more; at the border a row of the level is repeated
    assert apart[:-2, :-2].max() <= 8 and apart[:-2, :-2].mean() < 1 and apart.mean() < 2


def test_only_the_fitting_level_is_read(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for value, side, kind in ((10, 512, 0), (200, 128, 1)):
            file.write(np.full((side, side, 3), value, np.uint8), tile=(64, 64), photometric="rgb", subfiletype=kind)
    with open_slide(path) as slide:
        view, read = view_of_slide(slide, 0.25)
        assert (view.scale, view.height_px) == (1.0, 128)
        assert (view.look_at(read, Window(0, 128, 0, 128)) == 200).all()
        view, read = view_of_slide(slide, 0.5)
        assert (view.look_at(read, Window(0, 256, 0, 256)) == 10).all()
