"""The weights in the package: small, whole, of a network that this version builds, and telling where they come from."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from contract.source import PACKAGE, REPOSITORY

from cellseg.io.classifier_file import read_classifier_arrays, shipped_classifier
from cellseg.io.weights import SHIPPED, fill_network, read_weights, shipped_weights
from cellseg.network_config import MaskRcnnSettings, TissueSettings
from cellseg.segment.architecture import parse_architecture
from cellseg.segment.maskrcnn import build_maskrcnn
from cellseg.segment.segnet import SegNet
from cellseg.segment.tissue_architecture import parse_tissue_architecture
from cellseg.stages.classifier_model import read_classifier

STORY = {"format", "architecture", "classes", "data", "licence", "split", "seed", "command", "metrics", "version"}
CLASSIFIERS = ["redcell"]
SHIPPED_NAMES = sorted(path.stem for path in SHIPPED.glob("*.safetensors") if path.stem not in CLASSIFIERS)
each = pytest.mark.parametrize("name", SHIPPED_NAMES)


def test_the_default_weights_are_there() -> None:
    assert shipped_weights(MaskRcnnSettings().weights).is_file()
    assert shipped_weights(TissueSettings().weights).is_file()


@each
def test_weights_are_small_and_fit_their_architecture(name: str) -> None:
    path = shipped_weights(name)
    assert path.stat().st_size < 40e6
    weights = read_weights(path)
    found, where = weights.metadata["architecture"], str(path)
    networks = {
        "cellseg-maskrcnn-1": lambda: build_maskrcnn(parse_architecture(found, where)),
        "cellseg-segnet-1": lambda: SegNet(parse_tissue_architecture(found, where)),
    }
    fill_network(networks[weights.metadata["format"]](), weights)


@each
def test_weights_tell_their_story_and_nothing_of_a_machine(name: str) -> None:
    metadata = read_weights(shipped_weights(name)).metadata
    assert metadata.keys() >= STORY
    assert not re.findall(r'(?<![\w.])/(?:home|root|tmp|work|mnt|data|Users)\b[^"]*', json.dumps(metadata))


@each
def test_weights_have_a_card(name: str) -> None:
    card = (REPOSITORY / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    assert read_weights(shipped_weights(name)).sha256 in card, "run benchmarks/model_card.py"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_load_are_small_and_have_a_card(name: str) -> None:
    path = shipped_classifier(name)
    assert path.stat().st_size < 2e6
    model = read_classifier(name)
    assert model.features and model.conformal_healthy.size and model.conformal_abnormal.size
    assert model.story.keys() >= {"version", "command", "groups", "classes", "settings", "held_out"}
    assert not re.findall(r'(?<![\w.])/(?:home|root|tmp|work|mnt|data|Users)\b[^"]*', json.dumps(model.story))
    _, values = read_classifier_arrays(path)
    card = (REPOSITORY / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    assert values["sha256"] in card


def test_weights_are_packed() -> None:
    packed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cellseg"]
    assert "weights/*.safetensors" in packed
    assert SHIPPED == PACKAGE / "weights"
