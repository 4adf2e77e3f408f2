"""The weights in the package: small, whole, of a network that this version builds, and telling where they come from."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import yaml
from contract.source import PACKAGE, REPOSITORY
from measuring import recipe_for

from cellseg.config import Config
from cellseg.io.classifier_file import read_classifier_arrays, shipped_classifier
from cellseg.io.weights import SHIPPED, fill_network, read_weights, shipped_weights
from cellseg.measure.layout import measured_columns
from cellseg.network_config import MaskRcnnSettings, TissueSettings
from cellseg.preprocess.stain import ruifrok_vectors
from cellseg.segment.architecture import parse_architecture
from cellseg.segment.maskrcnn import build_maskrcnn
from cellseg.segment.segnet import SegNet
from cellseg.segment.tissue_architecture import parse_tissue_architecture
from cellseg.stages.classifier_model import read_classifier
from cellseg.stages.inputs import name_faults
from cellseg.stages.look import read_look

STORY = {"format", "architecture", "classes", "data", "licence", "split", "seed", "command", "metrics", "version"}
CLASSIFIERS = ["redcell"]
LOOKS = ["redcell_look"]
SHIPPED_NAMES = sorted(path.stem for path in SHIPPED.glob("*.safetensors") if path.stem not in CLASSIFIERS + LOOKS)
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


@pytest.mark.parametrize("name", LOOKS)
def test_networks_that_look_at_cells_load_and_stand_in_the_card_of_their_model(name: str) -> None:
    look = read_look(name)
    assert (look.name, look.field.side_px > 0) == (name, True)
    weights = read_weights(shipped_weights(name))
    assert not re.findall(r'(?<![\w.])/(?:home|root|tmp|work|mnt|data|Users)\b[^"]*', json.dumps(weights.metadata))
    model = read_classifier(name.removesuffix("_look"))
    assert model.features[-1].name == f"appearance_{name}_logit"
    assert model.story["look_sha256"] == weights.sha256
    card = (REPOSITORY / "docs" / "models" / f"{name.removesuffix('_look')}.md").read_text(encoding="utf-8")
    assert weights.sha256 in card


def test_the_settings_that_come_with_the_red_cell_model_measure_what_it_looks_at() -> None:
    settings = Config.model_validate(yaml.safe_load((REPOSITORY / "workflows/red_cells/judge.yaml").read_text()))
    names, matrix = ruifrok_vectors("giemsa")
    plain = recipe_for(np.full((9, 9, 3), 200, np.uint8))
    recipe = replace(plain, stain="giemsa", stain_names=names, stain_matrix=matrix)
    measured = {column.name for column in measured_columns(recipe, settings.measure)}
    model = read_classifier(settings.classify.model.weights)
    assert measured.issuperset(model.names)
    assert name_faults(settings) == []


def test_weights_are_packed() -> None:
    packed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cellseg"]
    assert "weights/*.safetensors" in packed
    assert SHIPPED == PACKAGE / "weights"
