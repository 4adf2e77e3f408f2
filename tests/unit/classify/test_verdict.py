"""Verdicts from hand-made tables: who is excluded, hit by a rule or far from healthy, and in which words."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from asserts import nan_as_none

from cellseg.classify.discovery import HeldOut
from cellseg.classify.exclude import find_excluded, median_sharpness
from cellseg.classify.finding import Finding, combine_findings
from cellseg.classify.novelty import Plain
from cellseg.classify.reference import FeatureFit, ReferenceFit
from cellseg.classify.rules import check_rules, rules_for
from cellseg.classify.verdict import (
    check_verdict_inputs,
    gather_facts,
    judge_cells,
    judge_evidence,
    verdict_inputs,
)
from cellseg.classify_config import ClassifySettings, ExcludeSettings, ReferenceSettings, Rule
from cellseg.errors import ConfigError, ModelError

NAN = float("nan")
TWO = {"solidity": FeatureFit(0.95, 0.01, 0.9, 0.98), "area_um2": FeatureFit(60.0, 10.0, 38.0, 91.0)}


def cells(area, *, solidity=None, border=None, sharpness=None, ids=None):
    n = len(area)
    return pa.table(
        {
            "cell_id": pa.array(range(1, n + 1) if ids is None else ids, pa.uint32()),
            "area_um2": pa.array(area, pa.float64()),
            "solidity": pa.array([0.95] * n if solidity is None else solidity, pa.float64()),
            "edge_sharpness_per_um": pa.array([0.1] * n if sharpness is None else sharpness, pa.float64()),
            "touches_border": pa.array([False] * n if border is None else border, pa.bool_()),
        }
    )


def reference(features=None, *, score="rms", fault="", stain="he"):
    """Scores over 1.6 have a p-value of 0.05, over 2.5 of 0.01."""
    held_out = HeldOut(np.array([1.6, 2.5]), np.array([0.05, 0.01]))
    return ReferenceFit(stain, 500, features or TWO, {}, Plain(score), 10.0, held_out, fault)


def judge(table, fit=None, *, stain="he", rules=(), **reference_settings):
    settings = ClassifySettings(rules=rules, reference=ReferenceSettings(**{"decide": "p_value"} | reference_settings))
    check_verdict_inputs(table.schema, fit, stain, settings, "slide A")
    sharpness = median_sharpness(table["edge_sharpness_per_um"].to_numpy())
    return judge_cells(table, fit, stain=stain, sharpness=sharpness, settings=settings).to_pydict()


AREA_RULE = Rule(column="area_um2", above=120)


class TestExclude:
    def test_all_reasons_are_kept(self):
        table = cells([9.1, 60, 60], border=[True, False, False], sharpness=[0.02, 0.11, 0.5])
        verdict = judge(table, rules=[AREA_RULE])
        assert verdict["status"] == ["excluded", "healthy", "healthy"]
        assert verdict["reasons"][0] == (
            "cut by the image border; area_um2 9.1 under 10 (too small to judge); "
            "out of focus: edge_sharpness_per_um 0.02 under 30 % of the slide's median 0.11"
        )
        assert verdict["n_reasons"] == [3, 0, 0]

    def test_exclusion_outweighs_every_other_verdict_and_keeps_only_its_reasons(self):
        verdict = judge(cells([500.0], border=[True]), reference(), rules=[AREA_RULE])
        assert verdict["status"] == ["excluded"]
        assert verdict["reasons"] == ["cut by the image border"]
        assert verdict["abnormal_score"][0] > 2.5

    def test_bounds_are_exclusive_and_nan_excludes_nothing(self):
        table = cells([15.0, NAN], sharpness=[NAN, 0.1])
        assert [f.rows.size for f in find_excluded(table, ExcludeSettings(), sharpness=0.1)] == [0, 0, 0]

    def test_a_slide_without_a_sharp_outline_excludes_nothing_for_focus(self):
        assert np.isnan(median_sharpness(np.array([NAN, NAN])))
        table = cells([60.0], sharpness=[NAN])
        assert [f.rows.size for f in find_excluded(table, ExcludeSettings(), sharpness=NAN)] == [0, 0, 0]

    def test_each_criterion_can_be_turned_off(self):
        off = ExcludeSettings(border=False, min_area_um2=0, min_focus_fraction=0)
        assert find_excluded(cells([1.0], border=[True]), off, sharpness=9.0) == []

    def test_a_table_without_the_column_names_the_way_out(self):
        schema = cells([60.0]).drop_columns(["edge_sharpness_per_um"]).schema
        with pytest.raises(ConfigError, match="min_focus_fraction: 0"):
            check_verdict_inputs(schema, None, "he", ClassifySettings(), "slide A")


class TestRules:
    def test_words_and_grades(self):
        rules = [AREA_RULE, Rule(column="solidity", below=0.9, status="uncertain")]
        table = cells([142.4, 60, 130, NAN], solidity=[0.95, 0.85, 0.8, NAN])
        verdict = judge(table, rules=rules)
        assert verdict["status"] == ["abnormal", "uncertain", "abnormal", "healthy"]
        assert verdict["reasons"] == [
            "area_um2 142 um2 above 120 (rule)",
            "solidity 0.85 below 0.9 (rule)",
            "area_um2 130 um2 above 120 (rule); solidity 0.8 below 0.9 (rule)",
            "",
        ]
        assert verdict["n_reasons"] == [1, 1, 2, 0]

    def test_both_bounds_of_one_rule(self):
        verdict = judge(cells([20, 50, 80]), rules=[Rule(column="area_um2", above=70, below=30)])
        assert verdict["status"] == ["abnormal", "healthy", "abnormal"]

    def test_a_misspelt_column_is_named_with_its_neighbours(self):
        with pytest.raises(ConfigError, match=r"'area_um'.*nearest: area_um2"):
            judge(cells([60.0]), rules=[Rule(column="area_um", above=1)])

    def test_a_column_of_words_or_flags_is_no_number(self):
        with pytest.raises(ConfigError, match="touches_border"):
            check_rules([Rule(column="touches_border", above=0)], cells([1.0]).schema, "slide A")

    def test_a_rule_for_other_stains_is_neither_checked_nor_applied(self):
        rule = Rule(column="od_dab_mean", above=0.3, stains=("hdab",))
        assert rules_for([rule], "he") == ()
        verdict = judge(cells([60.0]), rules=[rule])
        assert verdict["reasons"] == ["no healthy reference and no rule for stain he: nothing to judge by"]


class TestReferenceFile:
    def test_json_round_trip_is_strict_json(self):
        for fit in (reference(), reference(fault="12 cells, 50 needed")):
            # as files are written
            text = json.dumps(fit.to_dict(), allow_nan=False, sort_keys=True)
            back = ReferenceFit.from_dict(json.loads(text), "reference.json")
            assert back.to_dict() == fit.to_dict() and list(back.features) == list(fit.features)

    @pytest.mark.parametrize("values", [{}, {"format_version": 99}, {"format_version": 1, "cutoffs": None}])
    def test_another_file_is_refused(self, values):
        with pytest.raises(ModelError, match="cellseg reference"):
            ReferenceFit.from_dict(values, "reference.json")


class TestJudgeByReference:
    def test_statuses_scores_and_words(self):
        table = cells([60, 142, 85, 60], solidity=[0.95, 0.95, 0.95, 0.84])
        verdict = judge(table, reference())
        assert verdict["status"] == ["healthy", "abnormal", "uncertain", "abnormal"]
        assert verdict["abnormal_score"] == pytest.approx([0, 8.2 / 2**0.5, 2.5 / 2**0.5, 10 / 2**0.5], abs=1e-6)
        assert verdict["reasons"] == [
            "",
            "area_um2 142 um2 (healthy 38-91, high)",
            "area_um2 85 um2 (healthy 38-91, upper part)",
            "solidity 0.84 (healthy 0.9-0.98, low)",
        ]

    def test_the_wildest_feature_comes_first(self):
        verdict = judge(cells([142.0], solidity=[0.5]), reference())
        assert verdict["reasons"] == ["solidity 0.5 (healthy 0.9-0.98, low); area_um2 142 um2 (healthy 38-91, high)"]
        assert verdict["n_reasons"] == [2]

    def test_a_high_score_without_a_wild_feature_says_so(self):
        verdict = judge(cells([79.0], solidity=[0.969]), reference())
        assert verdict["status"] == ["uncertain"]
        assert verdict["reasons"] == ["abnormal_score 1.9 over 1.6 (no single feature stands out)"]

    def test_a_missing_feature_is_left_out_and_none_at_all_is_uncertain(self):
        verdict = judge(cells([NAN, NAN], solidity=[0.95, NAN]), reference())
        assert verdict["status"] == ["healthy", "uncertain"]
        assert verdict["reasons"][1] == "none of the reference's features could be measured"
        assert np.isnan(verdict["abnormal_score"][1])

    def test_the_graver_of_rule_and_reference_wins_and_both_speak(self):
        rule = Rule(column="area_um2", above=80, status="uncertain")
        verdict = judge(cells([142.0, 82.0]), reference(), rules=[rule])
        assert verdict["status"] == ["abnormal", "uncertain"]
        assert verdict["reasons"][0] == "area_um2 142 um2 above 80 (rule); area_um2 142 um2 (healthy 38-91, high)"

    def test_an_unusable_reference_leaves_every_cell_uncertain(self):
        verdict = judge(cells([60.0, 5.0]), reference(fault="12 cells, 50 needed"))
        assert verdict["status"] == ["uncertain", "excluded"]
        assert verdict["reasons"][0] == "no usable healthy reference for stain he (12 cells, 50 needed)"
        assert np.isnan(verdict["abnormal_score"]).all()

    def test_nothing_to_judge_by(self):
        verdict = judge(cells([60.0]), None, stain="hdab")
        assert verdict["status"] == ["uncertain"]
        assert verdict["reasons"] == ["no healthy reference and no rule for stain hdab: nothing to judge by"]

    def test_a_reference_turned_off_does_not_judge(self):
        verdict = judge(cells([500.0]), reference(), rules=[Rule(column="area_um2", below=1)], enabled=False)
        assert verdict["status"] == ["healthy"]
        assert np.isnan(verdict["abnormal_score"][0])

    def test_another_stain_or_missing_columns_are_refused(self):
        with pytest.raises(ModelError, match="fitted on he"):
            judge(cells([60.0]), reference(), stain="giemsa")
        with pytest.raises(ModelError, match="od_dab_mean"):
            judge(cells([60.0]), reference({"od_dab_mean": FeatureFit(0.3, 0.1, 0.1, 0.5)}))


class TestTables:
    def test_an_empty_table_gives_an_empty_typed_one(self):
        table = judge_cells(cells([]), reference(), stain="he", sharpness=NAN, settings=ClassifySettings())
        assert table.num_rows == 0
        assert [str(t) for t in table.schema.types] == [
            "uint32", "string", "double", "double", "bool", "string", "double", "int32", *4 * ["string"], *5 * ["bool"],
        ]  # fmt: skip

    def test_huge_ids_come_through(self):
        verdict = judge(cells([60.0, 200.0], ids=[65_536, 4_294_967_295]), reference())
        assert verdict["cell_id"] == [65_536, 4_294_967_295]

    def test_a_cell_is_judged_the_same_in_any_company(self):
        rng = np.random.default_rng(2)
        area = rng.gamma(9, 8, 500)
        table = cells(area, solidity=rng.uniform(0.85, 1, 500))
        settings = ClassifySettings(rules=[AREA_RULE])
        whole = judge_cells(table, reference(), stain="he", sharpness=0.1, settings=settings)
        slide = gather_facts(
            [judge_evidence(table.slice(i, 37), reference(), settings, excluded=[]) for i in range(0, 500, 37)],
            settings,
        )
        parts = [
            judge_cells(table.slice(i, 37), reference(), stain="he", sharpness=0.1, settings=settings, slide=slide)
            for i in range(0, 500, 37)
        ]
        assert nan_as_none(pa.concat_tables(parts).to_pydict()) == nan_as_none(whole.to_pydict())
        assert set(whole["status"].to_pylist()) == {"healthy", "abnormal", "uncertain"}

    def test_only_the_columns_in_use_are_asked_for(self):
        settings = ClassifySettings(rules=[AREA_RULE, Rule(column="extent", above=1, stains=("hdab",))])
        assert verdict_inputs(cells([1.0]).column_names, reference(), "he", settings) == (
            "cell_id", "touches_border", "area_um2", "edge_sharpness_per_um", "solidity",
        )  # fmt: skip


def test_the_gravest_finding_wins_in_any_order():
    a, b = Finding(np.array([0, 1]), "uncertain", "u"), Finding(np.array([1, 2]), "abnormal", ["x", "y"])
    said = combine_findings(4, [a, b])
    assert said.status == ["uncertain", "abnormal", "abnormal", "healthy"]
    assert said.reasons == ["u", "u; x", "y", ""]
    assert said.n_reasons.tolist() == [1, 2, 1, 0]
    assert said.first == (["u", "u", "y", ""], ["", "x", "", ""], ["", "", "", ""])
    assert combine_findings(4, [b, a]).status == said.status


def test_reasons_behind_the_third_are_in_the_joined_ones_alone():
    said = combine_findings(1, [Finding(np.array([0]), "excluded", text) for text in "abcd"])
    assert said.reasons == ["a; b; c; d"] and said.first == (["a"], ["b"], ["c"])
