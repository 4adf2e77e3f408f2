"""Figures of maps against a slow count by hand, and their edge cases."""

import numpy as np
import pytest

from cellseg.evaluate.semantic import add_scores, group_map, score_map, semantic_figures

NAMES = ("stroma", "gland", "rare")


def random_map(seed: int, shape: tuple[int, int] = (14, 17)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(np.repeat(rng.integers(0, 2, (7, 9)), 2, 0), 2, 1)[: shape[0], : shape[1]].astype(np.uint8)


def by_hand(truth: np.ndarray, found: np.ndarray, number: int, tolerance: float) -> tuple[float, float, float]:
    """Dice, IoU and boundary F1 of a class, pixel by pixel."""
    points: dict[str, list[tuple[int, int]]] = {"true": [], "found": []}
    both = either = total = 0
    for y, x in np.ndindex(truth.shape):
        if truth[y, x] == 255:
            continue
        a, b = truth[y, x] == number, found[y, x] == number
        both, either, total = both + (a and b), either + (a or b), total + int(a) + int(b)
        for key, values in (("true", truth), ("found", found)):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [(i, j) for i, j in around if 0 <= i < truth.shape[0] and 0 <= j < truth.shape[1]]
            if values[y, x] == number and any(values[i, j] != number for i, j in inside):
                points[key].append((y, x))

    def share(of: str, near: str) -> float:
        hits = [any(np.hypot(y - i, x - j) <= tolerance for i, j in points[near]) for y, x in points[of]]
        return float(np.mean(hits)) if hits else float("nan")

    precision, recall = share("found", "true"), share("true", "found")
    return 2 * both / total, both / either, 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.5, 2.4])
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_counted_by_hand(seed: int, tolerance: float) -> None:
    truth, found = random_map(seed), random_map(seed + 50)
    truth[:3, :4] = 255
    figures = semantic_figures(score_map(truth, found, 2, tolerance_px=tolerance), NAMES[:2])
    for number, name in enumerate(NAMES[:2]):
        expected = by_hand(truth, found, number, tolerance)
        assert [figures[f"{key} {name}"] for key in ("dice", "iou", "boundary_f1")] == pytest.approx(expected)
    known = truth != 255
    assert figures["pixel_accuracy"] == pytest.approx((truth == found)[known].mean())
    assert figures["mean_dice"] == pytest.approx(np.mean([figures["dice stroma"], figures["dice gland"]]))


def test_a_perfect_map() -> None:
    truth = random_map(1)
    figures = semantic_figures(score_map(truth, truth, 3, tolerance_px=1), NAMES)
    assert figures["mean_dice"] == figures["mean_iou"] == figures["mean_boundary_f1"] == figures["pixel_accuracy"] == 1
    # nobody has the third class: it is unknown, and no part of the means
    assert np.isnan(figures["dice rare"])


def test_a_class_that_is_invented_scores_nothing_and_one_without_a_class_is_wrong() -> None:
    truth = np.zeros((6, 6), np.uint8)
    found = truth.copy()
    found[:, :2], found[0, 5] = 2, 255
    score = score_map(truth, found, 3, tolerance_px=1)
    assert score.confusion.tolist() == [[23, 0, 12, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    figures = semantic_figures(score, NAMES)
    assert figures["dice rare"] == 0 and figures["boundary_f1 rare"] == 0
    assert figures["mean_dice"] == figures["dice stroma"] == pytest.approx(2 * 23 / (36 + 23))


def test_scores_add_up_over_strips_with_their_surroundings() -> None:
    truth, found = (np.kron(random_map(seed), np.ones((3, 3), np.uint8)) for seed in (1, 2))
    whole = score_map(truth, found, 2, tolerance_px=2.0)
    parts = []
    for y0 in range(0, 42, 10):
        y1, low, high = min(y0 + 10, 42), max(y0 - 4, 0), min(y0 + 14, 42)
        core = (slice(y0 - low, y1 - low), slice(None))
        parts.append(score_map(truth[low:high], found[low:high], 2, tolerance_px=2.0, core=core))
    together = add_scores(parts)
    assert np.array_equal(together.confusion, whole.confusion) and np.array_equal(together.boundary, whole.boundary)


def test_groups_take_their_members() -> None:
    values = np.array([[0, 1, 2, 255]], np.uint8)
    assert group_map(values, NAMES, {"all": ("rare", "stroma")}).tolist() == [[0, 255, 0, 255]]
