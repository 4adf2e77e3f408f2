"""Pictures of figures of verdicts: for any number of groups, bins and classes, the same for the same figures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cellseg.report.verdict_plots import (
    BinnedShares,
    ClassDot,
    GroupValues,
    RankCurve,
    plot_calibration,
    plot_classes,
    plot_rank_curves,
    plot_values,
)

NAN = float("nan")


def picture(draw) -> np.ndarray:
    one, two = draw(), draw()
    assert one == two
    pixels = cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.std() > 5
    return pixels


def curve(name: str, figure: float) -> RankCurve:
    x = np.linspace(0, 1, 30)
    return RankCurve(name, x, x**0.2, figure) if figure == figure else RankCurve(name, x[:0], x[:0], figure)


@pytest.mark.parametrize("figures", [[], [0.9], [0.9, 0.8, NAN], [0.8] * 30, [NAN]])
def test_curves(figures: list[float]) -> None:
    curves = [curve(f"group $_{at}", figure) for at, figure in enumerate(figures)]
    picture(lambda: plot_rank_curves(curves, curves, title="slides"))


def test_the_whole_is_drawn_in_ink() -> None:
    dark = (picture(lambda: plot_rank_curves([curve("all", 0.9)], [], title="")) < 60).all(axis=2).sum()
    none = (picture(lambda: plot_rank_curves([], [], title="")) < 60).all(axis=2).sum()
    assert dark > none + 1000


def bins(k: int) -> BinnedShares:
    edges, share, n = np.linspace(0, 1, k + 1), np.linspace(0.1, 0.9, k), np.arange(1, k + 1)
    return BinnedShares(
        edges[:-1], edges[1:], (edges[:-1] + edges[1:]) / 2, share, share - 0.05, np.append(share[1:] + 0.05, NAN)[:k],
        n, 2 * n,
    )  # fmt: skip


@pytest.mark.parametrize("k", [0, 1, 10])
def test_calibration(k: int) -> None:
    picture(lambda: plot_calibration(bins(k), error=0.1, brier=NAN, over="groups", title="slides"))


@pytest.mark.parametrize("n", [0, 1, 12])
def test_classes(n: int) -> None:
    dots = [ClassDot(f"class {k}", k > 0, k, k % 3 == 1, (0.5, 0.4, 0.6), (NAN, NAN, NAN)) for k in range(n)]
    picture(lambda: plot_classes(dots, bounds=(0.7, 0.8), title="slides"))


def test_weak_classes_stand_out() -> None:
    def orange(weak: bool) -> int:
        dot = ClassDot("burr", abnormal=True, n_cells=9, weak=weak, called_right=(0.5, 0.4, 0.6), auroc=(0.7, NAN, NAN))
        pixels = picture(lambda: plot_classes([dot], bounds=(0.7, 0.8), title="")).astype(int)
        return int((pixels[..., 2] - pixels[..., 0] > 150).sum())

    assert orange(weak=False) == 0
    assert orange(weak=True) > 100


@pytest.mark.parametrize(("n", "decision"), [(0, 0.5), (1, None), (9, 0.5), (44, None)])
def test_values(n: int, decision: float | None) -> None:
    rng = np.random.default_rng(0)
    groups = [GroupValues(f"slide {k}", rng.random(k), rng.random(30) * 2, "a text") for k in range(n)]
    picture(lambda: plot_values(groups, what="score", limits=(0.0, 1.0), decision=decision, title="slides"))
