"""Nothing that cellseg does needs a network, and weights that are no weights are refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import pytest
import torch
from fields import he_field

from cellseg.cli import main
from cellseg.io.weights import write_weights
from cellseg.segment.architecture import Architecture
from cellseg.segment.maskrcnn import build_maskrcnn

ARCHITECTURE = Architecture(pyramid_channels=16, box_units=32, mask_channels=8, mask_layers=1)

# Every way out is shut before anything is imported. Socket pairs inside the process stay: they reach nobody.
SHUT = """
import socket, sys

def refuse(*given, **more):
    raise RuntimeError(f"the network was asked for: {given[:2]}")

socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = socket.socket.sendto = refuse
socket.create_connection = socket.create_server = refuse
socket.getaddrinfo = socket.gethostbyname = socket.gethostbyname_ex = refuse
try:
    import urllib.request
    urllib.request.urlopen("http://example.org", timeout=1)
except Exception as error:
    print("shut:", error, file=sys.stderr)

def audit(event, given):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError(f"the network was asked for: {event} {given}")

sys.addaudithook(audit)
from cellseg.cli import main
sys.argv = ["cellseg", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image and random weights."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "a.png").write_bytes(imagecodecs.png_encode(he_field(shape=(96, 96)).pixels))
    torch.manual_seed(0)
    state = {name: value.half() for name, value in build_maskrcnn(ARCHITECTURE).state_dict().items()}
    write_weights(
        folder / "w.safetensors",
        state,
        {"format": "cellseg-maskrcnn-1", "architecture": ARCHITECTURE.model_dump(mode="json")},
    )
    return folder


def arguments(folder: Path, weights: Path, *, out: str = "labels.ome.tif") -> list[str]:
    settings = json.dumps({"maskrcnn": {"weights": str(weights), "min_score": 0.6}})
    image = [str(folder / "a.png"), "-o", str(folder / out), "--stain", "he", "--mpp", "0.5"]
    return ["segment", *image, "--method", "maskrcnn", "--settings", settings]


def test_segmenting_by_a_network_asks_no_network(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHUT, *arguments(folder, folder / "w.safetensors")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "shut: " in done.stderr, "the lock itself does not hold"
    record = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    assert record["method"] == "maskrcnn"


def other_network(path: Path) -> None:
    other = ARCHITECTURE.model_copy(update={"mask_channels": 16})
    write_weights(
        path,
        build_maskrcnn(ARCHITECTURE).state_dict(),
        {"format": "cellseg-maskrcnn-1", "architecture": other.model_dump(mode="json")},
    )


def flipped(path: Path, original: Path) -> None:
    data = bytearray(original.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("fault", "says"),
    [("flipped", "damaged"), ("pickled", "pickled"), ("other", "mask"), ("gone", "no such weights file")],
)
def test_weights_that_are_none_end_in_one_line(
    folder: Path, fault: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"{fault}.safetensors"
    if fault == "flipped":
        flipped(path, folder / "w.safetensors")
    elif fault == "pickled":
        torch.save({"w": torch.ones(2)}, path)
    elif fault == "other":
        other_network(path)
    monkeypatch.setattr(sys, "argv", ["cellseg", *arguments(folder, path, out=f"{fault}.ome.tif")])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert len(lines) == 1
    assert str(path) in lines[0]
    assert says in lines[0]
    assert not (folder / f"{fault}.ome.tif").exists()
