"""Seconds from typing a command to its first word: `cellseg --help`, and imports it must not pay for.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 7


def seconds(command: list[str]) -> float:
    """Median wall time of a whole process over several runs, after one that fills the caches."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print one line a command."""
    for label, words in (
        ("python -c pass", ["-c", "pass"]),
        ("import cellseg", ["-c", "import cellseg"]),
        ("cellseg --help", ["-m", "cellseg", "--help"]),
        ("cellseg segment --help", ["-m", "cellseg", "segment", "--help"]),
    ):
        print(f"{label:24} {seconds([sys.executable, *words]):.3f} s")


if __name__ == "__main__":
    main()
