"""The family appearance on files: a network's file, its column whatever the tiles, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fields import blobs, he_look
from measuring import measured_bytes, recipe_for, write_pair

from cellseg.classify_config import TrainLookSettings
from cellseg.errors import ConfigError, ModelError
from cellseg.io.table import read_table
from cellseg.io.weights import write_weights
from cellseg.measure.crop_network import CropNetwork, build_network
from cellseg.measure.crops import CropField, cut_crops
from cellseg.measure.layout import measured_columns
from cellseg.measure_config import MeasureSettings
from cellseg.stages.look import find_look, read_look, write_look

SETTINGS = TrainLookSettings(side_px=24, mpp=0.6, width=4)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("look") / "Mine-1.safetensors"
    made = build_network(SETTINGS.width, torch.Generator().manual_seed(0))
    look = CropNetwork(made, CropField(SETTINGS.side_px, SETTINGS.mpp), "mine")
    write_look(path, look, SETTINGS, story={"command": "cellseg train classifier"})
    return path, look


def measuring(path):
    return MeasureSettings(families=("shape", "appearance"), ring_um=0, appearance_network=str(path))


def test_what_was_written_looks_alike(network):
    path, look = network
    crops = np.random.default_rng(0).integers(0, 256, (7, 24, 24, 3), dtype=np.uint8)
    back = read_look(str(path))
    assert np.array_equal(back.logits(crops), look.logits(crops))
    assert (back.field, back.name) == (look.field, "mine_1")


def test_tiles_and_workers_change_no_byte_and_the_column_is_the_networks_answer(network, tmp_path):
    path, look = network
    labels = blobs((300, 340))
    pixels = he_look(labels)
    pair, recipe, settings = write_pair(tmp_path, pixels, labels), recipe_for(pixels), measuring(path)
    outs = [
        measured_bytes(*pair, tmp_path / f"{tile}.parquet", recipe, settings=settings, tile_px=tile, workers=workers)
        for tile, workers in ((2048, 1), (128, 1), (96, 3))
    ]
    assert outs[0] == outs[1] == outs[2]
    table = read_table(tmp_path / "2048.parquet")
    assert table.column_names == [column.name for column in measured_columns(recipe, settings)]
    boxes = np.stack([table[f"bbox_{end}_px"].to_numpy() for end in ("y0", "y1", "x0", "x1")], axis=1)
    crops = cut_crops(pixels, boxes.astype(np.int64), look.field, mpp=recipe.mpp)
    assert np.array_equal(table["appearance_mine_1_logit"].to_numpy(), look.logits(crops))
    assert np.ptp(table["appearance_mine_1_logit"].to_numpy()) > 0


def test_no_cells_give_an_empty_column(network, tmp_path):
    pixels = np.full((40, 50, 3), 240, np.uint8)
    pair = write_pair(tmp_path, pixels, np.zeros((40, 50), np.uint32))
    measured_bytes(*pair, tmp_path / "t.parquet", recipe_for(pixels), settings=measuring(network[0]))
    assert read_table(tmp_path / "t.parquet")["appearance_mine_1_logit"].to_pylist() == []


class TestRefusals:
    def test_the_family_without_a_network(self):
        with pytest.raises(ConfigError, match=r"measure\.appearance_network names no network; name redcell_look"):
            find_look(MeasureSettings(families=("appearance",)))
        assert find_look(MeasureSettings(families=("shape",), appearance_network="nowhere.safetensors")) is None

    def test_a_network_of_another_kind(self, tmp_path):
        path = tmp_path / "other.safetensors"
        write_weights(path, {"a": torch.zeros(1)}, {"format": "cellseg-maskrcnn-1"})
        with pytest.raises(ModelError, match="expected 'cellseg-crops-1'"):
            read_look(str(path))

    def test_a_file_that_does_not_say_how_it_looks(self, tmp_path):
        path = tmp_path / "odd.safetensors"
        write_weights(path, {"a": torch.zeros(1)}, {"format": "cellseg-crops-1", "side_px": 24})
        with pytest.raises(ModelError, match=r"odd\.safetensors: does not say how it looks .*'mpp'.*train it again"):
            read_look(str(path))

    def test_weights_of_another_width(self, tmp_path, network):
        path = tmp_path / "wide.safetensors"
        write_look(path, network[1], SETTINGS.model_copy(update={"width": 5}), story={})
        with pytest.raises(ModelError, match="not of the architecture"):
            read_look(str(path))
