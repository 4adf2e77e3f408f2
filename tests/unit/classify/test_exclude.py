"""Which cells can be judged: each flag from a hand-made table, its bound, its words, and what it needs."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from cellseg.classify.exclude import (
    assess_cells,
    check_exclusion,
    clump_column,
    exclusion_columns,
    find_excluded,
    median_area,
)
from cellseg.classify_config import ExcludeSettings
from cellseg.errors import ConfigError

NAN = float("nan")
SOUND = {
    "touches_border": False, "seam_joined": False, "cell_area_um2": 50.0, "edge_sharpness_per_um": 0.1,
    "saturated_fraction": 0.0, "cell_touching_share": 0.0, "cell_concavity_count": 0.0,
    "cell_concavity_depth_mean_um": 0.0, "cell_concavity_depth_max_um": 0.0, "cell_radius_mean_um": 4.0,
}  # fmt: skip
FLAGS = ("touches_border", "seam_joined", "out_of_focus", "overlapping", "saturated", "too_small")
ALL_ON = ExcludeSettings(seam=True, max_overlap_fraction=0.5)
# two notches of 1 and 0.6 um in a cell of 4 um: 0.6 / 4 = 0.15
CLUMP = {
    "cell_area_um2": 90.0, "cell_concavity_count": 2.0, "cell_concavity_depth_mean_um": 0.8,
    "cell_concavity_depth_max_um": 1.0,
}  # fmt: skip


def cells(*rows):
    """A table of sound red cells, each with what the row says in their place."""
    return pa.table({name: pa.array([(SOUND | row)[name] for row in rows]) for name in SOUND})


def assess(*rows, settings=ALL_ON, sharpness=0.1, area_um2=50.0):
    return assess_cells(cells(*rows), settings, sharpness=sharpness, area_um2=area_um2)


def flagged(assessment):
    """The flags that are set, cell by cell."""
    return [{name for name in FLAGS if getattr(assessment, name)[at]} for at in range(len(assessment.assessable))]


def texts(table, settings=ALL_ON, *, sharpness=0.1, area_um2=50.0):
    out = [[] for _ in range(table.num_rows)]
    for finding in find_excluded(table, settings, sharpness=sharpness, area_um2=area_um2):
        assert finding.status == "excluded"
        words = [finding.texts] * finding.rows.size if isinstance(finding.texts, str) else finding.texts
        for row, text in zip(finding.rows, words, strict=True):
            out[row].append(text)
    return out


CASES = [
    ("touches_border", {"touches_border": True}, "cut by the image border"),
    ("seam_joined", {"seam_joined": True}, "joined from pieces at a seam"),
    (
        "out_of_focus", {"edge_sharpness_per_um": 0.029},
        "out of focus: edge_sharpness_per_um 0.029 under 30 % of the slide's median 0.1",
    ),
    (
        "overlapping", {"cell_touching_share": 0.6},
        "cell_touching_share 0.6 over 0.5 (overlaps other cells)",
    ),
    (
        "overlapping", CLUMP,
        "several cells: cell_area_um2 90 is 1.8 times the slide's median 50, over 1.5, with 2 notches",
    ),
    ("saturated", {"saturated_fraction": 0.4}, "saturated_fraction 0.4 over 0.25 (at the sensor's limit)"),
    ("too_small", {"cell_area_um2": 9.1}, "cell_area_um2 9.1 under 10 (too small to judge)"),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "row", "text"), CASES)
def test_each_flag_alone_with_its_words(flag, row, text):
    found = assess({}, row)
    assert flagged(found) == [set(), {flag}]
    assert found.assessable.tolist() == [True, False]
    assert texts(cells({}, row)) == [[], [text]]


def test_all_at_once_have_all_words():
    row = {k: v for _, one, _ in CASES for k, v in one.items()} | {"cell_area_um2": 90.0}
    assert flagged(assess(row)) == [set(FLAGS) - {"too_small"}]
    assert len(texts(cells(row))[0]) == 6


AT_THE_BOUND = [
    {"edge_sharpness_per_um": 0.03}, {"cell_touching_share": 0.5}, {"saturated_fraction": 0.25},
    {"cell_area_um2": 10.0}, CLUMP | {"cell_area_um2": 75.0}, CLUMP | {"cell_concavity_depth_mean_um": 0.6},
]  # fmt: skip


@pytest.mark.parametrize("row", AT_THE_BOUND)
def test_a_cell_at_the_bound_can_be_judged(row):
    settings = ALL_ON.model_copy(update={"min_focus_fraction": 0.25})
    # 0.25 * 0.12 is 0.03, and 0.05 * 4 is 0.2 in floats
    found = assess(row, settings=settings, sharpness=0.12)
    assert (flagged(found), found.assessable.tolist()) == ([set()], [True])


@pytest.mark.parametrize("name", [name for name in SOUND if isinstance(SOUND[name], float)])
def test_nan_excludes_nothing(name):
    assert flagged(assess({name: NAN})) == [set()]
    assert flagged(assess(CLUMP | {name: NAN}))[0] <= {"overlapping"}


def test_a_slide_without_medians_excludes_nothing_for_focus_and_clumps():
    row = CLUMP | {"edge_sharpness_per_um": 0.0}
    assert flagged(assess(row)) == [{"out_of_focus", "overlapping"}]
    assert flagged(assess(row, sharpness=NAN, area_um2=NAN)) == [set()]


class TestClumps:
    def test_one_notch_makes_none_however_deep(self):
        one = CLUMP | {"cell_concavity_count": 1.0, "cell_concavity_depth_mean_um": 1.0}
        assert flagged(assess(one)) == [set()]
        # a mean over the greatest, by rounding
        any_depth = ALL_ON.model_copy(update={"clump_notch_fraction": 0.0})
        assert flagged(assess(one | {"cell_concavity_depth_mean_um": 1.000001}, settings=any_depth)) == [set()]

    def test_the_deepest_notch_does_not_count(self):
        # (3 * 0.75 - 1.95) / 2 = 0.15 um and (3 * 0.75 - 1.75) / 2 = 0.25 um, of a radius of 4 um
        shallow = CLUMP | {
            "cell_concavity_count": 3.0, "cell_concavity_depth_mean_um": 0.75, "cell_concavity_depth_max_um": 1.95,
        }  # fmt: skip
        deep = shallow | {"cell_concavity_depth_max_um": 1.75}
        assert flagged(assess(shallow, deep)) == [set(), {"overlapping"}]

    def test_where_nuclei_were_outlined_none_is_looked_for(self):
        table = cells(CLUMP)
        table = table.rename_columns([name.replace("cell_", "nucleus_") for name in table.column_names])
        assert not assess_cells(table, ALL_ON, sharpness=0.1, area_um2=50.0).overlapping.any()
        assert clump_column(ALL_ON, table.column_names, "giemsa") == ""

    def test_for_stains_of_round_cells_and_families_that_have_it(self):
        assert clump_column(ALL_ON, SOUND, "giemsa") == "cell_area_um2"
        assert clump_column(ALL_ON, SOUND, "brightfield") == ""
        assert clump_column(ExcludeSettings(clump_area_ratio=0), SOUND, "giemsa") == ""
        assert clump_column(ALL_ON, ["cell_area_um2"], "giemsa") == ""

    def test_the_median_area_leaves_debris_out(self):
        assert median_area(np.array([1.0, 2.0, 3.0, 9.9, 10.0, 50.0, 60.0, NAN]), ALL_ON) == 50.0
        assert np.isnan(median_area(np.array([1.0, NAN]), ALL_ON))


class TestSettings:
    OFF = ExcludeSettings(
        border=False, min_area_um2=0, min_focus_fraction=0, max_saturated_fraction=1, clump_area_ratio=0
    )

    def test_off_excludes_nothing_and_asks_for_nothing(self):
        rows = [row for _, row, _ in CASES]
        found = assess(*rows, settings=self.OFF)
        assert found.assessable.all()
        assert texts(cells(*rows), self.OFF) == [[] for _ in rows]
        assert exclusion_columns(self.OFF, SOUND) == ()
        # what was measured is said all the same
        assert flagged(found)[:2] == [{"touches_border"}, {"seam_joined"}]

    def test_by_default_cells_joined_at_seams_and_touching_cells_are_judged(self):
        rows = [{"seam_joined": True}, {"cell_touching_share": 1.0}]
        found = assess(*rows, settings=ExcludeSettings())
        assert found.assessable.all() and found.seam_joined.tolist() == [True, False]
        assert not {"seam_joined", "cell_touching_share"} & set(exclusion_columns(ExcludeSettings(), SOUND))

    def test_columns_of_clumps_are_read_where_they_are(self):
        assert exclusion_columns(ALL_ON, SOUND) == (
            "touches_border", "seam_joined", "cell_area_um2", "edge_sharpness_per_um", "cell_touching_share",
            "saturated_fraction", "cell_concavity_count", "cell_concavity_depth_mean_um",
            "cell_concavity_depth_max_um", "cell_radius_mean_um",
        )  # fmt: skip
        assert exclusion_columns(ExcludeSettings(), ["cell_area_um2"]) == (
            "touches_border", "cell_area_um2", "edge_sharpness_per_um",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("column", "cure"),
        [
            ("touches_border", "border: false"),
            ("seam_joined", "seam: false"),
            ("cell_area_um2", "min_area_um2: 0"),
            ("edge_sharpness_per_um", "min_focus_fraction: 0"),
            ("cell_touching_share", "max_overlap_fraction: 1"),
        ],
    )
    def test_a_table_without_the_column_names_the_way_out(self, column, cure):
        names = [name for name in SOUND if name != column]
        with pytest.raises(ConfigError, match=f"slide A: no column .*classify.exclude.{cure}$"):
            check_exclusion(ALL_ON, names, "slide A")
        check_exclusion(ALL_ON, list(SOUND), "slide A")

    def test_what_is_looked_at_unasked_may_be_missing(self):
        names = [name for name in SOUND if "concavity" not in name and name != "saturated_fraction"]
        check_exclusion(ALL_ON, names, "slide A")
        assert not {"saturated_fraction", "cell_radius_mean_um"} & set(exclusion_columns(ALL_ON, names))

    def test_flags_of_what_was_not_measured_are_false(self):
        table = pa.table({"cell_id": pa.array([1, 2], pa.uint32())})
        found = assess_cells(table, ALL_ON, sharpness=0.1, area_um2=50.0)
        assert flagged(found) == [set(), set()] and found.assessable.all()
        assert find_excluded(table, ALL_ON, sharpness=0.1, area_um2=50.0) == []


def test_no_cells():
    found = assess(settings=ALL_ON)
    assert all(getattr(found, field.name).shape == (0,) for field in fields(found))
    assert all(getattr(found, field.name).dtype == np.bool_ for field in fields(found))


def test_findings_are_the_cells_that_are_not_assessable():
    rng = np.random.default_rng(8)
    rows = [
        {
            "touches_border": bool(rng.random() < 0.1), "cell_area_um2": float(rng.uniform(5, 120)),
            "edge_sharpness_per_um": float(rng.uniform(0, 0.2)), "saturated_fraction": float(rng.uniform(0, 0.3)),
            "cell_concavity_count": float(rng.integers(0, 4)), "cell_concavity_depth_mean_um": 0.8,
            "cell_concavity_depth_max_um": 1.0,
        }
        for _ in range(400)
    ]  # fmt: skip
    found = assess(*rows)
    excluded = np.array([bool(words) for words in texts(cells(*rows))])
    assert np.array_equal(excluded, ~found.assessable)
    assert all(getattr(found, name).any() for name in set(FLAGS) - {"seam_joined"}) and found.assessable.any()


def test_cells_of_a_tile_that_cannot_be_judged_are_excluded_and_say_by_which_flags():
    table = cells({}, {}, {"touches_border": True}).append_column(
        "tile_unassessable_by", pa.array(["", "out_of_focus;pen", "fold"])
    )
    assert "tile_unassessable_by" in exclusion_columns(ALL_ON, table.column_names)
    assert texts(table) == [
        [],
        ["in a tile that cannot be judged (out_of_focus, pen)"],
        ["in a tile that cannot be judged (fold)", "cut by the image border"],
    ]
    found = assess_cells(table, ALL_ON, sharpness=0.1, area_um2=50.0)
    assert found.in_flagged_tile.tolist() == [False, True, True]
    assert found.assessable.tolist() == [True, False, False]
