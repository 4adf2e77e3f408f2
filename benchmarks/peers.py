"""cp_measure and Nyxus on a label image and a gray image, timed family by family; `features_speed.py` runs it.

    python -m venv peers && peers/bin/pip install cp_measure nyxus
    peers/bin/python benchmarks/peers.py FIELD.npz OUT.json

It stands alone (no import of cellseg), for their requirements do not fit into one environment with ours.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

CP_MEASURE = {
    "shape": ("sizeshape", "feret"), "zernike": ("zernike",), "intensity": ("intensity",),
    "radial": ("radial_distribution",), "radial_zernike": ("radial_zernikes",), "granularity": ("granularity",),
    "haralick": ("texture",),
}  # fmt: skip
NYXUS = {
    "shape": ["*ALL_MORPHOLOGY*"], "zernike": ["ZERNIKE2D"], "intensity": ["*ALL_INTENSITY*"],
    "radial": ["FRAC_AT_D", "MEAN_FRAC", "RADIAL_CV"], "haralick": ["*ALL_GLCM*"], "run_length": ["*ALL_GLRLM*"],
    "size_zone": ["*ALL_GLSZM*"], "dependence": ["*ALL_GLDM*"], "neighborhood": ["*ALL_NEIGHBOR*"], "all": ["*ALL*"],
}  # fmt: skip
LABEL_COLUMNS = 4
"""Columns of a Nyxus table that name the row."""


def timed(act: Callable[[], int]) -> dict[str, float]:
    """CPU seconds of a call and the columns that it gave."""
    start = time.process_time()
    n_columns = act()
    return {"seconds": time.process_time() - start, "columns": n_columns}


def run_cp_measure(labels: np.ndarray, gray: np.ndarray) -> dict[str, dict[str, float]]:
    """Each family of cp_measure, and all of them added up."""
    from cp_measure.bulk import get_core_measurements

    functions = get_core_measurements()
    labels, scaled = labels.astype(np.int32), gray / 255.0
    small = labels[:200, :200] * (labels[:200, :200] <= labels[100, 100]), scaled[:200, :200]
    for name in ("sizeshape", "intensity"):  # what is imported or compiled at first use is not counted
        functions[name](*small)
    out = {
        family: timed(lambda names=names: sum(len(functions[name](labels, scaled)) for name in names))
        for family, names in CP_MEASURE.items()
    }
    total = {key: sum(one[key] for one in out.values()) for key in ("seconds", "columns")}
    return out | {"all": total}


def run_nyxus(labels: np.ndarray, gray: np.ndarray) -> dict[str, dict[str, float]]:
    """Each family of Nyxus, one thread."""
    from nyxus import Nyxus

    values, ids = gray.astype(np.uint32), labels.astype(np.uint32)

    def featurize(names: list[str]) -> int:
        table = Nyxus(names, n_feature_calc_threads=1, neighbor_distance=5).featurize(values, ids)
        return table.shape[1] - LABEL_COLUMNS

    return {family: timed(lambda names=names: featurize(names)) for family, names in NYXUS.items()}


def main() -> None:
    """Time both on the field and write seconds and columns as JSON."""
    field, out = Path(sys.argv[1]), Path(sys.argv[2])
    data = np.load(field)
    warnings.simplefilter("ignore")
    labels, gray = data["labels"], data["gray"]
    found = {"cp_measure": run_cp_measure(labels, gray), "nyxus": run_nyxus(labels, gray)}
    out.write_text(json.dumps(found | {"n_cells": int(len(np.unique(labels)) - 1)}), encoding="utf-8")


if __name__ == "__main__":
    main()
