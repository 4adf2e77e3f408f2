"""Our ten Wisconsin features against scikit-learn's copy of the Wisconsin table."""

from __future__ import annotations

import numpy as np
import pytest
from patching import patches_of, plane_of
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cellseg.measure.wdbc import FEATURES, SUMMARIES, measure_wdbc10, summarize_wdbc10
from cellseg.simulate import Tissue, simulate_tissue

UNIT_UM, N_NUCLEI, SIDE_PX, MPP = 0.3, 13, 320, 0.25


@pytest.fixture(scope="module")
def table():
    return load_breast_cancer()


def field(share, seed):
    made = simulate_tissue(SIDE_PX, SIDE_PX, tissue=Tissue(mpp=MPP, abnormal_share=share), seed=seed)
    at_border = np.unique([made.labels[0], made.labels[-1], made.labels[:, 0], made.labels[:, -1]])
    whole = np.setdiff1d(np.unique(made.labels), np.append(at_border, 0))
    chosen = np.random.default_rng(seed).choice(whole, N_NUCLEI, replace=False)
    patches = patches_of(np.where(np.isin(made.labels, chosen), made.labels, 0))
    gray = np.rint(made.pixels @ np.array([0.2126, 0.7152, 0.0722])).astype(int)
    figures = summarize_wdbc10(measure_wdbc10(patches, plane_of(gray, patches), n_levels=256, mpp=MPP))
    return np.array([v / (UNIT_UM**2 if "um2" in k else UNIT_UM if "um" in k else 1) for k, v in figures.items()])


@pytest.fixture(scope="module")
def fields():
    return {kind: np.array([field(share, seed) for seed in range(3)]) for kind, share in (("B", 0.0), ("M", 0.8))}


def test_our_order_is_the_tables(table):
    said = {"mean": "mean {}", "standard_error": "{} error", "worst": "worst {}"}
    plain = [
        name.removeprefix("wdbc10_").removesuffix("_um").removesuffix("_um2").replace("_", " ") for name in FEATURES
    ]
    assert [said[summary].format(name) for summary in SUMMARIES for name in plain] == table.feature_names.tolist()


def test_the_tables_compactness_is_ours(table):
    """Its means of perimeter and area give its mean compactness by our formula, once the cells' sizes may vary.

    Over cells of one form, mean(P)^2 / mean(A) is less than the mean of P^2 / A by the spread of sizes: a second term,
    the squared standard error over the squared radius. What is left are cells of different forms: some per cent.
    """
    radius, perimeter, area, compactness = (table.data[:, i] for i in (0, 2, 3, 5))
    ours = perimeter**2 / (4 * np.pi * area) - 1
    terms = np.column_stack([ours, (table.data[:, 10] / radius) ** 2, np.ones_like(ours)])
    weights, left, *_ = np.linalg.lstsq(terms, compactness, rcond=None)
    assert weights[0] == pytest.approx(1, abs=0.1)
    assert weights[2] == pytest.approx(0, abs=0.005)
    assert 1 - left[0] / ((compactness - compactness.mean()) ** 2).sum() > 0.95
    # what the table's own description says is off by an order of magnitude
    assert (perimeter**2 / area - 1).min() > 10 > compactness.max()


def test_our_cells_lie_in_the_tables_range(table, fields):
    """Of all its rows: simulated nuclei are more regular than real ones, so the middle is not asked for."""
    malignant = table.target == 0
    for kind, of in (("B", ~malignant), ("M", malignant)):
        off = (fields[kind].mean(0)[:10] - table.data[of, :10].mean(0)) / table.data[of, :10].std(0)
        named = dict(zip(FEATURES, off, strict=True))
        # benign nuclei are drawn as ellipses with slight waves: too symmetric
        assert abs(named.pop("wdbc10_symmetry")) < 5
        assert max(abs(z) for z in named.values()) < 2.5, named


@pytest.mark.parametrize("form_alone", [False, True])
def test_the_tables_model_tells_our_fields_apart(table, fields, form_alone):
    names = FEATURES * 3
    kept = [i for i in range(30) if not form_alone or not names[i].endswith(("_um", "_um2", "texture"))]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(table.data[:, kept], table.target == 0)
    benign, malignant = (model.predict_proba(fields[kind][:, kept])[:, 1] for kind in "BM")
    assert benign.max() < 0.2
    assert malignant.min() > 0.3
    assert malignant.mean() > 0.7
