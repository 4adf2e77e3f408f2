"""Weights files: round trip, same bytes, and one clear line for every file that is none."""

import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cellseg.errors import CellsegError, ModelError
from cellseg.io.weights import Weights, fill_network, find_weights, read_weights, shipped_weights, write_weights

METADATA = {"format": "cellseg-maskrcnn-1", "classes": ["nucleus"], "metrics": {"ap@0.5": 0.25}, "licence": "CC0 ä"}


def tensors() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(3)
    return {
        "b.weight": torch.from_numpy(rng.normal(size=(4, 3)).astype(np.float16)),
        "a.weight": torch.from_numpy(rng.normal(size=(2, 3, 3)).astype(np.float32)),
        "steps": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "brain": torch.ones(3, dtype=torch.bfloat16),
    }


def write(path: Path) -> Path:
    write_weights(path, tensors(), METADATA)
    return path


def one_line(error: pytest.ExceptionInfo[ModelError], path: Path) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    assert "give" in text, "it says what to do"
    return text


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "w.safetensors"
    digest = write_weights(path, tensors(), METADATA)
    got = read_weights(path, expected_format="cellseg-maskrcnn-1")
    assert (got.sha256, got.metadata, got.path) == (digest, METADATA, path)
    assert len(digest) == 64
    assert got.tensors.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert got.tensors[name].dtype == tensor.dtype
        assert torch.equal(got.tensors[name], tensor)


def test_same_bytes_whatever_the_order_and_the_layout(tmp_path: Path) -> None:
    first = write(tmp_path / "1").read_bytes()
    turned = {name: tensors()[name] for name in reversed(list(tensors()))}
    turned["b.weight"] = turned["b.weight"].t().contiguous().t()  # the same values, not contiguous
    write_weights(tmp_path / "2", turned, dict(reversed(list(METADATA.items()))))
    assert (tmp_path / "2").read_bytes() == first


def test_weights_that_share_memory_are_written_twice(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    write_weights(tmp_path / "w", {"a": shared, "b": shared[:2]}, METADATA)
    assert read_weights(tmp_path / "w").tensors["b"].tolist() == [0, 1]


def test_the_digest_tells_names_types_shapes_values_and_metadata_apart(tmp_path: Path) -> None:
    value = torch.zeros(2, 3)
    variants = [
        ({"a": value}, METADATA),
        ({"b": value}, METADATA),
        ({"a": value.to(torch.int32)}, METADATA),
        ({"a": value.reshape(3, 2)}, METADATA),
        ({"a": value + 1}, METADATA),
        ({"a": value}, METADATA | {"classes": ["cell"]}),
    ]
    digests = {write_weights(tmp_path / "w", *variant) for variant in variants}
    assert len(digests) == len(variants)


def test_any_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "w")
    whole = path.read_bytes()
    header = struct.unpack("<Q", whole[:8])[0]
    padding = range(8 + len(whole[8 : 8 + header].rstrip()), 8 + header)
    for at in range(0, len(whole), 3):
        if at in padding:  # blanks between header and tensors mean nothing
            continue
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ModelError) as error:
            read_weights(path)
        one_line(error, path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.99])
def test_truncated(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "w")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ModelError, match="damaged") as error:
        read_weights(path)
    one_line(error, path)


def test_a_header_as_long_as_a_pickle_starts(tmp_path: Path) -> None:
    # 640 bytes of header: the file starts with 80 02, as pickles do
    for length in range(1, 640):
        write_weights(tmp_path / "w", {}, {"format": "x" * length})
        if (tmp_path / "w").read_bytes().startswith(b"\x80\x02"):
            break
    assert read_weights(tmp_path / "w").metadata["format"] == "x" * length
    assert length < 639


def test_bytes_after_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "w")
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ModelError, match="damaged"):
        read_weights(path)


@pytest.mark.parametrize("old", [False, True])
def test_a_pickled_file_is_refused_and_nothing_in_it_runs(tmp_path: Path, old: bool) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = tmp_path / "w.safetensors"
    torch.save({"w": torch.ones(1), "trap": Trap()}, path, _use_new_zipfile_serialization=not old)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"pickled.*safetensors") as error:
            read_weights(path)
        one_line(error, path)
        path.write_bytes(pickle.dumps(Trap()))
    assert not (tmp_path / "sprung").exists()


