"""What no verdict may depend on: order, company, names, units, the cut into row groups; and what always adds up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from asserts import assert_partition, nan_as_none
from cell_tables import mapped, measured, recipe, write_measured

from cellseg.classify.verdict import judge_cells
from cellseg.classify_config import ClassifySettings, ReferenceSettings, Rule
from cellseg.stages.classify import classify_cells
from cellseg.stages.reference import fit_reference
from cellseg.stages.tables import write_tables
from cellseg.train.reference import fit_healthy
from cellseg.types import STATUSES

AREA = "nucleus_area_um2"
FEATURES = (AREA, "nucleus_circularity", "nucleus_solidity")
SETTINGS = ClassifySettings(
    rules=(), reference=ReferenceSettings(features=FEATURES, decide="p_value", abnormal_p=0.02, uncertain_p=0.1)
)


def fit(table, settings=SETTINGS):
    matrix = np.column_stack([table[name].to_numpy() for name in FEATURES])
    groups = (table["cell_id"].to_numpy() % 5).astype(str)
    return fit_healthy(matrix, FEATURES, groups, stain="he", left_out={}, settings=settings.reference)


def judge(table, reference, settings=SETTINGS):
    return judge_cells(table, reference, stain="he", sharpness=0.1, settings=settings)


@pytest.fixture(scope="module")
def healthy():
    return measured(2000, seed=1)


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(2)
    return measured(
        800, seed=3, area_um2=rng.gamma(6, 11, 800), touches_border=rng.random(800) < 0.05,
        edge_sharpness_per_um=rng.uniform(0.02, 0.2, 800),
    )  # fmt: skip


def test_all_four_statuses_are_met(healthy, cells):
    assert set(judge(cells, fit(healthy))["status"].to_pylist()) == set(STATUSES)


def test_order_of_the_healthy_cells(healthy):
    mixed = healthy.take(np.random.default_rng(0).permutation(healthy.num_rows))
    assert fit(mixed).to_dict() == fit(healthy).to_dict()


def test_order_and_company_of_the_judged_cells(healthy, cells):
    reference = fit(healthy)
    order = np.random.default_rng(0).permutation(cells.num_rows)[:300]
    moved, still = judge(cells.take(order), reference), judge(cells, reference).take(order)
    # probabilities are of a cell among those of its slide
    ours, theirs = (nan_as_none(one.drop_columns(["abnormal_probability"]).to_pydict()) for one in (moved, still))
    assert ours == theirs


def test_ids(healthy, cells):
    renamed = cells.set_column(cells.schema.get_field_index("cell_id"), "cell_id", pa.array(
        4_294_967_295 - np.arange(cells.num_rows)[::-1], pa.uint32()
    ))  # fmt: skip
    ours, theirs = (judge(table, fit(healthy)).drop_columns(["cell_id"]) for table in (cells, renamed))
    assert nan_as_none(ours.to_pydict()) == nan_as_none(theirs.to_pydict())


def test_units(healthy, cells):
    """With areas in other units (and the bounds likewise), the same cells are abnormal, with the same scores."""
    scaled = [
        table.set_column(
            table.schema.get_field_index("nucleus_area_um2"),
            "nucleus_area_um2",
            pa.array(table["nucleus_area_um2"].to_numpy() * 1000.0),
        )
        for table in (healthy, cells)
    ]
    bound = {"min_area_um2": SETTINGS.exclude.min_area_um2 * 1000.0}
    settings = SETTINGS.model_copy(update={"exclude": SETTINGS.exclude.model_copy(update=bound)})
    ours = judge(cells, fit(healthy))
    theirs = judge(scaled[1], fit(scaled[0]), settings)
    assert theirs["status"].to_pylist() == ours["status"].to_pylist()
    # scores and the reference's figures are rounded to 6 decimals
    assert np.allclose(theirs["abnormal_score"].to_numpy(), ours["abnormal_score"].to_numpy(), atol=5e-6)


def test_a_rule_only_ever_makes_a_verdict_graver(healthy, cells):
    grade = {"healthy": 0, "uncertain": 1, "abnormal": 2, "excluded": 3}
    rules = SETTINGS.model_copy(update={"rules": (Rule(column="nucleus_area_um2", above=70, status="uncertain"),)})
    without = [grade[s] for s in judge(cells, fit(healthy))["status"].to_pylist()]
    with_rule = [grade[s] for s in judge(cells, fit(healthy), rules)["status"].to_pylist()]
    assert all(b >= a for a, b in zip(without, with_rule, strict=True))
    assert with_rule != without


def test_a_reason_for_every_verdict_but_healthy(healthy, cells):
    verdicts = judge(cells, fit(healthy)).to_pydict()
    for status, n_reasons, reasons in zip(verdicts["status"], verdicts["n_reasons"], verdicts["reasons"], strict=True):
        assert (reasons == "") == (status == "healthy")
        assert n_reasons == (0 if reasons == "" else reasons.count("; ") + 1)


def test_a_map_changes_no_verdict_where_nothing_looks_at_it(tmp_path, healthy, cells):
    rng = np.random.default_rng(5)
    folders = []
    for name in ("plain", "mapped"):
        folder = tmp_path / name
        paths = []
        for part, table in (("healthy", healthy), ("cells", cells)):
            tissues = rng.choice(["stroma", "gland", ""], table.num_rows).tolist()
            paths.append(
                write_measured(folder / f"{part}.parquet", mapped(table, tissues) if name == "mapped" else table)
            )
        fit_reference(paths[:1], folder / "r.json", stain="he", settings=SETTINGS)
        verdicts = folder / "v.parquet"
        classify_cells(paths[1], verdicts, reference=folder / "r.json", recipe=recipe(), settings=SETTINGS)
        write_tables(paths[1], verdicts, folder / "out")
        folders.append(folder)
    plain, with_map = folders
    for file in ("r.json", "v.parquet"):
        assert (plain / file).read_bytes() == (with_map / file).read_bytes(), file
    ours, theirs = (assert_partition(folder / "out") for folder in folders)
    assert [name for name in theirs.columns if name not in ours.columns] == [
        "signed_distance_stroma_um", "signed_distance_gland_um",
    ]  # fmt: skip
    others = [name for name in ours.columns if name != "tissue"]
    assert ours[others].equals(theirs[others])
    assert ours["tissue"].isna().all() and theirs["tissue"].notna().any()


def test_a_reference_of_one_tissue_for_all_is_the_reference_of_all(healthy, cells):
    """Cells that all lie in one tissue have one fit, however it is asked for: the same verdicts, in other words."""
    plain = fit(healthy)
    both = dataclasses.replace(plain, tissues={"gland": plain})
    everywhere = mapped(cells, ["gland"] * cells.num_rows)
    ours, theirs = judge(everywhere, plain).to_pydict(), judge(everywhere, both).to_pydict()
    assert [text.replace("healthy gland", "healthy").replace(" of healthy", "") for text in theirs["reasons"]] == ours[
        "reasons"
    ]
    assert all(str(ours[name]) == str(theirs[name]) for name in ("status", "abnormal_score", "n_reasons"))


def test_row_groups_give_the_same_tables_and_more_cells_than_16_bit_holds(tmp_path):
    table = measured(70_000, seed=4)
    outs = []
    for name, step in (("whole", 70_000), ("parts", 9_999)):
        folder = tmp_path / name
        path = write_measured(folder / "m.parquet", *(table.slice(i, step) for i in range(0, 70_000, step)))
        fit_reference([path], folder / "r.json", stain="he", settings=SETTINGS)
        verdicts = folder / "v.parquet"
        counts = classify_cells(path, verdicts, reference=folder / "r.json", recipe=recipe(), settings=SETTINGS)
        assert write_tables(path, verdicts, folder / "out") == counts
        assert sum(counts.values()) == 70_000
        outs.append(folder)
    assert (outs[0] / "r.json").read_bytes() == (outs[1] / "r.json").read_bytes()
    for file in (outs[0] / "out").glob("*.csv"):
        assert file.read_bytes() == (outs[1] / "out" / file.name).read_bytes(), file.name
    assert assert_partition(outs[0] / "out")["cell_id"].max() == 70_000
