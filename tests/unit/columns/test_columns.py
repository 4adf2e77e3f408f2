"""Names of columns: what they are made of, how they are found again, and what is said of them."""

import re

import pytest

from cellseg.columns import COLUMNS, columns_of, find_column, find_measured, full_name, written_name
from cellseg.columns.families import ABOUT
from cellseg.errors import TableError


def test_a_name_carries_compartment_plane_and_unit():
    column = find_column("cytoplasm_od_eosin_q95")

    assert (column.unit, column.family, column.per) == ("OD", "intensity", "plane")
    assert column.meaning.startswith("cytoplasm, od_eosin: ")
    assert find_column("nucleus_intensity_alexa_488_mean").unit == "gray level"
    assert find_column("density_2p5um_per_mm2").unit == "1/mm2"


def test_the_longest_name_is_found_where_two_would_do():
    assert find_column("nucleus_intensity_gray_mean").meaning.startswith("nucleus, intensity_gray: mean")
    for column in COLUMNS:
        if column.per == "plane" and "{" not in column.name:
            assert find_column(f"cell_od_dab_{column.name}").formula == column.formula, column.name


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(TableError, match="nucleus_aera_um2"):
        find_column("nucleus_aera_um2")
    with pytest.raises(TableError, match="no column is called 'area_um2'"):
        find_column("area_um2")


def test_settings_may_leave_out_what_was_outlined():
    assert full_name("area_um2", ["cell_area_um2", "nucleus_area_um2"]) == "nucleus_area_um2"
    assert full_name("area_um2", ["cell_area_um2"]) == "cell_area_um2"
    assert full_name("cell_area_um2", ["cell_area_um2", "nucleus_area_um2"]) == "cell_area_um2"
    assert full_name("aera_um2", ["cell_area_um2"]) == "aera_um2"
    assert find_measured("solidity").name == "nucleus_solidity"
    assert find_measured("score").name == "score"


def test_tables_are_laid_out_compartment_by_compartment():
    columns = columns_of(
        ["identity", "focus"],
        compartments={"nucleus": ["shape", "intensity"], "cytoplasm": ["intensity"]},
        planes={"intensity": ["od_dab", "intensity_gray"]},
    )
    names = [column.name for column in columns]

    assert names[:3] == ["sample", "cell_id", "nucleus_n_pixels"] and names[-1] == "edge_sharpness_per_um"
    assert names.index("nucleus_od_dab_max") + 1 == names.index("nucleus_intensity_gray_mean")
    assert names.index("nucleus_intensity_gray_max") + 1 == names.index("cytoplasm_od_dab_mean")
    assert "cytoplasm_area_um2" not in names


def test_every_column_is_defined_once_and_says_what_it_is():
    names = [written_name(column) for column in COLUMNS]
    assert len(names) == len(set(names))
    for column in COLUMNS:
        assert column.meaning and column.meaning[0] != " ", column.name
        if column.family in ABOUT and column.name not in ("n_pixels",):
            assert column.formula, f"{column.name} has no formula"
        if column.dtype == "float64" and not re.search("count|number of", f"{column.name} {column.meaning}"):
            assert column.unit, f"{column.name} has no unit"


@pytest.mark.parametrize("column", [c for c in COLUMNS if c.family in ABOUT], ids=written_name)
def test_the_unit_is_in_the_name(column):
    named = {"um": "um", "um2": "um2", "rad": "rad", "1/um": "per_um", "px": "px", "1/mm2": "per_mm2", "bit": "bits"}
    powers = re.fullmatch(r"um(\d+)", column.unit)
    if powers or column.unit in named:
        word = column.unit if powers else named[column.unit]
        counted = re.search("n_pixels|maxima|minima", column.name)  # pixels counted, no length
        assert word in column.name or counted, f"{column.name} is in {column.unit}"