def header_file(path: Path, header: bytes, body: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)
    return path


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"{}", "says nothing"),
        (b"[1]", "damaged"),
        (b"{not json", "damaged"),
        (b"\xff\xfe{}", "damaged"),
        (b'{"__metadata__": 3}', "damaged"),
        (b'{"__metadata__": {"cellseg": "{"}}', "damaged"),
        (b'{"__metadata__": {"cellseg": "[1, 2]"}}', "list"),
        (b'{"__metadata__": {"cellseg": "{}"}}', "sha256"),
        (b"[" * 100_000, "damaged"),
        (json.dumps({"__metadata__": {"cellseg": '{"sha256": "0"}'}}).encode(), "sha256"),
        (b'{"__metadata__": {"cellseg": "{\\"a\\": NaN}"}}', "JSON"),
    ],
)
def test_headers_of_garbage(tmp_path: Path, header: bytes, says: str) -> None:
    path = header_file(tmp_path / "w.safetensors", header)
    with pytest.raises(ModelError, match=says) as error:
        read_weights(path)
    one_line(error, path)


@pytest.mark.parametrize("data", [b"", b"{}", b"\x89PNG\r\n\x1a\n" + b"0" * 100, b"\xff" * 64], ids=range(4))
def test_other_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged") as error:
        read_weights(path)
    one_line(error, path)


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path, {"format": "pt"})
    with pytest.raises(ModelError, match="says nothing of its network") as error:
        read_weights(path)
    one_line(error, path)


def test_not_there_and_a_folder(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "gone.safetensors", "no such"), (tmp_path, "cannot be read")):
        with pytest.raises(ModelError, match=says) as error:
            read_weights(path)
        one_line(error, path)


def test_another_format(tmp_path: Path) -> None:
    path = write(tmp_path / "w")
    with pytest.raises(ModelError, match=r"'cellseg-maskrcnn-1'.*'cellseg-segnet-1'") as error:
        read_weights(path, expected_format="cellseg-segnet-1")
    one_line(error, path)


def test_what_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "w"
    with pytest.raises(ModelError, match=r"'a'.*finite"):
        write_weights(path, {"a": torch.tensor([1.0, torch.nan])}, METADATA)
    with pytest.raises(ModelError, match="format"):
        write_weights(path, {}, {})
    for value in (float("nan"), {1, 2}):
        with pytest.raises(ModelError, match="JSON"):
            write_weights(path, {}, METADATA | {"metrics": value})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CellsegError, match="cannot be written"):
        write_weights(tmp_path / "file" / "w", {}, METADATA)


def test_shipped_names_and_paths(tmp_path: Path) -> None:
    write(tmp_path / "nucleus.safetensors")
    assert shipped_weights("nucleus", tmp_path) == tmp_path / "nucleus.safetensors"
    with pytest.raises(ModelError, match=r"'cell'.*\(nucleus\)"):
        shipped_weights("cell", tmp_path)
    with pytest.raises(ModelError, match=r"none; the installation is incomplete"):
        shipped_weights("nucleus", tmp_path / "empty")
    assert find_weights("mine/w.safetensors") == Path("mine/w.safetensors")
    assert find_weights("w.safetensors") == Path("w.safetensors")
    with pytest.raises(ModelError, match="'no-such-weights'"):
        find_weights("no-such-weights")


def test_filling_a_network(tmp_path: Path) -> None:
    network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    half = {name: tensor.half() for name, tensor in other.state_dict().items()}
    path = tmp_path / "w"
    write_weights(path, half, METADATA)
    fill_network(network, read_weights(path))
    assert network.weight.dtype == torch.float32
    assert torch.equal(network.weight, other.weight.half().float())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("bias"), r"'bias' are missing \(1"),
        (lambda state: state.update(more=torch.ones(1)), "'more' have no place"),
        (lambda state: state.update(weight=torch.ones(5, 3)), r"'weight' have shape \(5, 3\), expected \(2, 3\)"),
    ],
)
def test_weights_of_another_architecture(tmp_path: Path, change: object, says: str) -> None:
    network = nn.Linear(3, 2)
    before = network.weight.detach().clone()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    change(state)  # type: ignore[operator]
    weights = Weights(state, METADATA, "", tmp_path / "w")
    with pytest.raises(ModelError, match=says) as error:
        fill_network(network, weights)
    one_line(error, weights.path)
    assert torch.equal(network.weight, before)
