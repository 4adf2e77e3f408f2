"""The stages reference, classify and tables on files: pooled fit, row groups, joins that must fit, partition."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from asserts import assert_partition, assert_table, nan_as_none
from cell_tables import COLUMNS, mapped, measured, recipe, write_measured

from cellseg.classify_config import ClassifySettings, ExcludeSettings, ReferenceSettings, Rule
from cellseg.columns import VERDICT_COLUMNS
from cellseg.errors import ConfigError, ModelError, TableError
from cellseg.stages.classify import classify_cells, read_reference, tissue_notes
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.reference import fit_reference
from cellseg.stages.tables import write_tables

SETTINGS = ClassifySettings(rules=())


class TestFitReference:
    def test_pools_samples_in_any_order_and_leaves_out_excluded_cells(self, tmp_path):
        border = np.zeros(300, bool)
        border[:40] = True
        areas = np.where(border, 5000.0, np.linspace(50, 70, 300))
        a = write_measured(tmp_path / "a.parquet", measured(300, sample="A", touches_border=border, area_um2=areas))
        b = write_measured(
            tmp_path / "b.parquet", measured(200, sample="B", seed=1), measured(50, sample="B", first_id=201)
        )
        fit = fit_reference([a, b], tmp_path / "ab.json", stain="he", settings=SETTINGS)
        fit_reference([b, a], tmp_path / "ba.json", stain="he", settings=SETTINGS)
        assert (tmp_path / "ab.json").read_bytes() == (tmp_path / "ba.json").read_bytes()
        record = json.loads((tmp_path / "ab.json").read_text())
        assert record["samples"] == {"A": {"n_cells": 260, "n_excluded": 40}, "B": {"n_cells": 250, "n_excluded": 0}}
        assert record["settings"]["reference"]["features"] == list(SETTINGS.reference.features)
        assert fit.features["nucleus_area_um2"].high < 100
        assert fit.usable
        assert read_reference(tmp_path / "ab.json").to_dict() == fit.to_dict()

    def test_failed_samples_are_left_out_and_named(self, tmp_path):
        good, bad = tmp_path / "a.parquet", tmp_path / "b.parquet"
        write_measured(good, measured(100))
        write_failure([bad], Failure("B", "preprocess", "truncated"))
        assert fit_reference([bad, good], tmp_path / "r.json", stain="he", settings=SETTINGS).n_cells == 100
        assert json.loads((tmp_path / "r.json").read_text())["left_out"] == {"B": "preprocess: truncated"}

    @pytest.mark.parametrize("n_cells", [0, 12])
    def test_too_few_cells_give_an_unusable_reference(self, tmp_path, n_cells):
        path = write_measured(tmp_path / "a.parquet", measured(n_cells))
        assert not fit_reference([path], tmp_path / "r.json", stain="he", settings=SETTINGS).usable
        record = json.loads((tmp_path / "r.json").read_text())
        assert (record["usable"], record["reason"]) == (False, f"{n_cells} cells, 50 needed")

    def test_no_samples_at_all(self, tmp_path):
        fit = fit_reference([], tmp_path / "r.json", stain="hdab", settings=SETTINGS)
        assert fit.fault == "0 cells, 50 needed"

    def test_features_that_a_stain_lacks_are_left_out_and_named(self, tmp_path):
        path = write_measured(tmp_path / "a.parquet", measured(100))
        settings = ClassifySettings(rules=(), reference=ReferenceSettings(features=("area_um2", "nucleus_od_dab_mean")))
        fit = fit_reference([path], tmp_path / "r.json", stain="he", settings=settings)
        assert list(fit.features) == ["nucleus_area_um2"]
        assert fit.left_out == {"nucleus_od_dab_mean": "not measured in A"}


class TestFitByTissue:
    SETTINGS = ClassifySettings(rules=(), reference=ReferenceSettings(features=("area_um2",), by_tissue=True))

    def samples(self, tmp_path):
        """120 small cells in stroma, 120 large ones in gland, 20 in fat, 40 in none, in two samples and row groups."""
        tissues = np.array(["stroma"] * 120 + ["gland"] * 120 + ["fat"] * 20 + [""] * 40)
        means = np.array([40.0] * 120 + [90.0] * 120 + [200.0] * 20 + [60.0] * 40)
        areas = means + np.random.default_rng(0).normal(0, 3, 300)
        order = np.random.default_rng(1).permutation(300)
        table = measured(300, area_um2=areas[order])
        table = mapped(table, tissues[order].tolist(), names=("stroma", "gland", "fat"))
        a = write_measured(tmp_path / "a.parquet", table.slice(0, 70), table.slice(70, 80))
        return a, write_measured(tmp_path / "b.parquet", table.slice(150)), areas, tissues

    def test_each_tissue_with_cells_enough_has_a_fit_of_its_own(self, tmp_path):
        a, b, areas, tissues = self.samples(tmp_path)
        fit = fit_reference([b, a], tmp_path / "r.json", stain="he", settings=self.SETTINGS)
        assert fit.n_cells == 300 and fit.features["nucleus_area_um2"].median == pytest.approx(
            np.median(areas), abs=1e-6
        )
        assert {name: (part.n_cells, part.fault) for name, part in fit.tissues.items()} == {
            "stroma": (120, ""), "gland": (120, ""), "fat": (20, "20 cells, 50 needed"),
        }  # fmt: skip
        for name in ("stroma", "gland"):
            expected = np.median(areas[tissues == name])
            assert fit.tissues[name].features["nucleus_area_um2"].median == pytest.approx(expected, abs=1e-6)
        assert read_reference(tmp_path / "r.json").to_dict() == fit.to_dict()

    def test_a_cell_that_is_large_for_its_tissue_alone_is_found(self, tmp_path):
        a, b, _, _ = self.samples(tmp_path)
        fit_reference([a, b], tmp_path / "r.json", stain="he", settings=self.SETTINGS)
        table = mapped(measured(4, area_um2=np.array([90.0, 90, 90, 40])), ["stroma", "gland", "", "gland"])
        test = write_measured(tmp_path / "t.parquet", table)
        out, slide = tmp_path / "v.parquet", recipe()
        classify_cells(test, out, reference=tmp_path / "r.json", recipe=slide, settings=self.SETTINGS)
        verdicts = assert_table(out).to_pydict()
        assert verdicts["status"] == ["abnormal", "healthy", "healthy", "abnormal"]
        assert verdicts["reasons"][0].startswith("nucleus_area_um2 90 um2 (healthy stroma 3")

    def test_without_it_tissues_change_nothing(self, tmp_path):
        a, b, _, _ = self.samples(tmp_path)
        plain = ClassifySettings(rules=(), reference=ReferenceSettings(features=("area_um2",)))
        fit_reference([a, b], tmp_path / "r.json", stain="he", settings=plain)
        for path in (a, b):
            table = pq.read_table(path)
            unmapped = mapped(table.select([c.name for c in COLUMNS]), [""] * 150, names=())
            write_measured(path, unmapped)
        fit_reference([a, b], tmp_path / "unmapped.json", stain="he", settings=plain)
        assert (tmp_path / "r.json").read_bytes() == (tmp_path / "unmapped.json").read_bytes()

    @pytest.mark.parametrize("n_cells", [0, 100])
    def test_samples_without_a_map_give_the_fit_of_all_alone(self, tmp_path, n_cells):
        path = write_measured(tmp_path / "a.parquet", measured(n_cells))
        assert fit_reference([path], tmp_path / "r.json", stain="he", settings=self.SETTINGS).tissues == {}

    def test_cells_of_other_tissues_shape_nothing_where_they_are_not_judged(self, tmp_path):
        a, b, _, _ = self.samples(tmp_path)
        settings = ClassifySettings(exclude=ExcludeSettings(tissues=("gland",)), reference=self.SETTINGS.reference)
        fit = fit_reference([a, b], tmp_path / "r.json", stain="he", settings=settings)
        assert fit.n_cells == 120 and fit.tissues["stroma"].n_cells == 0
        path = write_measured(tmp_path / "c.parquet", measured(10))
        with pytest.raises(ConfigError, match=r"c\.parquet: its cells have no tissue"):
            fit_reference([path], tmp_path / "r.json", stain="he", settings=settings)


class TestClassifyCells:
    def classify(self, path, tmp_path, *, reference=None, settings=SETTINGS, stain="he"):
        out = tmp_path / "verdicts.parquet"
        counts = classify_cells(path, out, reference=reference, recipe=recipe(stain=stain), settings=settings)
        return counts, nan_as_none(assert_table(out).to_pydict())

    def test_a_large_dark_cell_is_found_among_healthy_ones(self, tmp_path):
        path = write_measured(tmp_path / "a.parquet", measured(400))
        fit_reference([path], tmp_path / "r.json", stain="he", settings=SETTINGS)
        areas = np.array([60.0, 200.0, 60.0])
        test = write_measured(tmp_path / "t.parquet", measured(3, seed=5, area_um2=areas))
        counts, verdicts = self.classify(test, tmp_path, reference=tmp_path / "r.json")
        assert verdicts["status"] == ["healthy", "abnormal", "healthy"]
        assert verdicts["reasons"][1].startswith("nucleus_area_um2 200 um2 (healthy ")
        assert counts == {"healthy": 2, "abnormal": 1, "uncertain": 0, "excluded": 0}

    def test_row_groups_do_not_change_verdicts_and_the_slides_median_decides_focus(self, tmp_path):
        sharpness = np.concatenate([np.full(60, 0.02), np.full(140, 0.1)])
        table = measured(200, edge_sharpness_per_um=sharpness)
        one = write_measured(tmp_path / "one.parquet", table)
        many = write_measured(tmp_path / "many.parquet", *(table.slice(i, 60) for i in range(0, 200, 60)))
        fit_reference([one], tmp_path / "r.json", stain="he", settings=SETTINGS)
        _, whole = self.classify(one, tmp_path, reference=tmp_path / "r.json")
        _, parts = self.classify(many, tmp_path, reference=tmp_path / "r.json")
        assert whole == parts
        # the first row group is blurred throughout: its own median would find nothing amiss
        assert parts["status"][:60] == ["excluded"] * 60

    def test_an_unusable_reference_and_none(self, tmp_path):
        path = write_measured(tmp_path / "a.parquet", measured(12))
        fit_reference([path], tmp_path / "r.json", stain="he", settings=SETTINGS)
        _, verdicts = self.classify(path, tmp_path, reference=tmp_path / "r.json")
        assert set(verdicts["reasons"]) == {"no usable healthy reference for stain he (12 cells, 50 needed)"}
        _, verdicts = self.classify(path, tmp_path, stain="hdab")
        assert set(verdicts["reasons"]) == {"no healthy reference and no rule for stain hdab: nothing to judge by"}
        assert set(verdicts["status"]) == {"uncertain"}

    def test_no_cells_give_an_empty_table(self, tmp_path):
        path = write_measured(tmp_path / "a.parquet")
        counts, verdicts = self.classify(path, tmp_path)
        assert list(verdicts) == [c.name for c in VERDICT_COLUMNS]
        assert not any(verdicts.values())
        assert sum(counts.values()) == 0

    def test_a_misspelt_rule_leaves_no_file(self, tmp_path):
        path = write_measured(tmp_path / "a.parquet", measured(3))
        settings = ClassifySettings(rules=[Rule(column="aera_um2", above=1)])
        with pytest.raises(ConfigError, match="nucleus_area_um2"):
            self.classify(path, tmp_path, settings=settings)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet"]

    def test_a_reference_that_is_missing_or_no_json(self, tmp_path):
        with pytest.raises(ModelError, match="not a readable reference"):
            read_reference(tmp_path / "none.json")
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(ModelError, match="not a readable reference"):
            read_reference(tmp_path / "bad.json")


def test_tissues_that_a_slides_map_does_not_have_are_worth_a_note(tmp_path):
    path = write_measured(tmp_path / "a.parquet", mapped(measured(3), ["gland"] * 3))
    rule = Rule(column="area_um2", above=1, tissues=("glnd",), stains=("hdab",))
    settings = ClassifySettings(rules=[rule], exclude=ExcludeSettings(tissues=("stroma", "gland")))
    assert tissue_notes(path, recipe(), SETTINGS) == []
    assert tissue_notes(path, recipe(), settings) == []  # the rule is for other slides
    (note,) = tissue_notes(path, recipe(stain="hdab"), settings)
    assert note == "a rule names tissue 'glnd', which is no class of this slide's map (stroma, gland)"


class TestWriteTables:
    def make(self, folder, *batches):
        path = write_measured(folder / "measurements.parquet", *batches)
        settings = ClassifySettings(rules=[Rule(column="area_um2", above=65)])
        classify_cells(path, folder / "verdicts.parquet", reference=None, recipe=recipe(), settings=settings)
        return path, folder / "verdicts.parquet"

    def test_the_status_tables_partition_the_cells_table(self, tmp_path):
        border = np.arange(300) % 7 == 0
        table = measured(300, touches_border=border)
        counts = write_tables(*self.make(tmp_path, table.slice(0, 111), table.slice(111)), tmp_path / "out")
        cells = assert_partition(tmp_path / "out")
        assert len(cells) == 300
        assert cells["status"].value_counts().to_dict() == {name: n for name, n in counts.items() if n}
        assert counts["excluded"] == border.sum()
        assert_table(tmp_path / "out/cells.parquet")
        excluded = cells[cells["status"] == "excluded"]
        assert (excluded["reasons"] == "cut by the image border").all()
        assert excluded["nucleus_area_um2"].notna().all()

    def test_columns_json_describes_every_column_in_order(self, tmp_path):
        write_tables(*self.make(tmp_path, measured(3)), tmp_path / "out")
        described = json.loads((tmp_path / "out/columns.json").read_text())
        header = (tmp_path / "out/cells.csv").read_text().splitlines()[0].split(",")
        assert [column["name"] for column in described] == header
        assert header == [c.name for c in COLUMNS] + [c.name for c in VERDICT_COLUMNS[1:]]
        assert all(column["meaning"] for column in described)

    def test_no_cells_give_headers_only(self, tmp_path):
        counts = write_tables(*self.make(tmp_path), tmp_path / "out")
        assert sum(counts.values()) == 0
        assert len(assert_partition(tmp_path / "out")) == 0

    def test_huge_ids_come_through(self, tmp_path):
        ids = np.array([1, 70_000, 4_294_967_295])
        write_tables(*self.make(tmp_path, measured(3, cell_id=ids)), tmp_path / "out")
        assert assert_partition(tmp_path / "out")["cell_id"].tolist() == ids.tolist()

    def test_twice_the_same_bytes(self, tmp_path):
        tables = self.make(tmp_path, measured(50))
        for name in ("one", "two"):
            write_tables(*tables, tmp_path / name)
        for path in (tmp_path / "one").iterdir():
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name

    def test_row_groups_may_differ_between_the_two_tables(self, tmp_path):
        table = measured(100)
        path, verdicts = self.make(tmp_path, table)
        write_measured(path, table.slice(0, 30), table.slice(30, 50), table.slice(80))
        write_tables(path, verdicts, tmp_path / "out")
        assert pq.read_metadata(tmp_path / "out/cells.parquet").num_rows == 100

    @pytest.mark.parametrize("n_cells", [99, 101])
    def test_verdicts_on_other_cells_are_refused(self, tmp_path, n_cells):
        path, verdicts = self.make(tmp_path, measured(100))
        write_measured(path, measured(n_cells))
        with pytest.raises(TableError, match="more rows"):
            write_tables(path, verdicts, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []

    def test_shifted_or_unsorted_ids_are_refused(self, tmp_path):
        path, verdicts = self.make(tmp_path, measured(100))
        write_measured(path, measured(100, first_id=2))
        with pytest.raises(TableError, match="cell_id 2 stands beside 1"):
            write_tables(path, verdicts, tmp_path / "out")
        with pytest.raises(TableError, match="does not rise"):
            write_tables(*self.make(tmp_path, measured(2, cell_id=[5, 5])), tmp_path / "out")


def test_a_recipe_of_another_stain_than_the_reference_is_refused(tmp_path):
    path = write_measured(tmp_path / "a.parquet", measured(100))
    fit_reference([path], tmp_path / "r.json", stain="giemsa", settings=SETTINGS)
    other = replace(recipe(), stain="he")
    with pytest.raises(ModelError, match="giemsa"):
        classify_cells(path, tmp_path / "v.parquet", reference=tmp_path / "r.json", recipe=other, settings=SETTINGS)
