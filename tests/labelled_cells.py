"""Labelled cells with known answers for the tests of train: features that travel, and a column that tells the slide."""

from __future__ import annotations

import numpy as np

from cellseg.train.margins import TrainingCells


def labelled_cells(
    n_groups: int = 5,
    n_cells: int = 60,
    *,
    strength: float = 2.0,
    shares=None,
    slide_column: bool = False,
    seed: int = 0,
) -> TrainingCells:
    """Healthy and abnormal cells in groups: feature 0 and 1 part them everywhere, 2 is noise, 3 differs by group.

    `shares` is the share of abnormal cells of each group. With `slide_column` a column is added that is the same for
    all cells of a group and whatever it wants among groups.
    """
    rng = np.random.default_rng(seed)
    shares = [0.5] * n_groups if shares is None else shares
    abnormal = np.concatenate([np.arange(n_cells) < round(share * n_cells) for share in shares])
    code = np.repeat(np.arange(n_groups), n_cells)
    matrix = rng.normal(size=(abnormal.size, 4))
    matrix[abnormal, 0] += strength
    matrix[abnormal, 1] -= strength / 2
    # features, not slides, have the sign: on every second slide the third feature speaks for the other side
    matrix[abnormal, 3] += np.where(code[abnormal] % 2, 1.0, -1.0)
    names = ["cell_area_um2", "cell_solidity", "cell_extent", "cell_eccentricity"]
    if slide_column:
        matrix = np.column_stack([matrix, rng.permutation(n_groups)[code].astype(float)])
        names.append("cell_mean_radius_um")
    return TrainingCells(
        matrix, abnormal, np.array([f"g{i}" for i in code]), np.where(abnormal, "bad", "good").astype(np.str_),
        tuple(names),
    )  # fmt: skip
