"""How the network's answer becomes a map: levels of groups, averages of a neighbourhood, factors of rare classes."""

import numpy as np
import pytest
from pydantic import ValidationError

from cellseg.errors import ModelError
from cellseg.segment.tissue_architecture import TissueArchitecture, context_px, parse_tissue_architecture

CLASSES = ("stroma", "a", "b", "c")
NESTED = TissueArchitecture(
    classes=CLASSES,
    levels=(
        {"stroma": ("stroma",), "gland": ("a", "b", "c")},
        {"stroma": ("stroma",), "benign": ("a", "b"), "tumor": ("c",)},
    ),
)


def pixel(*probabilities: float) -> np.ndarray:
    return np.array(probabilities, np.float32)[:, None, None]


@pytest.mark.parametrize(
    ("probabilities", "plain", "nested"),
    [
        ((0.4, 0.3, 0.2, 0.1), 0, 1),  # gland together is likelier than stroma
        ((0.1, 0.25, 0.3, 0.35), 3, 2),  # benign together is likelier than tumor
        ((0.6, 0.3, 0.05, 0.05), 0, 0),
        ((0.25, 0.25, 0.25, 0.25), 0, 1),
    ],
)
def test_the_likeliest_group_of_each_level_in_turn(probabilities: tuple[float, ...], plain: int, nested: int) -> None:
    assert TissueArchitecture(classes=CLASSES).decide(pixel(*probabilities)).item() == plain
    assert NESTED.decide(pixel(*probabilities)).item() == nested


def test_factors_decide_within_a_group_and_never_between_groups() -> None:
    weighed = NESTED.model_copy(update={"balance": {"b": 3.0}})
    assert NESTED.decide(pixel(0.1, 0.5, 0.3, 0.1)).item() == 1
    assert weighed.decide(pixel(0.1, 0.5, 0.3, 0.1)).item() == 2
    # tumor and stroma stay what they are, however much b is wanted
    assert weighed.decide(pixel(0.1, 0.1, 0.3, 0.5)).item() == 3
    assert weighed.decide(pixel(0.6, 0.0, 0.4, 0.0)).item() == 0


def test_averages_change_shares_within_a_group_and_not_the_group() -> None:
    smooth = NESTED.model_copy(update={"smooth_px": 16.0})
    rng = np.random.default_rng(0)
    values = rng.random((4, 256, 320)).astype(np.float32)
    values[1, :, :160] += 0.3
    values /= values.sum(axis=0)
    out = smooth.smooth(values)
    np.testing.assert_allclose(out[0], values[0])
    np.testing.assert_allclose(out[1:].sum(axis=0), values[1:].sum(axis=0), rtol=1e-4)
    share = out[1] / out[1:].sum(axis=0)
    assert share.std(axis=0).max() < 0.05 < share[:, :100].mean() - share[:, 220:].mean()
    assert np.array_equal(NESTED.smooth(values), values)


def test_averages_do_not_depend_on_the_window() -> None:
    smooth = NESTED.model_copy(update={"smooth_px": 16.0})
    values = np.random.default_rng(1).random((4, 512, 512)).astype(np.float32)
    whole, margin = smooth.smooth(values), smooth.margin_px
    assert margin % 32 == 0 and smooth.context_px == context_px() + margin
    part = smooth.smooth(values[:, 64:448, 96:480])
    inner = slice(margin, 384 - margin)
    np.testing.assert_allclose(part[:, inner, inner], whole[:, 64:448, 96:480][:, inner, inner], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"classes": ("a", "a")},
        {"classes": ("a",)},
        {"classes": ("a", "b"), "levels": ({"x": ("a",)},)},
        {"classes": ("a", "b", "c"), "levels": ({"x": ("a", "b"), "y": ("c",)}, {"p": ("a",), "q": ("b", "c")})},
        {"classes": ("a", "b"), "balance": {"c": 2.0}},
        {"classes": ("a", "b"), "balance": {"a": 0.0}},
        {"classes": ("a", "b"), "width": 0},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TissueArchitecture.model_validate(given)
    with pytest.raises(ModelError, match="w: its metadata describe no SegNet"):
        parse_tissue_architecture(dict(given), "w")
