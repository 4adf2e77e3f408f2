"""Model files: what is written comes back, and what is damaged, foreign or of another version is refused in words."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cellseg.errors import ModelError
from cellseg.io import classifier_file
from cellseg.io.classifier_file import (
    FORMAT,
    column_definitions,
    read_classifier_arrays,
    shipped_classifier,
    write_classifier_arrays,
)
from cellseg.io.shipped import SHIPPED, is_pickled

NAMES = ("nucleus_area_um2", "nucleus_solidity")
ARRAYS = {
    "b": np.array([[1.5, np.nan, -np.inf]]), "a": np.array([True, False]), "c": np.arange(3, dtype=np.int32),
    "none": np.empty(0),
}  # fmt: skip


def metadata(**more):
    return {"format": FORMAT, "columns": column_definitions(NAMES), "story": {"command": "c"}, **more}


def rewrite(path, change):
    """The file with its header's JSON object changed in place, its sha256 as it was."""
    with safe_open(path, framework="numpy") as file:
        said = json.loads(file.metadata()["cellseg"])
    save_file(load_file(path), path, {"cellseg": json.dumps(change(said), sort_keys=True)})


@pytest.fixture
def path(tmp_path):
    write_classifier_arrays(tmp_path / "m.safetensors", ARRAYS, metadata())
    return tmp_path / "m.safetensors"


class TestWhole:
    def test_comes_back_as_it_was(self, path):
        arrays, said = read_classifier_arrays(path)
        assert said.keys() == {"format", "columns", "story", "sha256"}
        assert said["columns"]["nucleus_area_um2"].keys() == {"unit", "formula", "family"}
        assert arrays.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)

    def test_same_model_same_bytes(self, path, tmp_path):
        backwards = {name: np.asfortranarray(ARRAYS[name]) for name in reversed(ARRAYS)}
        digest = write_classifier_arrays(tmp_path / "again.safetensors", backwards, metadata())
        assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
        assert read_classifier_arrays(path)[1]["sha256"] == digest

    def test_a_model_that_cannot_be_written_leaves_the_old_one(self, path):
        before = path.read_bytes()
        with pytest.raises(ModelError, match="metadata that JSON cannot hold"):
            write_classifier_arrays(path, ARRAYS, metadata(auroc=float("nan")))
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["m.safetensors"]

    @pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580, 0x10480])
    def test_a_header_whose_length_looks_like_a_pickle(self, tmp_path, length):
        # the first bytes of the file are the header's length, and 80 04 begins a pickle
        path, arrays = tmp_path / "m.safetensors", {"a": np.zeros(1)}
        plain = {"format": FORMAT, "columns": {}, "story": ""}
        write_classifier_arrays(path, arrays, plain)
        short = int.from_bytes(path.read_bytes()[:8], "little")
        write_classifier_arrays(path, arrays, plain | {"story": "x" * (length - short)})
        assert path.read_bytes()[:2] == length.to_bytes(8, "little")[:2]
        assert read_classifier_arrays(path)[1]["story"].startswith("x")


