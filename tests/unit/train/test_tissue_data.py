"""Images with a class in every pixel: weights by hand, fair draws, crops whose classes stay with their pixels."""

import numpy as np
import pytest
from training import PLAIN, striped_tissue

from cellseg.errors import LabelError
from cellseg.segment.tissue_architecture import UNLABELLED
from cellseg.train.tissue_data import (
    TissueImage,
    cut_fields,
    draw_tissue_crop,
    median_frequency_weights,
    pixel_counts,
    sampling_weights,
)


def image(classes: np.ndarray, *, name: str = "a", case: str = "a") -> TissueImage:
    values = classes.astype(np.uint8)
    pixels = np.repeat((values * 60)[:, :, None], 3, axis=2)
    return TissueImage(name, pixels, values, "he", "he", case)


def test_median_frequency_weights_by_hand() -> None:
    # class 0 has 6 of the 8 pixels of the two images it is in, class 1 has 1 of 4, class 2 has 1 of 4, class 3 none
    counts = pixel_counts([image(np.array([[0, 0], [0, 1]])), image(np.array([[0, 0], [0, 2]]))], 4)
    assert counts.tolist() == [[3, 1, 0, 0], [3, 0, 1, 0]]
    assert median_frequency_weights(counts) == pytest.approx([0.25 / 0.75, 1, 1, 0])


def test_unlabelled_pixels_are_no_class() -> None:
    counts = pixel_counts([image(np.array([[0, UNLABELLED], [1, UNLABELLED]]))], 2)
    assert counts.tolist() == [[1, 1]]
    with pytest.raises(LabelError, match="no pixel has a class"):
        median_frequency_weights(pixel_counts([image(np.full((2, 2), UNLABELLED))], 2))


def test_rare_classes_and_small_cases_are_drawn_more_often_than_their_share() -> None:
    common = [image(np.array([[0, 1]]), name=f"c{i}", case=f"case{min(i, 1)}") for i in range(9)]
    rare = [image(np.array([[0, 2]]), name="r", case="other")]
    weights = sampling_weights(common + rare, 3)
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] == pytest.approx(1 / (1 + 9**0.5))
    # the one image of the first case against each of the eight of the second
    assert weights[0] / weights[1] == pytest.approx(8**0.5)


def test_images_without_classes_are_never_drawn() -> None:
    blank = image(np.full((1, 2), UNLABELLED))
    weights = sampling_weights([blank, image(np.array([[0, 1]])), image(np.array([[0, 0]]))], 2)
    assert weights[0] == 0 and (weights[1:] > 0).all() and weights.sum() == pytest.approx(1)


def test_classes_stay_with_their_pixels_in_a_crop() -> None:
    pixels, classes = striped_tissue(1)
    source = TissueImage("a", pixels, classes, "he", "he", "a")
    for seed in range(8):
        crop = draw_tissue_crop(source, 48, PLAIN, np.random.default_rng(seed))
        assert crop.pixels.shape == (48, 48, 3) and crop.classes.shape == (48, 48)
        dark = crop.pixels.mean(axis=2) < 0.6
        assert (dark == (crop.classes == 1)).mean() > 0.93


def test_crops_of_a_sparsely_labelled_image_show_a_label() -> None:
    classes = np.full((400, 400), UNLABELLED)
    classes[300:303, 20:23] = 1
    turned = PLAIN.model_copy(update={"rotation": "any", "scale_spread": 0.4})
    for seed in range(40):
        crop = draw_tissue_crop(image(classes), 48, turned, np.random.default_rng(seed))
        assert (crop.classes == 1).any()


def test_large_images_are_cut_and_parts_without_classes_left_out() -> None:
    classes = np.full((100, 40), UNLABELLED)
    classes[:30] = 1
    parts = cut_fields(image(classes), 25)
    assert sum(part.classes.size for part in parts) < classes.size
    assert sum((part.classes == 1).sum() for part in parts) == 30 * 40
    assert cut_fields(image(classes), 100) != [] and len(cut_fields(image(classes), 100)) == 1
