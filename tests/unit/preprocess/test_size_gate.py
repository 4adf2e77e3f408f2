"""Who speaks of a pixel size and who disagrees; what the size of cells says of it."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cellseg.input_config import PixelSizeSettings
from cellseg.preprocess.size_gate import choose_size, judge_cells, likely_size, middle_diameter_px
from cellseg.types import PixelSize

STOP = PixelSizeSettings()
FILE, SHEET = PixelSize(0.25, "OME-XML"), PixelSize(0.5, "sheet")
HE = (6.0, 8.0)


def disc_px(diameter_px: float, n: int = 200) -> np.ndarray:
    return np.full(n, round(np.pi / 4 * diameter_px**2), np.int64)


def test_one_voice_is_taken() -> None:
    choice = choose_size(stated=FILE, given=None, power=None, settings=STOP)
    assert (choice.size, choice.decision, choice.disagreement, choice.said) == (FILE, "alone", 1.0, None)
    with pytest.raises(ValueError, match="neither"):
        choose_size(stated=None, given=None, power=40, settings=STOP)


@pytest.mark.parametrize("action", ["stop", "rescale", "note"])
def test_sheet_and_file_that_differ_twice_are_acted_on(action: str) -> None:
    choice = choose_size(stated=FILE, given=SHEET, power=None, settings=PixelSizeSettings(action=action))
    assert (choice.size, choice.decision, choice.disagreement) == (SHEET, action, 2.0)
    assert choice.said == "0.5 (sheet), 0.25 (OME-XML) um per pixel differ 2 times"


def test_what_differs_less_than_is_allowed_agrees() -> None:
    near = choose_size(stated=FILE, given=PixelSize(0.37, "sheet"), power=None, settings=STOP)
    assert near.decision == "agree" and near.disagreement == pytest.approx(1.48)
    wide = choose_size(stated=FILE, given=SHEET, power=None, settings=PixelSizeSettings(max_disagreement=2.0))
    assert wide.decision == "agree"


@pytest.mark.parametrize(("mpp", "power"), [(0.25, 40), (0.5, 20), (0.499, 20), (0.2265, 40), (0.2339, 20), (0.22, 20)])
def test_no_scanner_is_stopped_by_its_own_objective(mpp: float, power: float) -> None:
    assert choose_size(stated=PixelSize(mpp, "f"), given=None, power=power, settings=STOP).decision == "agree"


@pytest.mark.parametrize(("mpp", "power"), [(0.5, 40), (1.0, 20), (0.1, 20), (0.25, 5)])
def test_an_objective_speaks_against_what_it_cannot_see(mpp: float, power: float) -> None:
    alone = choose_size(stated=PixelSize(mpp, "f"), given=None, power=power, settings=STOP)
    assert alone.decision == "stop"
    assert f"{10 / power:g} (objective power {power:g}x)" in (alone.said or "")
    both = choose_size(stated=PixelSize(mpp, "f"), given=PixelSize(mpp, "s"), power=power, settings=STOP)
    assert both.decision == "outvoted" and both.said


def test_the_record_names_every_voice() -> None:
    record = choose_size(stated=FILE, given=SHEET, power=20, settings=STOP).record(STOP)
    assert record["said"] == [
        {"source": "sheet", "mpp": 0.5}, {"source": "OME-XML", "mpp": 0.25},
        {"source": "objective power 20x", "mpp": 0.5},
    ]  # fmt: skip
    assert (record["mpp"], record["decision"], record["max_disagreement"]) == (0.5, "stop", 1.5)


def test_middle_diameter_passes_over_specks_and_clumps() -> None:
    cells, specks, clump = disc_px(20, 100), disc_px(2, 300), disc_px(400, 1)
    assert middle_diameter_px(np.concatenate([cells, specks, clump])) == pytest.approx(20, rel=0.01)
    assert middle_diameter_px(np.zeros(0, np.int64)) is None


def judge(diameter_px: float, mpp: float, *, action: str = "stop", n: int = 200, said=(), usual=HE):
    settings = PixelSizeSettings(action=action)
    return judge_cells(
        disc_px(diameter_px, n), PixelSize(mpp, "said"), usual_um=usual, cells="stain he", said=said, settings=settings
    )


def test_cells_of_usual_size_agree() -> None:
    seen = judge(28, 0.25)
    assert (seen.decision, seen.why, seen.disagreement) == ("agree", None, 1.0)
    assert judge(17, 0.25).decision == "agree"  # 4.25 um: smaller than usual, by less than is allowed


@pytest.mark.parametrize("action", ["stop", "rescale", "note"])
@pytest.mark.parametrize(("mpp", "likely"), [(0.125, 0.25), (0.5, 0.25), (1.0, 0.25), (0.0625, 0.25)])
def test_cells_of_another_size_are_acted_on(action: str, mpp: float, likely: float) -> None:
    seen = judge(28, mpp, action=action)
    assert seen.decision == action and seen.likely is not None
    assert seen.likely.mpp == likely
    now = (f"{28 * mpp:.3g} um across", f"{mpp:g} um per pixel (said)")
    for words in (*now, "6 to 8 um", "7 um at 0.25 um per pixel"):
        assert words in (seen.why or "")


def test_few_cells_and_unknown_ones_are_not_judged() -> None:
    assert (judge(28, 1.0, n=99).decision, judge(28, 1.0, n=99).why) == ("not judged", "fewer than 100 cells")
    assert judge(28, 1.0, usual=None).decision == "not judged"
    empty = judge_cells(np.zeros(0, np.int64), FILE, usual_um=HE, cells="stain he", settings=STOP)
    assert (empty.decision, empty.record()["diameter_um"]) == ("not judged", None)


def test_the_likely_size_is_one_that_somebody_says() -> None:
    said = [PixelSize(0.2339, "OME-XML")]
    assert likely_size(14.0, PixelSize(0.5, "sheet"), HE, said) == said[0]
    assert likely_size(14.0, PixelSize(0.5, "sheet"), HE, []).mpp == 0.25
    assert likely_size(7.0, PixelSize(0.5, "sheet"), HE, said).mpp == 0.5
    # by thresholding, H&E declared four times too large: 15.1 um, where the nearest usual figure is 1
    said = [PixelSize(2.0, "sheet"), PixelSize(0.499, "file")]
    assert likely_size(15.1, said[0], HE, said) == said[1]
    assert likely_size(15.1, said[0], HE, said[:1]).mpp == 1.0
    assert likely_size(15.1, said[0], HE, [PixelSize(0.06, "far off")]).mpp == 1.0


def test_ranges_rise() -> None:
    with pytest.raises(ValidationError, match=r"cell_diameter_um\.he"):
        PixelSizeSettings(cell_diameter_um={"he": (8.0, 6.0)})
    with pytest.raises(ValidationError, match="objective_um"):
        PixelSizeSettings(objective_um=(11.0, 10.0))
    with pytest.raises(ValidationError):
        PixelSizeSettings(max_disagreement=1.0)
