"""Who is trained on and who is left out: whole patients or slides, never single cells. Floor 4: arrays only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError

_WHY = (
    "cells of one slide share its stain and focus, so that cells left out at random are judged by their own slide and "
    "the figures flatter"
)
_CURE = (
    "give the patient or slide of each cell in the column group, or, where rows truly are independent (one row a "
    "patient), say groups: cells_are_independent in the settings"
)


@dataclass(frozen=True)
class Split:
    """One fold: `train` and `test` (int64, rising) are rows; `left_out` names the groups of the latter."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    left_out: tuple[str, ...]


def check_groups(groups: NDArray[np.str_], train_only: Collection[str], where: str) -> None:
    """Refuse groups that cannot be left out one by one.

    Parameters
    ----------
    groups : (n,) ndarray of str
        Patient or slide of each cell; "" is unknown.
    train_only : collection of str
        Groups that are never left out.
    where : str
        What the message calls the table.

    Raises
    ------
    ConfigError
        If a cell has no group, there are fewer than two to leave out, every cell has its own, or `train_only` names an
        unknown one. The message says why random splits flatter and what to do.
    """
    known = set(np.unique(groups).tolist())
    if unknown := sorted(set(train_only) - known):
        raise ConfigError(
            f"{where}: train_only_groups names {', '.join(map(repr, unknown))}; known are "
            f"{', '.join(sorted(known)[:20])}; correct the name"
        )
    n_empty = int((np.char.strip(groups) == "").sum())
    n_left = len(known - set(train_only))
    if n_empty:
        fault = f"{n_empty} of {groups.size} cells have no group"
    elif n_left < 2:
        fault = f"{n_left} group of cells to leave out, expected two or more"
    elif groups.size == len(known):
        fault = f"each of the {groups.size} cells is a group of its own"
    else:
        return
    raise ConfigError(f"{where}: {fault}; {_WHY}; {_CURE}")


def grouped_splits(groups: NDArray[np.str_], *, max_folds: int, train_only: Collection[str] = ()) -> list[Split]:
    """Each group left out once: alone where there are at most `max_folds`, else in so many parts of like size.

    Parameters
    ----------
    groups : (n,) ndarray of str
        Patient or slide of each cell.
    max_folds : int
        Folds at most.
    train_only : collection of str
        Groups that are in every training part and in no test part.

    Returns
    -------
    list of Split
        In the order of the groups' names; empty where fewer than two groups can be left out.
    """
    from sklearn.model_selection import GroupKFold

    rows = np.flatnonzero(~np.isin(groups, list(train_only)))
    always = np.setdiff1d(np.arange(groups.size), rows)
    names, code = np.unique(groups[rows], return_inverse=True)
    if names.size < 2:
        return []
    if names.size <= max_folds:
        parts = [np.flatnonzero(code == at) for at in range(names.size)]
    else:
        parts = [test for _, test in GroupKFold(max_folds).split(rows, groups=code)]
    return [
        Split(
            np.union1d(np.delete(rows, part), always).astype(np.int64),
            rows[part].astype(np.int64),
            tuple(np.unique(groups[rows[part]]).tolist()),
        )
        for part in parts
    ]


def random_splits(abnormal: NDArray[np.bool_], *, n_folds: int, seed: int) -> list[Split]:
    """Cells parted at random, with like shares of abnormal ones; for rows that truly are independent.

    Parameters
    ----------
    abnormal : (n,) ndarray of bool
        The truth. Of a class with fewer cells than `n_folds` there are as many folds as cells, two at least.
    n_folds : int
        Folds at most.
    seed : int
        Of the draw.

    Returns
    -------
    list of Split
        `left_out` is empty; no splits where a class has fewer than two cells.
    """
    from sklearn.model_selection import StratifiedKFold

    fewest = int(np.bincount(abnormal.astype(np.int64), minlength=2).min())
    if fewest < 2:
        return []
    folds = StratifiedKFold(min(n_folds, fewest), shuffle=True, random_state=seed)
    return [Split(train.astype(np.int64), test.astype(np.int64), ()) for train, test in folds.split(abnormal, abnormal)]


def even_weights(abnormal: NDArray[np.bool_], groups: NDArray[np.str_]) -> NDArray[np.float64]:
    """Weights (n,) float64 that sum to 1 in each class present, with every group that has the class alike in it.

    Used where what is fitted must not be ruled by the slide that most cells come from.
    """
    _, code = np.unique(groups, return_inverse=True)
    key = 2 * code + abnormal
    n_of_key = np.bincount(key)
    n_groups = np.array([np.unique(code[abnormal == side]).size for side in (False, True)])
    return np.asarray(1.0 / (n_of_key[key] * n_groups[abnormal.astype(np.int64)]), np.float64)


def training_weights(
    abnormal: NDArray[np.bool_],
    groups: NDArray[np.str_],
    classes: NDArray[np.str_],
    *,
    balance: str,
    power: float,
) -> NDArray[np.float64]:
    """What each cell counts in training, (n,) float64 of mean 1; healthy and abnormal cells count alike in sum.

    Parameters
    ----------
    abnormal : (n,) ndarray of bool
        The truth; both must be there.
    groups, classes : (n,) ndarray of str
        Patient or slide, and fine class.
    balance : {"class", "class_and_group", "class_group_and_type"}
        What more is balanced: inside of healthy and of abnormal cells the groups, inside of those the fine classes.
    power : float
        A group (fine class) of n cells counts as n ** power.
    """
    levels = [abnormal.astype(np.int64)]
    if balance != "class":
        levels.append(np.unique(groups, return_inverse=True)[1])
    if balance == "class_group_and_type":
        levels.append(np.unique(classes, return_inverse=True)[1])
    share = np.ones(abnormal.size)
    node = np.zeros(abnormal.size, np.int64)
    for depth, level in enumerate(levels):
        child = np.unique(node * (level.max() + 1) + level, return_inverse=True)[1]
        sizes = np.bincount(child).astype(np.float64)
        mass = sizes**power if depth else np.ones_like(sizes)
        parent = np.zeros(sizes.size, np.int64)
        parent[child] = node
        share *= (mass / np.bincount(parent, mass)[parent])[child]
        node = child
    share /= np.bincount(node)[node]
    return share * abnormal.size
