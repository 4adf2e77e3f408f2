"""Rules on hand-made tables: single bounds, conditions joined by all and any, NaN, and the words of each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from cellseg.classify.rules import apply_rules, check_rules, conditions_of, rule_columns, rules_for, without_rule
from cellseg.classify_config import ClassifySettings, Condition, Rule
from cellseg.errors import ConfigError

NAN = float("nan")
LARGE = Condition(column="area_um2", above=120)
RAGGED = Condition(column="solidity", below=0.8)
ROUND = Condition(column="circularity", above=0.9)


def cells(area, *, solidity=None, circularity=None, tissues=None):
    n = len(area)
    table = pa.table(
        {
            "cell_id": pa.array(range(1, n + 1), pa.uint32()),
            "nucleus_area_um2": pa.array(area, pa.float64()),
            "nucleus_solidity": pa.array([0.95] * n if solidity is None else solidity, pa.float64()),
            "nucleus_circularity": pa.array([0.5] * n if circularity is None else circularity, pa.float64()),
            "touches_border": pa.array([False] * n),
        }
    )
    return table if tissues is None else table.append_column("tissue", pa.array(tissues, pa.string()))


def hits(table, *rules):
    return [finding.rows.tolist() for finding in apply_rules(table, rules)]


def words(table, *rules):
    return [list(finding.texts) for finding in apply_rules(table, rules)]


class TestOneBound:
    def test_rows_status_and_words(self):
        rule = Rule(column="area_um2", above=120, status="uncertain")
        (finding,) = apply_rules(cells([142.4, 120, 60, NAN, 120.3]), [rule])
        assert (finding.rows.tolist(), finding.status) == ([0, 4], "uncertain")
        assert finding.texts == [
            "nucleus_area_um2 142 um2 above 120 (rule)", "nucleus_area_um2 120.3 um2 above 120 (rule)",
        ]  # fmt: skip

    def test_both_bounds_hit_what_lies_outside_of_them(self):
        rule = Rule(column="area_um2", above=70, below=30)
        assert words(cells([20, 50, 80, 30, 70]), rule) == [
            ["nucleus_area_um2 20 um2 below 30 (rule)", "nucleus_area_um2 80 um2 above 70 (rule)"]
        ]

    def test_a_name_and_a_tissue_stand_in_the_words(self):
        rule = Rule(column="solidity", below=0.8, name="ragged", tissues=("gland",))
        table = cells([1, 1, 1], solidity=[0.7, 0.7, 0.9], tissues=["gland", "", "gland"])
        assert words(table, rule) == [["nucleus_solidity 0.7 below 0.8 (rule ragged for gland)"]]

    def test_a_column_that_is_not_ours_has_no_unit(self):
        table = cells([1]).append_column("mine", pa.array([3.0]))
        assert words(table, Rule(column="mine", above=2)) == [["mine 3 above 2 (rule)"]]

    def test_no_cells(self):
        assert hits(cells([]), Rule(column="area_um2", above=1), Rule(any=(LARGE, RAGGED))) == [[], []]


class TestTogether:
    TABLE = cells([142, 142, 60, 60], solidity=[0.71, 0.9, 0.71, 0.9])

    def test_all(self):
        assert hits(self.TABLE, Rule(all=(LARGE, RAGGED))) == [[0]]
        assert words(self.TABLE, Rule(all=(LARGE, RAGGED))) == [
            ["nucleus_area_um2 142 um2 above 120 and nucleus_solidity 0.71 below 0.8 (rule)"]
        ]

    def test_any_names_those_that_were_met(self):
        assert words(self.TABLE, Rule(any=(LARGE, RAGGED), name="odd")) == [
            [
                "nucleus_area_um2 142 um2 above 120 and nucleus_solidity 0.71 below 0.8 (rule odd)",
                "nucleus_area_um2 142 um2 above 120 (rule odd)",
                "nucleus_solidity 0.71 below 0.8 (rule odd)",
            ]
        ]

    def test_all_and_any_of_one_rule_must_both_hold(self):
        table = cells([142, 142, 142, 60], solidity=[0.71, 0.9, 0.9, 0.71], circularity=[0.5, 0.95, 0.5, 0.95])
        rule = Rule(all=(LARGE,), any=(RAGGED, ROUND))
        assert hits(table, rule) == [[0, 1]]
        assert words(table, rule)[0][1] == (
            "nucleus_area_um2 142 um2 above 120 and nucleus_circularity 0.95 above 0.9 (rule)"
        )

    def test_nested_conditions_leave_out_branches_that_do_not_hold(self):
        # large and (ragged or round) or small: of cell 1, large was met in a branch that does not hold
        table = cells([142, 142, 20, 60], circularity=[0.95, 0.5, 0.95, 0.95])
        branch = Condition(all=(LARGE, Condition(any=(RAGGED, ROUND))))
        small = Condition(column="area_um2", below=30)
        assert words(table, Rule(any=(branch, small))) == [
            [
                "nucleus_area_um2 142 um2 above 120 and nucleus_circularity 0.95 above 0.9 (rule)",
                "nucleus_area_um2 20 um2 below 30 (rule)",
            ]
        ]
        wide = Condition(column="circularity", above=0.4)
        assert words(table, Rule(any=(branch, wide)))[0][1] == "nucleus_circularity 0.5 above 0.4 (rule)"

    def test_a_condition_in_two_branches_is_said_once(self):
        rule = Rule(any=(LARGE, Condition(all=(LARGE, RAGGED))))
        assert words(cells([142], solidity=[0.9]), rule) == [["nucleus_area_um2 142 um2 above 120 (rule)"]]
        assert words(cells([142], solidity=[0.71]), rule) == [
            ["nucleus_area_um2 142 um2 above 120 and nucleus_solidity 0.71 below 0.8 (rule)"]
        ]

    def test_a_range_is_two_conditions(self):
        between = Rule(all=(Condition(column="area_um2", above=30), Condition(column="area_um2", below=70)))
        assert hits(cells([20, 50, 80, NAN]), between) == [[1]]

    def test_nan_decides_nothing(self):
        table = cells([142, NAN, NAN], solidity=[NAN, 0.71, NAN])
        assert hits(table, Rule(all=(LARGE, RAGGED))) == [[]]
        assert hits(table, Rule(any=(LARGE, RAGGED))) == [[0, 1]]
        assert words(table, Rule(any=(LARGE, RAGGED)))[0][1] == "nucleus_solidity 0.71 below 0.8 (rule)"

    def test_for_tissues_and_stains(self):
        rule = Rule(all=(LARGE, RAGGED), tissues=("gland",), stains=("he",))
        table = cells([142] * 3, solidity=[0.7] * 3, tissues=["gland", "stroma", ""])
        assert hits(table, rule) == [[0]]
        assert without_rule(table, [rule]).tolist() == [1, 2]
        assert (rules_for([rule], "he"), rules_for([rule], "giemsa")) == ((rule,), ())

    def test_as_brute_force_over_random_rules(self):
        rng = np.random.default_rng(5)
        table = cells(rng.uniform(0, 200, 200), solidity=rng.uniform(0.5, 1, 200), circularity=rng.uniform(0, 1, 200))
        rows = table.to_pylist()

        def made(depth):
            if depth == 0 or rng.random() < 0.3:
                return (LARGE, RAGGED, ROUND, Condition(column="area_um2", above=150, below=20))[rng.integers(4)]
            parts = [tuple(made(depth - 1) for _ in range(rng.integers(1, 4))) for _ in range(2)]
            kind = rng.integers(3)
            return Condition(all=parts[0] if kind != 1 else None, any=parts[1] if kind != 0 else None)

        def holds(condition, row):
            if condition.column:
                value = row[f"nucleus_{condition.column}"]
                above, below = condition.above, condition.below
                return (above is not None and value > above) or (below is not None and value < below)
            every = all(holds(part, row) for part in condition.all or ())
            return every and (condition.any is None or any(holds(part, row) for part in condition.any))

        sizes = []
        for _ in range(60):
            one = made(3)
            expected = [at for at, row in enumerate(rows) if holds(one, row)]
            assert hits(table, Rule(all=(one,))) == [expected]
            sizes.append(len(expected))
        assert len(set(sizes)) > 5


class TestColumns:
    RULE = Rule(all=(LARGE, Condition(any=(RAGGED, LARGE))))

    def test_paths_of_conditions(self):
        assert [(path, one.column) for path, one in conditions_of(self.RULE, "classify.rules.2")] == [
            ("classify.rules.2.all.0", "area_um2"),
            ("classify.rules.2.all.1.any.0", "solidity"),
            ("classify.rules.2.all.1.any.1", "area_um2"),
        ]
        simple = Rule(column="area_um2", above=1)
        assert list(conditions_of(simple, "classify.rules.0")) == [("classify.rules.0", simple)]

    def test_each_column_once_by_its_name_in_the_table(self):
        names = cells([1]).column_names
        assert rule_columns([self.RULE, Rule(column="solidity", below=1)], names) == (
            "nucleus_area_um2", "nucleus_solidity",
        )  # fmt: skip
        assert rule_columns([], names) == ()

    def test_every_unknown_column_is_named_with_its_neighbours(self):
        rule = Rule(all=(Condition(column="aera_um2", above=1), Condition(any=(Condition(column="solidty", below=1),))))
        with pytest.raises(ConfigError, match=r"'aera_um2'.*nearest: nucleus_area_um2.*'solidty'.*nucleus_solidity"):
            check_rules([rule], cells([1]).schema, "slide A")
        check_rules([self.RULE], cells([1]).schema, "slide A")

    def test_a_flag_is_no_number_and_tissues_need_a_map(self):
        with pytest.raises(ConfigError, match="touches_border"):
            flag = Condition(column="touches_border", above=0)
            check_rules([Rule(all=(flag,))], cells([1]).schema, "slide A")
        with pytest.raises(ConfigError, match=r"tissue\.enabled: true"):
            check_rules([Rule(all=(LARGE,), tissues=("gland",))], cells([1]).schema, "slide A")


class TestSettings:
    @pytest.mark.parametrize(
        ("rule", "fault"),
        [
            ({}, "a rule needs a column with above or below, or all, or any"),
            ({"above": 3}, "a rule needs a column with above or below"),
            ({"column": "area_um2"}, "a rule needs above, below or both"),
            ({"all": []}, "an empty all or any asks nothing"),
            ({"any": [], "all": [{"column": "a", "above": 1}]}, "an empty all or any asks nothing"),
            ({"all": [{}]}, "a condition needs a column with above or below"),
            ({"all": [{"column": "a"}]}, "a condition needs above, below or both"),
            ({"any": [{"any": []}]}, "a condition with an empty all or any"),
            ({"column": "a", "above": 1, "any": [{"column": "b", "above": 1}]}, "not both"),
            ({"above": 1, "any": [{"column": "b", "above": 1}]}, "not both"),
            ({"column": "a", "above": 1, "below": 2}, "put both under all"),
            ({"column": "a", "above": 1, "name": "a; b"}, "semicolon"),
            ({"column": "a", "above": 1, "name": "a\nb"}, "line break"),
            ({"all": [{"column": "a", "above": 1, "status": "abnormal"}]}, "status"),
        ],
    )
    def test_what_is_no_rule(self, rule, fault):
        with pytest.raises(ValidationError, match=fault):
            Rule.model_validate(rule)

    def test_a_written_rule_reads_back_without_what_is_not_set(self):
        rules = (Rule(column="area_um2", below=0.0), Rule(name="odd", any=(LARGE, Condition(all=(RAGGED, ROUND)))))
        plain = ClassifySettings(rules=rules).model_dump(mode="json")
        assert ClassifySettings.model_validate(plain).rules == rules
        assert set(plain["rules"][1]) == {"name", "any", "status", "stains", "tissues"}
        assert plain["rules"][1]["any"][0] == {"column": "area_um2", "above": 120}
        assert plain["rules"][0]["below"] == 0 and "above" not in plain["rules"][0]
