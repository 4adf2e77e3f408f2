"""Stain vectors: published ones at right angles to their residual, and Macenko's against known mixtures."""

from __future__ import annotations

import numpy as np
import pytest
from fields import EOSIN, HEMATOXYLIN

from cellseg.preprocess.stain import estimate_background, macenko_vectors, ruifrok_vectors

WHITE = (255.0, 255.0, 255.0)


def _unit(vector: tuple[float, ...]) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


def _mixture(first: tuple[float, ...], second: tuple[float, ...], *, n: int = 20_000, seed: int = 0) -> np.ndarray:
    """Pixels (n, 3) uint8 by Beer and Lambert, a tenth of them pure in either dye."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.2, 0.9, (n, 2))
    amounts[: n // 10, 1] = 0
    amounts[n // 10 : n // 5, 0] = 0
    density = amounts[:, :1] * _unit(first) + amounts[:, 1:] * _unit(second)
    return np.clip(np.rint(256 * 10.0**-density - 1), 0, 255).astype(np.uint8)


def _angle_degrees(first: np.ndarray | tuple[float, ...], second: np.ndarray | tuple[float, ...]) -> float:
    return float(np.degrees(np.arccos(np.clip(_unit(tuple(first)) @ _unit(tuple(second)), -1, 1))))


@pytest.mark.parametrize(("stain", "dyes"), [("he", 2), ("hdab", 2), ("giemsa", 2), ("fluorescence", 0)])
def test_published_vectors_are_unit_and_can_be_inverted(stain: str, dyes: int) -> None:
    names, matrix = ruifrok_vectors(stain)
    if not dyes:
        assert (names, matrix) == ((), ())
        return
    rows = np.array(matrix)
    assert names[-1] == "residual"
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-6)  # six decimals
    assert np.allclose(rows[:2] @ rows[2], 0, atol=2e-6)


def test_hematoxylin_and_eosin_are_the_published_ones() -> None:
    names, matrix = ruifrok_vectors("he")
    assert names == ("hematoxylin", "eosin", "residual")
    assert np.allclose(matrix[0], _unit(HEMATOXYLIN), atol=1e-6)
    assert np.allclose(matrix[1], _unit(EOSIN), atol=1e-6)


# the published dyes, and dyes some way off them; those of the last lie the other way round in the plane
@pytest.mark.parametrize(
    ("hematoxylin", "eosin"),
    [
        (HEMATOXYLIN, EOSIN),
        ((0.55, 0.76, 0.35), (0.15, 0.95, 0.25)),
        ((0.75, 0.60, 0.27), (0.25, 0.93, 0.26)),
        ((0.76, 0.64, 0.10), (0.30, 0.88, 0.37)),
    ],
)
def test_macenko_recovers_the_vectors_of_a_mixture(hematoxylin: tuple[float, ...], eosin: tuple[float, ...]) -> None:
    # red of pale pure eosin would fall under the least density that all channels must show; a lower bound keeps it
    found = macenko_vectors(_mixture(hematoxylin, eosin), WHITE, "he", min_od=0.01, percentile=1.0)
    assert found is not None
    names, vectors = found
    assert names == ("hematoxylin", "eosin", "residual")
    # 8 bit: a level at 0.2 OD is 0.0027 OD, 0.8 degrees; the 1 % percentile lies within the pure tenth
    assert _angle_degrees(vectors[0], hematoxylin) < 2
    assert _angle_degrees(vectors[1], eosin) < 2


def test_macenko_names_the_dyes_of_hdab() -> None:
    dab = (0.268, 0.570, 0.776)
    found = macenko_vectors(_mixture(dab, HEMATOXYLIN), WHITE, "hdab", min_od=0.01, percentile=1.0)
    assert found is not None
    assert found[0][:2] == ("hematoxylin", "dab")
    assert _angle_degrees(found[1][0], HEMATOXYLIN) < 2
    assert _angle_degrees(found[1][1], dab) < 2


def test_macenko_names_the_dyes_of_giemsa() -> None:
    blue, eosin = (0.834750233, 0.513556283, 0.196330403), (0.092789, 0.954111, 0.283111)
    found = macenko_vectors(_mixture(eosin, blue), WHITE, "giemsa", min_od=0.01, percentile=1.0)
    assert found is not None
    assert found[0][:2] == ("methylene_blue", "eosin")
    assert _angle_degrees(found[1][0], blue) < 2
    assert _angle_degrees(found[1][1], eosin) < 2


def test_macenko_takes_glass_out() -> None:
    tinted = (240.0, 235.0, 228.0)
    pixels = _mixture(HEMATOXYLIN, EOSIN)
    pixels = np.clip(np.rint((pixels + 1.0) * (np.array(tinted) + 1) / 256 - 1), 0, 255).astype(np.uint8)
    found = macenko_vectors(pixels, tinted, "he", min_od=0.01, percentile=1.0)
    assert found is not None
    assert _angle_degrees(found[1][0], HEMATOXYLIN) < 2


def test_macenko_gives_up_on_too_few_stained_pixels_and_on_one_dye() -> None:
    few = _mixture(HEMATOXYLIN, EOSIN, n=900)
    glass = np.full((50_000, 3), 255, np.uint8)
    assert macenko_vectors(np.concatenate([few, glass]), WHITE, "he", min_od=0.01, percentile=1.0) is None
    black = np.zeros((5_000, 3), np.uint8)
    assert macenko_vectors(black, WHITE, "he", min_od=0.15, percentile=1.0) is None


def test_background_is_the_glass_that_is_seen() -> None:
    tissue = _mixture(HEMATOXYLIN, EOSIN, n=5_000)
    glass = np.tile(np.array([[241, 236, 229]], np.uint8), (500, 1))
    assert estimate_background(np.concatenate([tissue, glass]), 255) == ((241.0, 236.0, 229.0), True)


def test_without_glass_the_background_is_white() -> None:
    tissue = np.full((5_000, 3), 120, np.uint8)
    specks = np.full((49, 3), 250, np.uint8)  # under 1 %
    assert estimate_background(np.concatenate([tissue, specks]), 255) == (WHITE, False)
    assert estimate_background(tissue.astype(np.uint16), 65535) == ((65535.0,) * 3, False)
