"""Verdicts by tissue: rules and limits for some tissues, references of each, and what is said where there is no map."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from asserts import nan_as_none
from cell_tables import mapped, measured

from cellseg.classify.discovery import HeldOut
from cellseg.classify.novelty import Plain
from cellseg.classify.reference import FeatureFit, ReferenceFit
from cellseg.classify.tissues import unknown_tissues
from cellseg.classify.verdict import check_verdict_inputs, judge_cells, verdict_inputs
from cellseg.classify_config import ClassifySettings, ExcludeSettings, ReferenceSettings, Rule
from cellseg.errors import ConfigError, ModelError

FOUR = ["stroma", "gland", "", "gland"]


def cells(areas, tissues=FOUR, **columns):
    return mapped(measured(len(areas), area_um2=np.array(areas, float), **columns), list(tissues))


def fit_of(median, *, n_cells=500, fault="", abnormal_over=2.5, **more):
    """A reference on area alone, MAD 10, healthy within 20 of the median."""
    features = {"nucleus_area_um2": FeatureFit(median, 10.0, median - 20, median + 20)}
    held_out = HeldOut(np.array([1.6, abnormal_over]), np.array([0.05, 0.01]))
    return ReferenceFit("he", n_cells, features, {}, Plain("rms"), 10.0, held_out, fault, **more)


def judge(table, fit=None, *, rules=(), tissues=(), check=True):
    settings = ClassifySettings(
        rules=rules, exclude=ExcludeSettings(tissues=tissues), reference=ReferenceSettings(decide="p_value")
    )
    if check:
        check_verdict_inputs(table.schema, fit, "he", settings, "slide A")
    table = table.select(verdict_inputs(table.column_names, fit, "he", settings))
    return nan_as_none(judge_cells(table, fit, stain="he", sharpness=0.1, settings=settings).to_pydict())


class TestRules:
    RULE = Rule(column="area_um2", above=120, tissues=("gland",))

    def test_hits_cells_of_its_tissue_alone_and_says_which(self):
        verdict = judge(cells([200, 200, 200, 50]), fit_of(150, abnormal_over=99), rules=[self.RULE])
        assert verdict["status"] == ["uncertain", "abnormal", "uncertain", "uncertain"]
        assert verdict["reasons"][1].startswith("nucleus_area_um2 200 um2 above 120 (rule for gland); ")
        assert "rule" not in verdict["reasons"][0] + verdict["reasons"][2]

    def test_a_rule_for_all_tissues_is_as_ever(self):
        verdict = judge(cells([200, 50, 200, 200]), rules=[Rule(column="area_um2", above=120)])
        assert verdict["status"] == ["abnormal", "healthy", "abnormal", "abnormal"]
        assert verdict["reasons"][2] == "nucleus_area_um2 200 um2 above 120 (rule)"

    def test_cells_that_no_rule_is_for_are_not_called_healthy(self):
        verdict = judge(cells([50, 50, 50, 200]), rules=[self.RULE])
        assert verdict["status"] == ["uncertain", "healthy", "uncertain", "abnormal"]
        assert verdict["reasons"][0] == "no healthy reference and no rule for tissue stroma: nothing to judge by"
        assert verdict["reasons"][2] == "no healthy reference and no rule for cells without tissue: nothing to judge by"
        assert verdict["n_reasons"] == [1, 0, 1, 1]

    @pytest.mark.parametrize("settings", [{"rules": [RULE]}, {"tissues": ("gland",)}])
    def test_a_slide_without_a_map_names_the_way_out(self, settings):
        with pytest.raises(ConfigError, match=r"slide A: its cells have no tissue.*tissue\.enabled: true"):
            judge(measured(3), **settings)

    def test_rules_for_other_stains_ask_for_no_map(self):
        rule = Rule(column="area_um2", above=120, tissues=("gland",), stains=("hdab",))
        assert judge(measured(2), fit_of(60), rules=[rule])["status"] == ["healthy", "healthy"]


class TestLimit:
    def test_cells_in_other_tissues_and_in_none_are_excluded_in_words(self):
        verdict = judge(cells([60, 60, 60, 60]), fit_of(60), tissues=("gland", "polyp"))
        assert verdict["status"] == ["excluded", "healthy", "excluded", "healthy"]
        assert verdict["reasons"][0] == "tissue stroma is not among those judged (gland, polyp)"
        assert verdict["reasons"][2] == "in no tissue, not among those judged (gland, polyp)"

    def test_names_that_the_map_does_not_have_are_told(self):
        names = cells([60] * 4).column_names
        rules = [Rule(column="area_um2", above=1, tissues=("gland", "polyp"))]
        assert unknown_tissues(names, rules, ExcludeSettings(tissues=("stroma", "Gland"))) == [
            "a rule names tissue 'polyp', which is no class of this slide's map (stroma, gland)",
            "classify.exclude.tissues names tissue 'Gland', which is no class of this slide's map (stroma, gland)",
        ]


class TestReference:
    BY_TISSUE = fit_of(100, tissues={"gland": fit_of(160), "stroma": fit_of(40, n_cells=9, fault="9 cells, 50 needed")})

    def test_each_cell_is_judged_by_its_own_tissue_where_that_can_judge(self):
        verdict = judge(cells([160, 160, 160, 100]), self.BY_TISSUE)
        # stroma's own fit cannot judge: the fit of all does
        assert verdict["abnormal_score"] == [6.0, 0.0, 6.0, 6.0]
        assert verdict["status"] == ["abnormal", "healthy", "abnormal", "abnormal"]
        assert verdict["reasons"][0] == "nucleus_area_um2 160 um2 (healthy 80-120, high)"
        assert verdict["reasons"][3] == "nucleus_area_um2 100 um2 (healthy gland 140-180, low)"

    def test_order_and_company_change_nothing(self):
        rng = np.random.default_rng(0)
        tissues = rng.choice(["stroma", "gland", ""], 300).tolist()
        table = cells(rng.uniform(20, 250, 300), tissues, touches_border=rng.random(300) < 0.1)
        whole = judge(table, self.BY_TISSUE)
        order = rng.permutation(300)[:90]
        part = judge(table.take(order), self.BY_TISSUE)
        # probabilities are of a cell among those of its slide
        assert part | {"abnormal_probability": 0} == {
            name: [column[i] for i in order] for name, column in whole.items()
        } | {"abnormal_probability": 0}
        assert {"healthy", "abnormal", "uncertain", "excluded"} == set(whole["status"])

    def test_a_table_of_one_tissue_agrees_with_that_tissues_fit(self):
        table = cells([100, 160, 175, 190], ["gland"] * 4)
        assert judge(table, self.BY_TISSUE)["status"] == judge(table, fit_of(160))["status"]

    def test_a_slide_without_a_map_is_judged_by_the_fit_of_all(self):
        table = measured(2, area_um2=np.array([100.0, 160.0]))
        assert judge(table, self.BY_TISSUE) == judge(table, fit_of(100))

    def test_a_score_without_a_wild_feature_names_the_tissue(self):
        features = {name: FeatureFit(0.5, 0.1, 0.3, 0.7) for name in ("nucleus_solidity", "nucleus_circularity")}
        strict, loose = (HeldOut(np.array(scores), np.array([0.05, 0.01])) for scores in ([0.5, 1.0], [9.0, 9.5]))
        gland = ReferenceFit("he", 500, features, {}, Plain("rms"), 10.0, strict)
        fit = ReferenceFit("he", 500, features, {}, Plain("rms"), 10.0, loose, tissues={"gland": gland})
        both = np.full(4, 0.65)
        verdict = judge(cells([60] * 4, solidity=both, circularity=both), fit)
        assert verdict["reasons"][1] == "abnormal_score 1.5 over 1 of healthy gland (no single feature stands out)"
        assert verdict["status"][0] == "healthy"

    def test_survives_json(self):
        text = json.dumps(self.BY_TISSUE.to_dict())
        assert json.loads(text)["tissues"]["stroma"]["usable"] is False
        back = ReferenceFit.from_dict(json.loads(text), "r.json")
        assert back.to_dict() == self.BY_TISSUE.to_dict()
        assert "tissues" not in fit_of(100).to_dict()

    def test_a_fault_of_a_tissues_fit_is_told_with_its_name(self):
        values = self.BY_TISSUE.to_dict()
        del values["tissues"]["gland"]["score"]
        with pytest.raises(ModelError, match=r"r\.json, tissue gland: not a reference of this version.*score"):
            ReferenceFit.from_dict(values, "r.json")

    def test_features_of_every_fit_must_be_there(self):
        features = {"nucleus_od_dab_mean": FeatureFit(1, 1, 0, 2)}
        other = {"gland": ReferenceFit("he", 500, features, {}, Plain("rms"), 10.0)}
        with pytest.raises(ModelError, match="nucleus_od_dab_mean"):
            judge(cells([60] * 4), fit_of(100, tissues=other))


def test_settings_without_tissues_ask_for_no_column():
    settings = ClassifySettings(reference=ReferenceSettings(by_tissue=True))
    assert "tissue" not in verdict_inputs(measured(1).column_names, fit_of(100), "he", settings)
    areas = np.full(3, 60.0)
    older = measured(3, area_um2=areas).drop_columns(["tissue"])
    assert judge(older, fit_of(60))["status"] == ["healthy"] * 3


def test_a_column_of_distance_can_be_ruled_by():
    rule = Rule(column="signed_distance_gland_um", above=0, status="uncertain")
    verdict = judge(cells([60] * 4), fit_of(60), rules=[rule])
    assert verdict["status"] == ["healthy", "uncertain", "healthy", "uncertain"]
    with pytest.raises(ConfigError, match="signed_distance_gland_um"):
        judge(measured(3), fit_of(60), rules=[rule])
    assert pa.types.is_floating(cells([60] * 4).schema.field("signed_distance_gland_um").type)
