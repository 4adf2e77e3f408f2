"""Windows half-open, y first; pixels and labels of the wrong kind are refused with what was found."""

import numpy as np
import pytest

from cellseg.errors import LabelError
from cellseg.types import Window, check_labels


def test_window_sides() -> None:
    window = Window(2, 5, 10, 14)
    assert (window.height, window.width) == (3, 4)


def test_grow_may_leave_the_image_and_clip_brings_it_back() -> None:
    grown = Window(0, 4, 6, 8).grow(2)
    assert grown == Window(-2, 6, 4, 10)
    assert grown.clip(5, 9) == Window(0, 5, 4, 9)


def test_inside_cuts_the_window_out_of_its_read_area() -> None:
    image = np.arange(80).reshape(8, 10)
    core, outer = Window(3, 5, 4, 9), Window(2, 7, 1, 10)
    read = image[outer.y0 : outer.y1, outer.x0 : outer.x1]
    assert np.array_equal(read[core.inside(outer)], image[3:5, 4:9])


@pytest.mark.parametrize(
    "labels", [np.zeros((4, 4), np.uint16), np.zeros((4, 4), np.int64), np.zeros((4, 4, 1), np.uint32)]
)
def test_labels_of_the_wrong_kind_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(LabelError, match="uint32") as error:
        check_labels(labels, "here")
    assert str(labels.dtype) in str(error.value)


def test_labels_of_the_right_kind_pass() -> None:
    check_labels(np.zeros((2, 3), np.uint32), "here")
