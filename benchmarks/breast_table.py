"""Verdicts on a table that everybody knows: the Wisconsin breast cancer data of scikit-learn, 569 patients, 30 columns.

Prints, of ten random parts left out in turn, how well the supervised models part malignant from benign rows, and how
well a reference of benign rows alone does. Rows are patients, so they may be parted at random.

    python benchmarks/breast_table.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

from cellseg.classify_config import ReferenceSettings, TrainClassifierSettings
from cellseg.stages.train_classifier import ClassifierRequest, train_classifier
from cellseg.stages.train_reference import ReferenceRequest, train_reference
from cellseg.stages.training_cells import ClassTable


def write_table(path: Path) -> ClassTable:
    """The table as a CSV, and which of its classes are abnormal."""
    data = load_breast_cancer()
    kinds = np.array(["malignant", "benign"])[data.target]
    rows = [",".join([kind, *map(repr, row)]) for kind, row in zip(kinds.tolist(), data.data.tolist(), strict=True)]
    path.write_text("\n".join([",".join(["diagnosis", *data.feature_names]), *rows]) + "\n", encoding="utf-8")
    return ClassTable(path, "diagnosis", ("malignant",))


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        source = write_table(Path(folder) / "table.csv")
        print("supervised        accuracy  AUROC  coverage (asked 0.9)  calibration error")
        for model in ("logistic", "boosting", "both"):
            settings = TrainClassifierSettings(model=model, groups="cells_are_independent", min_leaf_cells=10, trees=50)
            out = Path(folder) / f"{model}.safetensors"
            held_out = train_classifier(ClassifierRequest(source, out, settings, leaks=False))["held_out"]
            pooled = held_out["pooled"]
            print(
                f"{model:16}  {pooled['accuracy']:8.3f}  {pooled['auroc']:.3f}  {pooled['coverage']:20.3f}  "
                f"{held_out['calibration_error']:17.3f}"
            )
        print("benign rows alone            AUROC  benign rows with a p-value under 0.05")
        for score in ("covariance", "isolation_forest", "nearest", "rms"):
            reference = ReferenceSettings(features=("*",), score=score)
            request = ReferenceRequest(source, Path(folder) / f"{score}.json", reference, independent_rows=True)
            (one,) = train_reference(request)["held_out_figures"].values()
            print(f"{score:27}  {one['auroc']:.3f}  {one['healthy_with_p_under_0.05']:.3f}")


if __name__ == "__main__":
    main()
