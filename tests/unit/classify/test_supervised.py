"""A supervised model's probability, sets and reasons; and its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cellseg.classify.calibration import Calibration, calibrate, shift_prior
from cellseg.classify.supervised import (
    Classifier,
    LinearMember,
    ModelFeature,
    check_classifier,
    explain,
    judge_by_model,
    predict_margin,
    predict_probability,
    prediction_sets,
)
from cellseg.errors import ModelError
from cellseg.io import classifier_file
from cellseg.stages.classifier_model import read_classifier, write_classifier

NAN = float("nan")
NAMES = ("nucleus_area_um2", "nucleus_solidity")


def model(**changes):
    """Log-odds z of the area less z of the solidity; healthy: 50 (38 to 62) um2, 0.95 (0.9 to 1)."""
    member = LinearMember(
        centre=np.array([50.0, 0.95]), scale=np.array([10.0, 0.05]), fill=np.array([50.0, 0.95]),
        weights=np.array([1.0, -1.0]), bias=0.0, clip=5.0,
    )  # fmt: skip
    scores = np.linspace(0.01, 0.4, 40)
    even = np.full(40, 1 / 40)
    made = Classifier(
        features=(
            ModelFeature(NAMES[0], relative=False, healthy_median=50.0, healthy_low=38.0, healthy_high=62.0),
            ModelFeature(NAMES[1], relative=False, healthy_median=0.95, healthy_low=0.9, healthy_high=1.0),
        ),
        members=(member,), member_weights=np.ones(1), calibration=Calibration("platt", 2.0, 0.5), prior=0.5,
        threshold=0.5, conformal_healthy=scores, conformal_healthy_weights=even, conformal_abnormal=scores,
        conformal_abnormal_weights=even, stain="he", classes={"normal": "healthy", "tumour": "abnormal"},
        story={"command": "cellseg train classifier"},
    )  # fmt: skip
    return replace(made, **changes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestPredict:
    def test_margin_and_probability_by_hand(self):
        cells = np.array([[70.0, 0.95], [50.0, 0.85], [NAN, 0.95], [500.0, 0.95]])
        assert predict_margin(model(), cells).tolist() == pytest.approx([2.0, 2.0, 0.0, 5.0])
        assert predict_probability(model(), cells)[0] == pytest.approx(sigmoid(4.5))

    def test_members_are_averaged_by_weight(self):
        two = model(members=(model().members[0],) * 2, member_weights=np.array([0.25, 0.5]))
        assert predict_margin(two, np.array([[70.0, 0.95]]))[0] == pytest.approx(1.5)

    def test_isotonic_is_linear_between_knots_and_flat_outside(self):
        steps = Calibration("isotonic", x=np.array([-1.0, 1.0]), y=np.array([0.2, 0.8]))
        assert calibrate(steps, np.array([-3.0, 0.0, 0.5, 9.0])).tolist() == pytest.approx([0.2, 0.5, 0.65, 0.8])
        assert np.isnan(calibrate(steps, np.array([NAN]))).all()

    def test_prior_shift_is_bayes(self):
        # 0.8 at equal odds is a likelihood ratio of 4; with 1 abnormal in 10 the odds are 4 / 9
        assert shift_prior(np.array([0.8]), 0.5, 0.1)[0] == pytest.approx(4 / 13)
        assert shift_prior(np.array([0.8]), 0.5, 0.5)[0] == 0.8

    def test_linear_contributions_add_up(self):
        cells = np.array([[70.0, 0.85], [41.0, NAN]])
        found = explain(model(), cells)
        assert found[0].tolist() == pytest.approx([2.0, 2.0])
        whole = predict_margin(model(), cells) - predict_margin(model(), np.array([[50.0, 0.95]]))
        assert found.sum(axis=1) == pytest.approx(whole)


class TestSets:
    def test_bounds_are_weighted_quantiles_by_class(self):
        # scores rise by 0.01 from 0.01: 90 % of the weight reaches 0.36
        sets = prediction_sets(model(), np.array([0.36, 0.37, 0.65, 0.63, 0.02]), 0.9)
        assert sets.tolist() == [[True, False], [False, False], [False, True], [False, False], [True, False]]

    def test_groups_count_by_their_weight(self):
        heavy = np.zeros(40)
        heavy[-1] = 1.0
        sets = prediction_sets(model(conformal_healthy_weights=heavy), np.array([0.4, 0.41]), 0.9)
        assert sets[:, 0].tolist() == [True, False]

    def test_a_model_without_held_out_cells_finds_both_plausible(self):
        nothing = np.empty(0)
        bare = model(
            conformal_healthy=nothing, conformal_healthy_weights=nothing, conformal_abnormal=nothing,
            conformal_abnormal_weights=nothing,
        )  # fmt: skip
        assert prediction_sets(bare, np.array([0.01, 0.99]), 0.9).all()

    def test_sets_hold_the_truth_as_often_as_asked(self):
        rng = np.random.default_rng(0)
        truth = rng.random(20_000) < 0.5
        probability = sigmoid(np.where(truth, 1.0, -1.0) + rng.normal(size=truth.size))
        seen, new = np.arange(10_000), np.arange(10_000, 20_000)
        wrong = np.where(truth, 1 - probability, probability)
        parts = {side: np.sort(wrong[seen][truth[seen] == side]) for side in (False, True)}
        made = model(
            conformal_healthy=parts[False], conformal_healthy_weights=np.full(parts[False].size, 1 / parts[False].size),
            conformal_abnormal=parts[True], conformal_abnormal_weights=np.full(parts[True].size, 1 / parts[True].size),
        )  # fmt: skip
        sets = prediction_sets(made, probability[new], 0.9)
        # of 5,000 cells each, 4 standard errors are 0.017
        for side in (False, True):
            assert sets[truth[new] == side, int(side)].mean() == pytest.approx(0.9, abs=0.017)


class TestJudge:
    def test_status_and_reasons(self):
        # margins 3, 0 and -2.4: abnormal, between, healthy
        cells = np.array([[70.0, 0.9], [50.0, 0.975], [32.0, 0.98]])
        said = judge_by_model(cells, model(), coverage=0.9)
        told = {(row, finding.status): [] for finding in said.findings for row in finding.rows.tolist()}
        for finding in said.findings:
            texts = [finding.texts] * finding.rows.size if isinstance(finding.texts, str) else finding.texts
            for row, text in zip(finding.rows.tolist(), texts, strict=True):
                told[row, finding.status].append(text)
        assert told[0, "abnormal"] == [
            "nucleus_area_um2 70 um2 (healthy 38-62, high)",
            "nucleus_solidity 0.9 (healthy 0.9-1, lower part)",
        ]
        assert told[1, "uncertain"][0].startswith("abnormal_probability 0.378: neither is plausible at 90 % coverage")
        assert 2 not in {row for row, _ in told}
        assert said.probability[0] == pytest.approx(sigmoid(6.5), abs=1e-6)
        assert said.score[0] == pytest.approx(6.5, abs=1e-5)

    def test_a_cell_without_features_is_not_judged(self):
        said = judge_by_model(np.array([[NAN, NAN]]), model(), coverage=0.9)
        assert np.isnan(said.probability).all()
        assert [(f.status, f.texts) for f in said.findings if f.rows.size] == [
            ("uncertain", "fewer than half of the model's features could be measured")
        ]

    def test_no_cells(self):
        said = judge_by_model(np.empty((0, 2)), model(), coverage=0.9)
        assert said.score.shape == said.probability.shape == (0,)

    def test_other_stains_and_missing_columns_are_refused(self):
        with pytest.raises(ModelError, match="stain is giemsa, the model was trained on he"):
            check_classifier(model(), NAMES, "giemsa", "t")
        with pytest.raises(ModelError, match=r"nucleus_solidity, which this table lacks; add the families shape"):
            check_classifier(model(), NAMES[:1], "he", "t")


class TestFile:
    def test_round_trip(self, tmp_path):
        digest = write_classifier(tmp_path / "m.safetensors", model())
        read = read_classifier(tmp_path / "m.safetensors")
        cells = np.array([[70.0, 0.9], [NAN, 0.5]])
        assert np.array_equal(predict_probability(read, cells), predict_probability(model(), cells))
        assert read.features == model().features
        assert (read.classes, read.story, read.stain) == (model().classes, model().story, "he")
        assert write_classifier(tmp_path / "again.safetensors", read) == digest
        assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()

    def test_one_of_another_feature_version_is_refused_by_the_columns(self, tmp_path, monkeypatch):
        definition = classifier_file._definition
        older = {"nucleus_area_um2": {"formula": "older"}}
        monkeypatch.setattr(classifier_file, "_definition", lambda name: definition(name) | older.get(name, {}))
        write_classifier(tmp_path / "m.safetensors", model())
        monkeypatch.undo()
        with pytest.raises(ModelError, match="made by a version that measures nucleus_area_um2 otherwise"):
            read_classifier(tmp_path / "m.safetensors")

    def test_a_changed_number_is_refused(self, tmp_path):
        path = tmp_path / "m.safetensors"
        write_classifier(path, model())
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            header = file.metadata()
        arrays = load_file(path)
        arrays["members.0.weights"][0] = 2.0
        save_file(arrays, path, header)
        with pytest.raises(ModelError, match="damaged"):
            read_classifier(path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"\x80\x04\x95junk", "pickled"), (b"PK\x03\x04junk", "pickled"), (b"{}", "damaged or no model")],
    )
    def test_what_is_no_model(self, tmp_path, content, words):
        (tmp_path / "m.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match=words):
            read_classifier(tmp_path / "m.safetensors")

    def test_missing_and_foreign_files(self, tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            read_classifier(tmp_path / "none.safetensors")
        with pytest.raises(ModelError, match="no model called 'none'"):
            read_classifier("none")
        save_file({"x": np.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(ModelError, match="another program"):
            read_classifier(tmp_path / "x.safetensors")
