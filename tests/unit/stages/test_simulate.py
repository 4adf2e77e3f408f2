"""Simulated files: readable by the readers, the same bytes each time, a slide that is laid without a seam."""

import numpy as np
import pytest
import tifffile
from asserts import assert_canonical_labels

from cellseg.errors import ConfigError
from cellseg.io.labels import open_labels
from cellseg.io.slide import open_slide
from cellseg.simulate import Tissue
from cellseg.stages.evaluate import read_points
from cellseg.stages.judged_cells import read_truth
from cellseg.stages.simulate import simulate_sample, simulate_slide
from cellseg.types import Window


def test_a_sample_with_its_truth(tmp_path):
    sample = simulate_sample(tmp_path / "a b", "mixed", kind="mixed", seed=1, size_px=300, mpp=0.4)
    with open_slide(sample.image) as slide:
        assert (slide.height, slide.width, slide.is_rgb) == (300, 300, True)
        assert slide.pixel_size is not None
        assert slide.pixel_size.mpp == pytest.approx(0.4, rel=1e-6)
    with open_labels(sample.truth_labels) as image:
        labels = image.read(Window(0, 300, 0, 300))
        assert image.mpp == pytest.approx(0.4, rel=1e-6)
    assert_canonical_labels(labels)
    ids, abnormal = read_truth(sample.truth_table)
    assert np.array_equal(ids, np.arange(1, labels.max() + 1))
    assert (ids.size, abnormal.sum()) == (sample.n_nuclei, sample.n_abnormal)
    y, x = np.nonzero(labels == 5)
    assert read_points(sample.truth_table)[4] == pytest.approx([y.mean(), x.mean()], abs=5e-4)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        simulate_sample(tmp_path / folder, "s", kind="healthy", seed=1, size_px=128)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 3
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.parametrize("option", [{"size_px": 10}, {"abnormal_share": 1.5}, {"mpp": 0.0}, {"seed": -1}])
def test_options_out_of_bounds_are_named(tmp_path, option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        simulate_sample(tmp_path, "s", kind="mixed", **({"seed": 1} | option))


def test_a_slide_is_tiled_and_counts_its_nuclei(tmp_path):
    path = tmp_path / "slide.tif"
    n_nuclei = simulate_slide(path, height_px=1500, width_px=2100, seed=1, tissue=Tissue(), n_fields=2)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert (page.shape, page.tilewidth, page.is_tiled) == ((1500, 2100, 3), 512, True)
    # 3,400 a mm2; 3.15 Mpx at 0.5 um are 0.79 mm2
    assert n_nuclei == pytest.approx(3_400 * 1500 * 2100 * 0.25e-6, rel=0.05)
    with open_slide(path) as slide:
        assert slide.pixel_size is not None
        assert slide.pixel_size.mpp == pytest.approx(0.5)
        pixels = slide.read(Window(0, 1500, 900, 1200)).astype(float)
    steps = np.abs(np.diff(pixels, axis=1)).mean(axis=(0, 2))
    # the joint between columns 1023 and 1024 steps no more than its neighbours
    assert steps[123] < 1.4 * np.median(steps)


def test_a_slide_of_a_third_tissue_with_a_pyramid(tmp_path):
    path = tmp_path / "slide.tif"
    n_nuclei = simulate_slide(
        path, height_px=6144, width_px=5000, seed=2, mpp=0.25, tissue=Tissue(), n_fields=2, tissue_share=1 / 3,
        pyramid=True,
    )  # fmt: skip
    with open_slide(path) as slide:
        assert [(level.height, level.width) for level in slide.levels] == [(6144, 5000), (1536, 1250)]
        small = slide.read(Window(0, 1536, 0, 1250), level=1).astype(float)
        full = slide.read(Window(0, 2048, 0, 2048)).astype(float)
    reduced = full.reshape(512, 4, 512, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small[:512, :512], reduced, atol=40)
    assert np.abs(small[:512, :512] - reduced).mean() < 3  # what JPEG leaves
    fields = small.reshape(6, 256, 1250, 3)[:, :, :1024].reshape(6, 256, 4, 256, 3).mean(axis=(1, 3))
    glass = (np.abs(fields - (244, 242, 245)) < 3).all(axis=-1)
    assert 0.5 < glass.mean() < 0.8
    assert n_nuclei == pytest.approx(3_400 * 6144 * 5000 * 0.0625e-6 / 3, rel=0.2)
