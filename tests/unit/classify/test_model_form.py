"""A model taken apart and put together again, and parts that make none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cellseg.classify.calibration import Calibration
from cellseg.classify.model_form import classifier_from_arrays, classifier_to_arrays
from cellseg.classify.supervised import Classifier, LinearMember, ModelFeature, TreeMember, predict_probability
from cellseg.classify.travel import Travel
from cellseg.classify.trees import TreeEnsemble
from cellseg.errors import ModelError

NAN = float("nan")


def trees():
    return TreeEnsemble(
        roots=np.array([0, 5], np.int32), feature=np.array([0, -1, 1, -1, -1, -1], np.int32),
        threshold=np.array([1.5, 0, 0.0, 0, 0, 0]), missing_left=np.array([False, False, True, False, False, False]),
        left=np.array([1, 0, 3, 0, 0, 0], np.int32), right=np.array([2, 0, 4, 0, 0, 0], np.int32),
        value=np.array([0, 1.0, 0, 10.0, 100.0, 0.5]), bias=-2.0,
    )  # fmt: skip


def model():
    line = LinearMember(
        centre=np.zeros(2), scale=np.ones(2), fill=np.zeros(2), weights=np.array([1.0, -1.0]), bias=0.5, clip=5.0
    )
    return Classifier(
        features=(ModelFeature("a", True, 0.0, -1.0, 1.0), ModelFeature("b", False, NAN, NAN, NAN)),  # noqa: FBT003
        members=(line, TreeMember(trees())), member_weights=np.array([0.5, 0.5]),
        calibration=Calibration("isotonic", x=np.array([-1.0, 1.0]), y=np.array([0.1, 0.9])), prior=0.3, threshold=0.4,
        conformal_healthy=np.array([0.1]), conformal_healthy_weights=np.ones(1), conformal_abnormal=np.empty(0),
        conformal_abnormal_weights=np.empty(0), stain="he", classes={"n": "healthy"}, story={"version": "1"},
        travel=Travel("normal", 0.4, ("a", "c"), np.array([1.0, -2.0]), np.array([0.5, 3.0])),
    )  # fmt: skip


def through_json(made):
    arrays, values = classifier_to_arrays(made)
    return arrays, json.loads(json.dumps(values, allow_nan=False))


def test_comes_back_as_it_was():
    back = classifier_from_arrays(*through_json(model()), "m")
    assert [type(member) for member in back.members] == [LinearMember, TreeMember]
    cells = np.array([[0.2, 0.5], [NAN, -1.0], [2.0, NAN]])
    assert np.array_equal(predict_probability(back, cells), predict_probability(model(), cells))
    assert back.features[0] == model().features[0]
    assert np.isnan(back.features[1].healthy_low)
    for name in ("prior", "threshold", "stain", "classes", "story"):
        assert getattr(back, name) == getattr(model(), name)
    assert (back.travel.kind, back.travel.share, back.travel.columns) == ("normal", 0.4, ("a", "c"))
    assert (back.travel.centre.tolist(), back.travel.scale.tolist()) == ([1.0, -2.0], [0.5, 3.0])
    again, values = through_json(back)
    assert values == through_json(model())[1]
    assert again.keys() == classifier_to_arrays(model())[0].keys()


@pytest.mark.parametrize("gone", sorted(classifier_to_arrays(model())[0]))
def test_each_array_is_needed(gone):
    arrays, values = through_json(model())
    del arrays[gone]
    with pytest.raises(ModelError, match="m: a model that lacks a part"):
        classifier_from_arrays(arrays, values, "m")


@pytest.mark.parametrize("gone", sorted(classifier_to_arrays(model())[1]))
def test_each_value_is_needed(gone):
    arrays, values = through_json(model())
    del values[gone]
    with pytest.raises(ModelError, match="m: a model that lacks a part"):
        classifier_from_arrays(arrays, values, "m")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("members.1.left", np.zeros(6, np.int32)),
        ("members.1.feature", np.array([9, -1, 1, -1, -1, -1], np.int32)),
        ("members.0.weights", np.zeros(3)),
        ("member_weights", np.ones(1)),
        ("calibration.x", np.array([1.0, -1.0])),
        ("features.healthy_low", np.zeros(3)),
        ("travel.centre", np.zeros(3)),
        ("travel.scale", np.array([0.5, 0.0])),
        ("travel.scale", np.array([0.5, NAN])),
    ],
)
def test_parts_that_do_not_fit(name, array):
    # trees whose nodes point nowhere would read outside of the arrays, or never end
    arrays, values = through_json(model())
    with pytest.raises(ModelError, match="m: a model that lacks a part"):
        classifier_from_arrays(arrays | {name: array}, values, "m")


def test_a_calibration_of_another_kind():
    arrays, values = through_json(replace(model(), calibration=Calibration("platt", 2.0, 1.0)))
    assert classifier_from_arrays(arrays, values, "m").calibration.a == 2.0
    values["calibration"]["kind"] = "beta"
    with pytest.raises(ModelError, match="kind 'beta'"):
        classifier_from_arrays(arrays, values, "m")


def test_values_as_measured_alone_need_no_travel():
    features = tuple(replace(one, relative=False) for one in model().features)
    arrays, values = through_json(replace(model(), features=features, travel=None))
    assert not [name for name in [*arrays, *values] if "travel" in name]
    assert classifier_from_arrays(arrays, values, "m").travel is None


@pytest.mark.parametrize(
    ("travel", "words"),
    [
        ({"kind": "group", "share": 0.4, "columns": ["a", "c"]}, "of kind 'group'"),
        ({"kind": "normal", "share": 0.0, "columns": ["a", "c"]}, "relative to 0.0 of the cells"),
        ({"kind": "normal", "share": 0.4, "columns": ["b", "c"]}, "a relative to a slide, without the healthy cells'"),
        ({"kind": "normal", "share": 0.4}, "lacks a part"),
    ],
)
def test_travel_that_does_not_fit(travel, words):
    arrays, values = through_json(model())
    with pytest.raises(ModelError, match=words):
        classifier_from_arrays(arrays, values | {"travel": travel}, "m")