class TestVersions:
    def test_differing_columns_are_named(self, tmp_path, monkeypatch):
        definition = classifier_file._definition
        older = {"nucleus_area_um2": {"formula": "older"}, "nucleus_extent": {"unit": "older"}}
        monkeypatch.setattr(classifier_file, "_definition", lambda name: definition(name) | older.get(name, {}))
        said = metadata(columns=column_definitions((*NAMES, "nucleus_extent")))
        write_classifier_arrays(tmp_path / "m.safetensors", ARRAYS, said)
        monkeypatch.undo()
        with pytest.raises(ModelError, match="measures nucleus_area_um2, nucleus_extent otherwise"):
            read_classifier_arrays(tmp_path / "m.safetensors")

    def test_columns_that_are_gone_are_named(self, tmp_path):
        said = metadata(columns={"cell_gone_um": {"unit": "um", "formula": "f", "family": "shape"}})
        write_classifier_arrays(tmp_path / "m.safetensors", ARRAYS, said)
        with pytest.raises(ModelError, match="measures cell_gone_um otherwise"):
            read_classifier_arrays(tmp_path / "m.safetensors")

    def test_columns_of_other_programs_are_left_to_them(self, tmp_path):
        assert column_definitions(("mean radius",)) == {"mean radius": {}}
        said = metadata(columns=column_definitions(("mean radius",)))
        write_classifier_arrays(tmp_path / "m.safetensors", ARRAYS, said)
        assert read_classifier_arrays(tmp_path / "m.safetensors")[1]["columns"] == {"mean radius": {}}

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"format": "cellseg-segnet-1"}, "of format 'cellseg-segnet-1'; expected 'cellseg-classifier-1'"),
            ({"format": None}, "of format None"),
            ({"columns": None}, "does not say how its columns are measured"),
            ({"columns": ["nucleus_area_um2"]}, "does not say how its columns are measured"),
        ],
    )
    def test_other_formats(self, tmp_path, more, words):
        write_classifier_arrays(tmp_path / "m.safetensors", ARRAYS, metadata(**more))
        with pytest.raises(ModelError, match=words):
            read_classifier_arrays(tmp_path / "m.safetensors")


class TestDamaged:
    def test_a_changed_number(self, path):
        with safe_open(path, framework="numpy") as file:
            header = file.metadata()
        save_file({**ARRAYS, "b": np.array([[1.5, 0.0, -np.inf]])}, path, header)
        with pytest.raises(ModelError, match="its sha256 is not what its header says"):
            read_classifier_arrays(path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda said: said | {"story": {"command": "d"}},
            lambda said: said | {"sha256": "0"},
            lambda said: {key: value for key, value in said.items() if key != "story"},
        ],
    )
    def test_a_changed_text(self, path, change):
        rewrite(path, change)
        with pytest.raises(ModelError, match="its sha256 is not what its header says"):
            read_classifier_arrays(path)

    @pytest.mark.parametrize("kept", [0, 7, 60, -1])
    def test_cut_off(self, path, kept):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ModelError, match=r"damaged or no model .*; copy it again"):
            read_classifier_arrays(path)

    @pytest.mark.parametrize("change", [lambda said: [said], lambda said: "text", lambda said: {}, lambda said: None])
    def test_a_header_of_another_form(self, path, change):
        rewrite(path, change)
        with pytest.raises(ModelError, match="of another program"):
            read_classifier_arrays(path)


class TestForeign:
    def test_pickles(self, tmp_path):
        torch.save({"w": torch.zeros(1)}, tmp_path / "m.pt")
        (tmp_path / "m.pkl").write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}.")
        for name in ("m.pt", "m.pkl"):
            with pytest.raises(ModelError, match=rf"{name}: a pickled file, which could run anything"):
                read_classifier_arrays(shipped_classifier(str(tmp_path / name)))
        assert is_pickled(b"\x80\x04")
        assert not is_pickled(b"")

    def test_missing_files_and_folders(self, tmp_path):
        for name in ("none.safetensors", ""):
            with pytest.raises(ModelError, match="cannot be read"):
                read_classifier_arrays(tmp_path / name)

    def test_arrays_of_other_programs(self, tmp_path):
        save_file({"x": np.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(ModelError, match="another program"):
            read_classifier_arrays(tmp_path / "x.safetensors")


def test_names_and_paths(tmp_path):
    assert shipped_classifier("redcell") == SHIPPED / "redcell.safetensors"
    for given in ("mine.safetensors", "models/mine", "model.pkl"):
        assert str(shipped_classifier(given)) == given
    with pytest.raises(ModelError, match="no model called 'none' comes with the package"):
        shipped_classifier("none")


def test_reading_needs_no_heavy_library():
    code = (
        "import sys; from cellseg.io.classifier_file import *; "
        "read_classifier_arrays(shipped_classifier('redcell')); "
        "print(sorted({'torch', 'sklearn', 'numba', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
