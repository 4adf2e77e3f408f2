"""A supervised model as arrays and plain values, and back. Floor 3: no files."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.supervised import Calibration, Classifier, LinearMember, ModelFeature, TreeEnsemble, TreeMember
from cellseg.classify.travel import Travel
from cellseg.errors import ModelError

Arrays = dict[str, NDArray[Any]]
_CONFORMAL = (
    "conformal_healthy", "conformal_healthy_weights", "conformal_abnormal", "conformal_abnormal_weights",
)  # fmt: skip
_PLAIN = ("prior", "threshold", "stain", "classes", "story")


def classifier_to_arrays(model: Classifier) -> tuple[Arrays, dict[str, Any]]:
    """All arrays of a model by name, and the rest as values that JSON can hold (NaN as null)."""
    arrays: Arrays = {name: getattr(model, name) for name in _CONFORMAL} | {"member_weights": model.member_weights}
    arrays |= {"calibration.x": model.calibration.x, "calibration.y": model.calibration.y}
    members: list[dict[str, Any]] = []
    for number, member in enumerate(model.members):
        data = member.trees if isinstance(member, TreeMember) else member
        kind = "trees" if isinstance(member, TreeMember) else "linear"
        plain: dict[str, Any] = {"kind": kind}
        for one in fields(data):
            value = getattr(data, one.name)
            if isinstance(value, np.ndarray):
                arrays[f"members.{number}.{one.name}"] = value
            else:
                plain[one.name] = value
        members.append(plain)
    healthy = ("healthy_median", "healthy_low", "healthy_high")
    for name in healthy:
        arrays[f"features.{name}"] = np.array([getattr(feature, name) for feature in model.features], np.float64)
    calibration = {key: value for key, value in asdict(model.calibration).items() if key in ("kind", "a", "b")}
    values = {
        "features": [{"name": feature.name, "relative": feature.relative} for feature in model.features],
        "members": members,
        "calibration": calibration,
    }
    if travel := model.travel:
        arrays |= {"travel.centre": travel.centre, "travel.scale": travel.scale}
        values["travel"] = {"kind": travel.kind, "share": travel.share, "columns": list(travel.columns)}
    return arrays, values | {name: getattr(model, name) for name in _PLAIN}


def classifier_from_arrays(arrays: Arrays, values: dict[str, Any], where: str) -> Classifier:
    """The model that `classifier_to_arrays` took apart.

    Raises
    ------
    ModelError
        If something of it is missing, or features are relative to a slide and it is not said how.
    """
    try:
        healthy = zip(
            *(arrays[f"features.{name}"].tolist() for name in ("healthy_median", "healthy_low", "healthy_high")),
            strict=True,
        )
        features = tuple(
            ModelFeature(one["name"], one["relative"], *figures)
            for one, figures in zip(values["features"], healthy, strict=True)
        )
        given: dict[str, Any] = {name: arrays[name] for name in _CONFORMAL} | {name: values[name] for name in _PLAIN}
        return Classifier(
            features=features,
            members=tuple(_member(arrays, number, plain) for number, plain in enumerate(values["members"])),
            member_weights=arrays["member_weights"],
            calibration=Calibration(**values["calibration"], x=arrays["calibration.x"], y=arrays["calibration.y"]),
            travel=_travel(arrays, values["travel"]) if "travel" in values else None,
            **given,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{where}: a model that lacks a part ({error!r}); train it again with `cellseg train classifier`"
        ) from error


def _travel(arrays: Arrays, plain: dict[str, Any]) -> Travel:
    kind, share, columns = plain["kind"], plain["share"], tuple(plain["columns"])
    return Travel(kind, share, columns, arrays["travel.centre"], arrays["travel.scale"])


def _member(arrays: Arrays, number: int, plain: dict[str, Any]) -> LinearMember | TreeMember:
    start = f"members.{number}."
    own: dict[str, Any] = {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
    rest = {key: value for key, value in plain.items() if key != "kind"}
    if plain["kind"] == "linear":
        return LinearMember(**own, **rest)
    return TreeMember(TreeEnsemble(**own, **rest))
