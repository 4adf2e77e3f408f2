"""Cells of windows become cells of the slide: none lost, none doubled, the same however the slide is cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from asserts import assert_canonical_labels, assert_same_labels, assert_table
from fields import blobs, bricks, discs, ellipses, giant, raster_ids, seam_cells
from measuring import recipe_for
from skimage import measure

from cellseg.errors import CellsegError, ConfigError, LabelError, ModelError
from cellseg.io.labels import STRIP_PX, open_labels, write_labels
from cellseg.io.scratch import ClusterScratch
from cellseg.io.slide import open_slide
from cellseg.preprocess.tissue_mask import TissueMask, whole_slide
from cellseg.segment.contract import TileCells, from_function
from cellseg.segment.pieces import largest_pieces
from cellseg.stages.segment import write_instances
from cellseg.stages.slide_cells import FoundCells, SlideJob
from cellseg.stages.windowed import WindowedSegmenter, spread_windows
from cellseg.types import Window, silent

WHOLE = 4096
CUTS = ((128, 40), (256, 40), (WHOLE, 40))


def painted(labels: np.ndarray) -> np.ndarray:
    """The cells in white on black, touching ones too: each is told by its own gray level, over 100."""
    return np.where(labels > 0, 101 + labels % 150, 0).astype(np.uint8)[..., None]


def by_gray(pixels: np.ndarray, mpp: float) -> np.ndarray:
    """Cells of `painted`, in a window: pieces of one gray level."""
    return measure.label(pixels[:, :, 0], background=0, connectivity=2)


def find(pixels: np.ndarray, folder: Path, segmenter, *, workers: int = 1, tissue: TissueMask | None = None, **limits):
    """The label image and what was found, through the whole of the stage but the choice of the segmenter."""
    folder.mkdir(parents=True, exist_ok=True)
    image, recipe = folder / "image.tif", recipe_for(pixels, mpp=0.5)
    tifffile.imwrite(image, pixels[..., 0], photometric="minisblack")
    height, width = pixels.shape[:2]
    mask = tissue or whole_slide(height, width, recipe.tissue_block_px)
    with open_slide(image) as slide, ClusterScratch(folder, width_px=width, strip_px=STRIP_PX) as scratch:
        job = SlideJob(slide, recipe, mask, scratch, folder, 64, workers, silent)
        found = WindowedSegmenter(segmenter, **limits).find(job)
        n = range(-(-height // STRIP_PX))
        strips = (scratch.unpack(i, scratch.fetch(i), height, found.cell_of) for i in n)
        write_labels(folder / "labels.ome.tif", strips, height_px=height, width_px=width, mpp=0.5)
    write_instances(folder / "instances.parquet", found)
    with open_labels(folder / "labels.ome.tif") as written:
        return written.read(Window(0, height, 0, width)), found


def cut_by(window_px: int, overlap_px: int, function=by_gray):
    return from_function(function, mpp=0.5, window_px=window_px, overlap_px=overlap_px)


FIELDS = {
    "discs": lambda: discs((600, 500), seed=1),
    "blobs": lambda: blobs((513, 490), mean_radius_px=9, spacing_px=30, seed=2),
    "seams": lambda: seam_cells(88, n_tiles=6, radius_px=9),
    "wall": lambda: bricks((520, 530), height_px=18, width_px=26, mortar_px=0),
    "crowd": lambda: bricks((520, 530), height_px=9, width_px=11, mortar_px=1),
    "one row": lambda: discs((24, 900)),
    "small": lambda: blobs((30, 50)),
    "pixel": lambda: np.ones((1, 1), np.uint32),
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_cut_gives_every_cell_once(name: str, tmp_path: Path) -> None:
    truth = FIELDS[name]()
    for window_px, overlap_px in CUTS:
        labels, found = find(painted(truth), tmp_path / str(window_px), cut_by(window_px, overlap_px))
        assert_canonical_labels(labels)
        # ids are in raster order in both: the same cells have the same ids
        assert np.array_equal(labels, truth), f"windows of {window_px} px"
        assert not found.seam_joined.any() and found.record["n_seam_cut"] == 0


def test_a_wide_slide_is_settled_by_lower_strips_and_comes_out_the_same(tmp_path: Path) -> None:
    truth = bricks((150, 70_000), height_px=18, width_px=26, mortar_px=0)
    truth[54:90, 30_004:60_008] = 0
    truth[56:88, 30_006:60_006] = 7 * truth.max()  # over the border of two strips
    truth = raster_ids(truth)
    labels, _ = find(painted(truth), tmp_path, cut_by(4096, 60), workers=2)
    assert np.array_equal(labels, truth)


@pytest.mark.parametrize("shape", [(700, 650), (300, 2000)])
def test_giants_are_joined_and_said_once(shape: tuple[int, int], tmp_path: Path) -> None:
    truth = giant(shape, share=0.8)
    big = int(np.bincount(truth.ravel())[1:].argmax()) + 1
    for window_px, overlap_px in CUTS[:2]:
        labels, found = find(painted(truth), tmp_path / str(window_px), cut_by(window_px, overlap_px))
        assert np.array_equal(labels, truth)
        assert np.flatnonzero(found.seam_joined).tolist() == [big - 1]
        assert found.record["n_seam_joined"] == 1
        table = assert_table(tmp_path / str(window_px) / "instances.parquet")
        assert table.filter(table["seam_joined"])["cell_id"].to_pylist() == [big]


def test_cells_of_every_length_around_the_overlap(tmp_path: Path) -> None:
    """Rods from a third to three times the overlap, at every place of the seams: each once, whole."""
    rng = np.random.default_rng(5)
    at = np.mgrid[45:900:90, 70:1000:140].reshape(2, -1).T + rng.uniform(-8, 8, (70, 2))
    axes = np.stack([rng.uniform(3, 8, 70), rng.uniform(7, 60, 70)], axis=1)
    truth = ellipses((900, 1000), at, axes)
    for turned in (truth, raster_ids(truth.T.copy())):
        for n, (window_px, overlap_px) in enumerate(((128, 40), (150, 41), (256, 40))):
            labels, _ = find(painted(turned), tmp_path / f"{n}{turned.shape[0]}", cut_by(window_px, overlap_px))
            assert np.array_equal(labels, turned)


def test_lopsided_cells_at_seams(tmp_path: Path) -> None:
    """Comets: a round head and a tail as long as the overlap, so that the centroid is far from the middle."""
    truth = np.zeros((500, 1300), np.uint32)
    for n, (y, x) in enumerate((y, x) for y in range(20, 480, 40) for x in range(15, 1200, 67)):
        x = x + 5 * (n % 7)
        truth[y - 8 : y + 8, x : x + 12] = truth[y, x : x + 50] = n + 1
    truth = raster_ids(truth)
    for image in (truth, raster_ids(truth[:, ::-1].copy()), raster_ids(truth.T.copy())):
        labels, _ = find(painted(image), tmp_path / f"{image.shape[0]}{image[0, 0]}", cut_by(128, 40))
        assert np.array_equal(labels, image)


def test_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    truth = giant((600, 500))
    written = []
    for workers in (1, 3):
        _, found = find(painted(truth), tmp_path / str(workers), cut_by(128, 40), workers=workers)
        files = [(tmp_path / str(workers) / name).read_bytes() for name in ("labels.ome.tif", "instances.parquet")]
        written.append((files, json.dumps(found.record)))
    assert written[0] == written[1]


def test_no_cells(tmp_path: Path) -> None:
    labels, found = find(np.zeros((300, 310, 1), np.uint8), tmp_path, cut_by(128, 40))
    assert not labels.any() and found.record["n_cells"] == 0 and found.record["median_diameter_um"] is None
    assert assert_table(tmp_path / "instances.parquet").num_rows == 0


def test_cells_of_wrong_size_or_off_tissue_are_dropped_and_counted(tmp_path: Path) -> None:
    truth = ellipses((400, 400), np.array([[30, 30], [30, 300], [200, 200.0]]), np.array([[3, 3], [9, 9], [60, 60.0]]))
    tissue = TissueMask(np.ones((25, 25), bool), 16)
    tissue.blocks[:5, 15:] = False
    labels, found = find(
        painted(truth), tmp_path, cut_by(128, 40), tissue=tissue, min_area_um2=10.0, max_area_um2=2000.0
    )
    assert not labels.any()
    assert found.record["dropped"] == {"too_small": 1, "too_large": 1, "outside_tissue": 1, "covered_by_others": 0}
    labels, found = find(painted(truth), tmp_path / "all", cut_by(128, 40), min_area_um2=1.0)
    assert np.array_equal(labels, truth)


class Scored:
    """A segmenter whose windows disagree: each sees its own boxes (y0, y1, x0, x1, score, class), px of the slide."""

    method, classes, window_px, overlap_px = "scored", ("round", "long"), 120, 40

    def __init__(self, boxes: dict[int, list[tuple]]) -> None:
        self.boxes = boxes

    def find_cells(self, read, window: Window) -> TileCells:
        labels, seen = np.zeros((window.height, window.width), np.uint32), []
        for y0, y1, x0, x1, score, kind in self.boxes.get(window.x0, []):
            box = Window(y0, y1, x0, x1).clip(window.y1, window.x1)
            rows, columns = Window(box.y0, box.y1, max(box.x0, window.x0), box.x1).inside(window)
            labels[rows, columns] = len(seen) + 1
            seen.append((score, kind))
        scores = np.array([score for score, _ in seen], np.float32)
        return TileCells(labels, scores, np.array([kind for _, kind in seen], np.uint8), n_at_limit=1)

    def record(self) -> dict:
        return {"expected_diameter_px": 5.0, "size_tolerance": 1.5}


def test_of_twins_the_more_certain_wins_and_overlaps_go_to_the_more_certain(tmp_path: Path) -> None:
    # windows at x 0, 80 and 160 of a slide 40 x 280
    boxes = {
        0: [(5, 15, 92, 104, 0.6, 1), (20, 30, 60, 102, 0.9, 1)],
        80: [(5, 15, 96, 108, 0.8, 2), (20, 30, 96, 120, 0.7, 2), (5, 15, 120, 130, 0.5, 1)],
    }
    labels, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored(boxes))
    expected = np.zeros((40, 280), np.uint32)
    expected[5:15, 96:108], expected[5:15, 120:130] = 1, 2
    expected[20:30, 102:120], expected[20:30, 60:102] = 4, 3
    assert np.array_equal(labels, expected)
    assert found.scores.tolist() == pytest.approx([0.8, 0.5, 0.9, 0.7])
    table = pq.read_table(tmp_path / "instances.parquet")
    assert table["class"].to_pylist() == ["long", "round", "round", "long"]
    assert table["score"].to_pylist() == pytest.approx([0.8, 0.5, 0.9, 0.7])
    assert found.record["n_at_limit"] == 3
    assert "raise max_detections" in found.record["notes"][0] and "cells measure 6.91 um" in found.record["notes"][1]


def test_a_cell_cut_in_two_by_a_better_one_keeps_its_larger_piece(tmp_path: Path) -> None:
    boxes = {0: [(5, 15, 84, 114, 0.6, 1)], 80: [(2, 28, 98, 106, 0.9, 1), (30, 33, 99, 103, 0.4, 1)]}
    boxes[0].append((29, 34, 95, 103, 0.5, 1))
    labels, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored(boxes))
    # of the first the left 14 columns stay (the right 8 are lost); the last twin lies within its better one
    assert [np.count_nonzero(labels == i) for i in (1, 2, 3)] == [26 * 8, 10 * 14, 40]
    assert found.record["n_cells"] == 3 and not found.seam_joined.any()


def test_a_cell_that_each_window_takes_for_the_others_is_found_once(tmp_path: Path) -> None:
    # the cores meet at column 100: each sees the middle on the other's side
    boxes = {0: [(5, 15, 94, 108, 0.6, 1)], 80: [(5, 15, 92, 106, 0.7, 2)]}
    labels, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored(boxes))
    assert np.count_nonzero(labels[5:15, 92:106]) == np.count_nonzero(labels) == 140
    assert found.scores.tolist() == pytest.approx([0.7])


def test_a_piece_that_nobody_continues_is_kept_and_counted(tmp_path: Path) -> None:
    labels, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored({0: [(5, 25, 30, 120, 0.9, 1)]}))
    assert np.count_nonzero(labels) == 20 * 90
    assert found.record["n_seam_cut"] == 1 and found.record["n_seam_joined"] == 0


def test_a_fragment_that_the_next_window_sees_whole_is_none(tmp_path: Path) -> None:
    boxes = {0: [(5, 25, 110, 120, 0.99, 1)], 80: [(5, 25, 110, 132, 0.5, 1)]}
    labels, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored(boxes))
    assert np.count_nonzero(labels) == 20 * 22 and found.record["n_cells"] == 1
    # and if it sees nothing there, there is nothing: it is the one that knows
    _, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path / "b", Scored({0: [(5, 25, 110, 120, 0.99, 1)]}))
    assert found.record["n_cells"] == 0


@pytest.mark.parametrize(("score", "n_cells"), [(0.5, 1), (0.95, 2)])
def test_what_lies_in_a_giant_is_of_it_unless_it_is_more_certain(tmp_path: Path, score: float, n_cells: int) -> None:
    boxes = {0: [(5, 25, 30, 120, 0.9, 1)], 80: [(5, 25, 80, 150, 0.8, 1), (20, 28, 100, 108, score, 2)]}
    labels, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored(boxes))
    assert np.bincount(labels.ravel())[1:].tolist() == [20 * 120 - 40 * (n_cells - 1), 64][:n_cells]
    assert found.seam_joined.tolist() == [True, False][:n_cells]
    assert found.scores.tolist() == pytest.approx([0.9, score][:n_cells])


def test_windows_that_hardly_overlap_are_refused(tmp_path: Path) -> None:
    for window_px, overlap_px in ((100, 40), (100, 15)):
        with pytest.raises(ConfigError, match=f"windows of {window_px} px that overlap by {overlap_px} px"):
            find(np.zeros((40, 40, 1), np.uint8), tmp_path, cut_by(window_px, overlap_px))


def test_faults_of_a_segmenter(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 1), np.uint8)

    def broken(pixels: np.ndarray, mpp: float) -> np.ndarray:
        raise ValueError("no\nluck")

    with pytest.raises(ModelError, match=r"segmenter function failed \(ValueError: no luck\); it is not part of"):
        find(pixels, tmp_path, cut_by(128, 40, broken), foreign=True)
    with pytest.raises(ValueError, match="no\nluck"):
        find(pixels, tmp_path, cut_by(128, 40, broken))
    for wrong in (np.zeros((3, 3), int), np.zeros((40, 40)), np.full((40, 40), -1)):
        with pytest.raises(LabelError, match="expected whole numbers of that shape"):
            find(pixels, tmp_path, cut_by(128, 40, lambda pixels, mpp, wrong=wrong: wrong))
    with pytest.raises(CellsegError, match="one score and class an id"):
        TileCells(np.ones((2, 2), np.uint32), np.zeros(0, np.float32), np.zeros(0, np.uint8))


def test_windows_of_a_first_look_lie_in_tissue() -> None:
    blocks = np.zeros((40, 60), bool)
    blocks[10:30, 20:50] = True
    windows = spread_windows(TissueMask(blocks, 16), 40 * 16, 60 * 16, 128)
    assert len(windows) == 6
    for window in windows:
        assert (window.height, window.width) == (128, 128)
        assert blocks[(window.y0 + 64) // 16, (window.x0 + 64) // 16]
    assert spread_windows(TissueMask(blocks, 16), 640, 960, 5000) == [Window(0, 640, 0, 960)]
    assert spread_windows(TissueMask(~np.ones((4, 4), bool), 16), 64, 64, 32) == []


def test_found_cells_without_scores() -> None:
    found = FoundCells.unscored(np.arange(4, dtype=np.uint32), 3, {}, np.zeros(0, np.int64))
    assert np.isnan(found.scores).all() and not found.seam_joined.any() and len(found.classes) == 3
    assert_same_labels(largest_pieces(np.eye(3, dtype=np.uint32)).labels, np.eye(3, dtype=np.uint32))


def test_a_doubtful_cell_off_its_window_s_core_needs_another_that_sees_it(tmp_path: Path) -> None:
    # its middle, column 101, is the second window's, which sees nothing there: there is nothing
    _, found = find(np.zeros((40, 280, 1), np.uint8), tmp_path, Scored({0: [(5, 15, 96, 107, 0.6, 1)]}))
    assert found.record["n_cells"] == 0


class InBatches:
    """`cut_by` for a device that takes three windows at once."""

    batch_size = 3

    def __init__(self) -> None:
        self._one = cut_by(128, 40)
        self.method, self.classes = self._one.method, self._one.classes
        self.window_px, self.overlap_px = self._one.window_px, self._one.overlap_px
        self.find_cells, self.record = self._one.find_cells, self._one.record
        self.sizes: list[int] = []

    def find_many(self, read, windows: list[Window]) -> list[TileCells]:
        self.sizes.append(len(windows))
        return [self.find_cells(read, window) for window in windows]


def test_windows_by_batches_give_the_same_bytes(tmp_path: Path) -> None:
    truth, segmenter = discs((400, 500), seed=1), InBatches()
    find(painted(truth), tmp_path / "many", segmenter)
    find(painted(truth), tmp_path / "one", cut_by(128, 40))
    assert segmenter.sizes and set(segmenter.sizes) <= {2, 3}
    for name in ("labels.ome.tif", "instances.parquet"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
