"""Masks drawn into a label image: against a slow reading of the same rule, against torchvision, and by hand."""

from __future__ import annotations

import fields
import numpy as np
import pytest
from asserts import assert_same_labels
from scipy import ndimage

from cellseg.segment.paste import paste_masks

GRID = 28


def _objects(seed: int, n: int = 40, side: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth random masks, about half of each box, in boxes that overlap and leave the image."""
    rng = np.random.default_rng(seed)
    masks = ndimage.gaussian_filter(rng.standard_normal((n, GRID, GRID)), (0, 4, 4))
    masks = 1 / (1 + np.exp(-masks / masks.std() - 0.3))
    middle, size = rng.uniform(-5, side + 5, (n, 2)), rng.uniform(1, 60, (n, 2))
    boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return masks.astype(np.float32), boxes, rng.uniform(0.3, 1, n).astype(np.float32).round(1)


def _slowly(masks: np.ndarray, boxes: np.ndarray, scores: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The rule, one object at a time over the whole image."""
    labels = np.zeros(shape, np.uint32)
    order = sorted(range(len(scores)), key=lambda k: (-scores[k], *boxes[k, [1, 0, 3, 2]]))
    number = 0
    for k in order:
        x0, y0, x1, y1 = boxes[k]
        y, x = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
        at = np.meshgrid((y - y0) / (y1 - y0) * GRID - 0.5, (x - x0) / (x1 - x0) * GRID - 0.5, indexing="ij")
        on = ndimage.map_coordinates(masks[k].astype(float), at, order=1, mode="nearest") > 0.5
        on &= ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None]
        free = on & (labels == 0)
        if not free.any() or free.sum() < 0.5 * on.sum():
            continue
        pieces, _ = ndimage.label(free, np.ones((3, 3)))
        number += 1
        labels[pieces == np.bincount(pieces.ravel())[1:].argmax() + 1] = number
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_against_the_slow_reading(seed: int) -> None:
    objects = _objects(seed)
    labels, drawn = paste_masks(*objects, (120, 160))
    assert labels.max() == len(drawn) > 10
    assert_same_labels(_slowly(*objects, (120, 160)), labels)
    assert (np.diff(objects[2][drawn]) <= 0).all()
    for number in range(1, len(drawn) + 1):
        assert ndimage.label(labels == number, np.ones((3, 3)))[1] == 1


def test_the_order_of_what_was_found_is_no_matter() -> None:
    masks, boxes, scores = _objects(9)
    turned = np.random.default_rng(0).permutation(len(scores))
    assert len(np.unique(scores)) < len(scores), "ties are what is tested"
    first = paste_masks(masks, boxes, scores, (160, 160))[0]
    assert np.array_equal(first, paste_masks(masks[turned], boxes[turned], scores[turned], (160, 160))[0])


@pytest.mark.parametrize("size", [10, 20, 28, 60])
def test_against_torchvision(size: int) -> None:
    """torchvision moves boxes to whole pixels and fades masks out beyond them: outlines differ by a pixel at most."""
    torch = pytest.importorskip("torch")
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    rng = np.random.default_rng(size)
    y, x = np.mgrid[:GRID, :GRID] + 0.5
    mask = 1 / (1 + np.exp(0.8 * (np.hypot((y - 14), (x - 14)) - 12)))
    for _ in range(10):
        corner = rng.uniform(5, 30, 2)
        box = np.array([*corner, *(corner + size * rng.uniform(0.8, 1.2, 2))])[None]
        ours = paste_masks(mask[None].astype(np.float32), box, np.ones(1, np.float32), (110, 110))[0] > 0
        theirs = paste_masks_in_image(
            torch.tensor(mask[None, None], dtype=torch.float32), torch.tensor(box, dtype=torch.float32), (110, 110)
        )[0, 0].numpy() > 0.5  # fmt: skip
        box_3 = np.ones((3, 3), bool)
        assert not (ours & ~ndimage.binary_dilation(theirs, box_3)).any()
        assert not (theirs & ~ndimage.binary_dilation(ours, box_3)).any()


def test_discs_come_back() -> None:
    """Masks made from known discs by averaging over their boxes give the discs again, but for rounding at the rim."""
    truth = fields.discs((128, 128), radius_px=12.0, spacing_px=40)
    masks, boxes = [], []
    for rows, columns in ndimage.find_objects(truth):
        box = [columns.start, rows.start, columns.stop, rows.stop]
        grid = np.meshgrid(
            *((np.arange(GRID) + 0.5) / GRID * (s.stop - s.start) - 0.5 for s in (rows, columns)), indexing="ij"
        )
        inside = (truth[rows, columns] == truth[rows, columns][12, 12]).astype(float)
        masks.append(ndimage.map_coordinates(inside, grid, order=1, mode="nearest"))
        boxes.append(box)
    labels, drawn = paste_masks(
        np.array(masks, np.float32), np.array(boxes), np.ones(len(boxes), np.float32), truth.shape
    )
    assert len(drawn) == truth.max()
    assert ((labels > 0) & (truth > 0)).sum() / ((labels > 0) | (truth > 0)).sum() > 0.97


def test_what_is_mostly_covered_is_not_drawn_again() -> None:
    masks = np.ones((3, GRID, GRID), np.float32)
    boxes = np.array([[0, 0, 10, 10], [0, 4, 10, 18], [0, 9, 10, 19]], float)
    labels, drawn = paste_masks(masks, boxes, np.array([0.9, 0.8, 0.7], np.float32), (20, 20))
    assert drawn.tolist() == [0, 1]  # 8 of the second's 14 rows are free, 1 of the third's 10
    assert (labels == 1).sum() == 100 and (labels == 2).sum() == 80


def test_nothing_and_outside() -> None:
    nothing = paste_masks(np.zeros((0, GRID, GRID), np.float32), np.zeros((0, 4)), np.zeros(0, np.float32), (5, 7))
    assert nothing[0].shape == (5, 7) and not nothing[0].any() and len(nothing[1]) == 0
    masks, scores = np.ones((4, GRID, GRID), np.float32), np.ones(4, np.float32)
    boxes = np.array([[-9, -9, -1, -1], [50, 50, 60, 60], [3, 3, 3, 8], [2.6, 2.6, 3.4, 3.4]])
    labels, drawn = paste_masks(masks, boxes, scores, (5, 7))
    assert not labels.any() and len(drawn) == 0  # the last is off the middle of any pixel


def test_specks_are_not_drawn() -> None:
    masks = np.ones((2, 4, 4), np.float32)
    boxes = np.array([[0, 0, 3, 3], [10, 10, 20, 20.0]])
    labels, drawn = paste_masks(masks, boxes, np.array([0.9, 0.8], np.float32), (30, 30), min_area_px=10.0)
    assert drawn.tolist() == [1] and np.count_nonzero(labels) == 100
