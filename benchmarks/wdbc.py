"""Whether our ten Wisconsin features mean what they mean in the Wisconsin table: its models judge our simulated fields.

    python benchmarks/wdbc.py [--fields 20]

Logistic regression and gradient boosting are fitted on scikit-learn's copy of the table (569 patients, one row each,
Street, Wolberg, Mangasarian 1993). They then judge simulated H&E fields, benign (healthy nuclei) and malignant (4 in 5
abnormal), whose nuclei are measured in their true outlines and summarized as the rows of the table are: from 13 nuclei
each, which is what the distance from mean to worst says, in standard errors, for the table.

The limits of it. The table's lengths have no unit; one of its units is taken to be 0.3 um, which makes a benign nucleus
7.3 um wide in the median, so absolute size is fitted, not tested. Where the paper leaves a choice (points of the
contour, span of chords, rulers) ours gives values in the table's range for real H&E nuclei; its own are not known.
Texture is that of another stain and camera. The table is of smears, whose nuclei are whole and spread out, not of
sections. Simulated nuclei are ellipses with waves, smoother than real benign ones. A probability is therefore a sign
that the definitions agree, and nothing to judge a patient by.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cellseg.measure.boxes import scan_cells
from cellseg.measure.patches import cut_patches, cut_pixels
from cellseg.measure.wdbc import FEATURES, SUMMARIES, measure_wdbc10, summarize_wdbc10
from cellseg.simulate import Tissue, simulate_tissue

UNIT_UM = 0.3
"""um of one of the table's units of length."""
N_NUCLEI = 13
"""Nuclei that a row of the table is made of."""
SIDE_PX, MPP = 400, 0.25
SHARES = {"benign": 0.0, "malignant": 0.8}
"""Share of abnormal nuclei in each kind of field."""
LUMA = (0.2126, 0.7152, 0.0722)


def table() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The table's 30 columns, and which of its rows are malignant."""
    data = load_breast_cancer()
    return data.data, data.target == 0


def summarize_field(share: float, seed: int) -> NDArray[np.float64]:
    """The 30 figures of a simulated field in the table's units and order."""
    made = simulate_tissue(SIDE_PX, SIDE_PX, tissue=Tissue(mpp=MPP, abnormal_share=share), seed=seed)
    cells = scan_cells(made.labels)
    y0, y1, x0, x1 = cells.boxes.T
    whole = np.flatnonzero((y0 > 0) & (x0 > 0) & (y1 < SIDE_PX) & (x1 < SIDE_PX))
    cells = cells.take(np.sort(np.random.default_rng(seed).choice(whole, N_NUCLEI, replace=False)))
    patches = cut_patches(made.labels, cells.ids, cells.boxes, cells.n_pixels)
    gray = np.rint(made.pixels @ np.array(LUMA)).astype(np.uint16)
    values = np.ascontiguousarray(cut_pixels(gray[..., None], patches)[:, 0])
    figures = summarize_wdbc10(measure_wdbc10(patches, values, n_levels=256, mpp=MPP))
    units = [UNIT_UM**2 if "um2" in name else UNIT_UM if "um" in name else 1.0 for name in figures]
    return np.array([*figures.values()]) / units


def compare(rows: NDArray[np.float64], malignant: NDArray[np.bool_], fields: dict[str, NDArray[np.float64]]) -> None:
    """Print each figure of the fields as standard deviations from the mean of the table's rows of the same kind."""
    print("\nfigures of our fields: mean in the table's units, and z against the table's rows of the same kind")
    print(f"{'':44}{'benign':>10}{'z':>7}{'malignant':>12}{'z':>7}")
    names = [f"{name.removeprefix('wdbc10_')} {summary}" for summary in SUMMARIES for name in FEATURES]
    for i, name in enumerate(names):
        line = f"{name:44}"
        for kind, of in (("benign", ~malignant), ("malignant", malignant)):
            ours, theirs = fields[kind][:, i].mean(), rows[of, i]
            line += f"{ours:>{10 if kind == 'benign' else 12}.4g}{(ours - theirs.mean()) / theirs.std():>7.1f}"
        print(line)


def judge(rows: NDArray[np.float64], malignant: NDArray[np.bool_], fields: dict[str, NDArray[np.float64]]) -> None:
    """Print how models of the table judge the fields."""
    models = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        "gradient boosting": GradientBoostingClassifier(random_state=0),
    }
    size = [i for i, name in enumerate(FEATURES * 3) if name.endswith(("_um", "_um2"))]
    form = [i for i, name in enumerate(FEATURES * 3) if not name.endswith(("_um", "_um2", "texture"))]
    sets = {"30 figures": list(range(30)), "size alone": size, "form alone": form}
    ours = np.concatenate([fields["benign"], fields["malignant"]])
    truth = np.repeat([False, True], [len(fields["benign"]), len(fields["malignant"])])
    print("\nprobability of malignant; AUROC by ten-fold cross-validation in the table, and of our fields")
    print(f"{'':34}{'table':>8}{'fields':>8}{'benign':>18}{'malignant':>18}")
    for model_name, model in models.items():
        for set_name, columns in sets.items():
            inner = cross_val_predict(model, rows[:, columns], malignant, cv=10, method="predict_proba")[:, 1]
            found = model.fit(rows[:, columns], malignant).predict_proba(ours[:, columns])[:, 1]
            spans = "".join(
                f"{found[of].mean():>7.3f} ({found[of].min():.2f}-{found[of].max():.2f})" for of in (~truth, truth)
            )
            print(
                f"{model_name + ', ' + set_name:34}{roc_auc_score(malignant, inner):>8.3f}"
                f"{roc_auc_score(truth, found):>8.3f}{spans}"
            )


def main() -> None:
    """Print what the table's models say of our fields, and where the figures differ."""
    parser = argparse.ArgumentParser(description="Simulated fields judged by models of the Wisconsin table.")
    parser.add_argument("--fields", type=int, default=20, help="of each kind")
    n_fields = parser.parse_args().fields
    rows, malignant = table()
    fields = {
        kind: np.array([summarize_field(share, seed) for seed in range(n_fields)]) for kind, share in SHARES.items()
    }
    print(f"{n_fields} benign and {n_fields} malignant fields, {N_NUCLEI} nuclei each; 1 table unit = {UNIT_UM} um")
    judge(rows, malignant, fields)
    compare(rows, malignant, fields)


if __name__ == "__main__":
    main()
