"""Where compiled loops are kept when the installation cannot be written to. Floor 2."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from cellseg.io.atomic import is_left_over

_PACKAGE = Path(__file__).parents[1]
_PREFIX = "cellseg-kernels-"


def provide_kernel_cache(package: Path = _PACKAGE) -> None:
    """Give numba a folder of this process alone where it would find none and refuse to compile.

    numba keeps compiled loops beside the modules, else in the user's cache folder, else in `NUMBA_CACHE_DIR`, and ends
    the import with an error where none of them can be written (a container's unknown user on a read-only
    installation). Then loops are compiled in each run, which takes some seconds. The folder is private, and
    goes with the process: what others may write to must not be loaded as code.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or os.access(package, os.W_OK) or _can_write(_user_cache()):
        return
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):  # of processes that were killed
        with suppress(OSError):  # another process may be at it
            if is_left_over(left.name.removeprefix(_PREFIX)) and left.stat().st_uid == os.getuid():
                shutil.rmtree(left)
    folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")
    atexit.register(folder.cleanup)
    os.environ["NUMBA_CACHE_DIR"] = folder.name
    if "numba" in sys.modules:  # it read the variable when it was imported
        sys.modules["numba"].config.CACHE_DIR = folder.name


def _user_cache() -> Path | None:
    """The folder of numba in the user's cache, None for a user without a home."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "numba"
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "numba"
    except RuntimeError:
        return None


def _can_write(folder: Path | None) -> bool:
    if folder is None:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
