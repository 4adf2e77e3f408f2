"""The curves of a training: a picture for any number of steps, the same for the same figures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cellseg.report.curves import _thinned, plot_curves


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_curves_are_a_picture_that_repeats(n: int) -> None:
    steps = np.arange(n, dtype=float)
    losses, scores = {"loss": (steps, 1 / (steps + 1))}, {"score": (steps[::100], np.full(steps[::100].shape, np.nan))}
    one, two = (plot_curves(losses, scores, title="w", best_step=n) for _ in range(2))
    assert one == two
    assert cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR).std() > 5


def test_many_steps_are_shown_as_means() -> None:
    steps, values = _thinned((np.arange(1000.0), np.arange(1000.0) * 2))
    assert (len(steps), steps[0], values[0], values[-1]) == (200, 2.0, 4.0, 1994.0)
