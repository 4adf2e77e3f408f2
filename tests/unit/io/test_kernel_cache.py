"""Compiled loops work where nothing can be written, in a fresh process."""

import os
import subprocess
import sys

import pytest

from cellseg.io.kernel_cache import provide_kernel_cache

MEASURE = """
import os, sys
from pathlib import Path
def only_temporary(path, mode, **options):
    return str(path).startswith(sys.argv[1])
os.access = only_temporary  # root may write anywhere: the system's answer is given for it
import cellseg
import numpy as np
from cellseg.measure.focus import _on_outline
assert _on_outline(np.eye(3, dtype=np.uint32), 1, 1, 1)
print(_on_outline._cache.cache_path)
"""


def run(tmp_path, **variables):
    (tmp_path / "tmp" / "cellseg-kernels-99999999-x").mkdir(parents=True)  # of a process that was killed
    (tmp_path / "file").touch()
    environment = {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "file"), "PATH": "", **variables}
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_read_only_installation_and_no_home_compile_into_a_private_folder_that_goes(tmp_path):
    where = run(tmp_path)

    assert where.startswith(str(tmp_path / "tmp" / "cellseg-kernels-"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_named_folder_wins(tmp_path):
    assert run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "mine")).startswith(str(tmp_path / "mine"))


@pytest.mark.parametrize("variables", [{"NUMBA_CACHE_DIR": "x"}, {}])
def test_a_folder_that_can_be_written_changes_nothing(tmp_path, monkeypatch, variables):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    provide_kernel_cache(tmp_path)

    assert os.environ.get("NUMBA_CACHE_DIR") == variables.get("NUMBA_CACHE_DIR")
