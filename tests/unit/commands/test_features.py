"""`cellseg features`: families and their columns listed, other tools' names beside ours, faults in one line."""

import subprocess
import sys
from typing import get_args

import pytest

from cellseg.columns.equivalents import TOOLS
from cellseg.measure_config import Family


def features(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "cellseg", "features", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_every_family_has_a_line_with_its_columns():
    lines = features("list").splitlines()
    listed = {line.split()[0]: line.split()[1] for line in lines[1:-1]}

    assert set(listed) == set(get_args(Family))
    assert all(int(count) > 0 for count in listed.values())
    assert listed["wdbc10"] == "10"


def test_a_family_tells_unit_meaning_formula_and_source():
    text = features("list", "--family", "haralick")

    assert "{compartment}_{plane}_haralick_contrast_d{distance}_mean [1]" in text
    assert "formula: sum (i - j)^2 p(i,j)" in text and "source: Haralick, Shanmugam, Dinstein 1973" in text


@pytest.mark.parametrize("tool", TOOLS)
def test_names_of_a_tool_stand_beside_ours(tool):
    text = features("compare", "--tool", tool)

    assert TOOLS[tool].title in text
    assert all(row.theirs in text for row in TOOLS[tool].rows)
    assert len(features("compare")) > len(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("list", "--family", "shap"), "--family shap"), (("compare", "--tool", "ilastik"), "--tool ilastik")],
)
def test_unknown_names_are_one_line_with_the_choice(arguments, said):
    error = features(*arguments, code=1)
    assert error.count("\n") == 1 and said in error and "choose one of" in error
