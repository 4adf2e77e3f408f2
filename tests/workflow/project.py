"""A folder with images, a sheet and settings, and the real snakemake to run on it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import tifffile
from fields import he_field

REPOSITORY = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).parent / "snakemake"
SIDE_PX = 192
TIMES = ("logs/", "benchmarks/", "ro-crate-metadata.json")
"""Where results hold times, by how their paths begin."""
EVERY_TABLE = ("cells.csv", "healthy.csv", "abnormal.csv", "uncertain.csv", "excluded.csv")


class Project:
    """Images under `images/`, `samples.tsv` and `config.yaml` in one folder, whose name has a space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "images").mkdir(parents=True, exist_ok=True)
        if not (folder / "config.yaml").exists():
            shutil.copy(REPOSITORY / "config.yaml", folder)

    def copy(self, folder: Path) -> Project:
        """The same project elsewhere, with its results, their times and what snakemake knows of them."""
        shutil.copytree(self.folder, folder)
        return Project(folder)

    def image(self, name: str, *, seed: int = 0) -> Path:
        path = self.folder / "images" / f"{name}.tif"
        tifffile.imwrite(path, he_field(shape=(SIDE_PX, SIDE_PX), seed=seed).pixels, photometric="rgb")
        return path

    def truncated_image(self, name: str) -> Path:
        path = self.image(name)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return path

    def blank_image(self, name: str) -> Path:
        path = self.folder / "images" / f"{name}.tif"
        tifffile.imwrite(path, np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8), photometric="rgb")
        return path

    def sheet(self, rows: dict[str, str], name: str = "samples.tsv") -> None:
        """Write the sheet: sample -> group; each image is `images/<sample>.tif` at 0.5 um/px."""
        lines = [f"{sample}\timages/{sample}.tif\t0.5\t{group}" for sample, group in rows.items()]
        (self.folder / name).write_text("\n".join(["sample\tpath\tmpp\tgroup", *lines]) + "\n")

    def settings(self, text: str) -> tuple[str, str]:
        """Options that put the YAML `text` over config.yaml."""
        (self.folder / "over.yaml").write_text(text)
        return "--configfile", "over.yaml"

    def command(self, *arguments: str) -> list[str]:
        return [str(SNAKEMAKE), "-s", str(REPOSITORY / "Snakefile"), "--cores", "2", *arguments]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the workflow in the folder; stdout and stderr together as `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            env=os.environ | {"COLUMNS": "200"},
        )

    def planned(self, *arguments: str) -> Counter[str]:
        """Jobs that `snakemake -n` would run, by rule (`all` left out)."""
        done = self.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stdout
        return jobs(done.stdout)

    def ledger(self, results: str = "results") -> dict[str, dict[str, str]]:
        with (self.folder / results / "slides.tsv").open(newline="") as stream:
            return {row["sample"]: row for row in csv.DictReader(stream, delimiter="\t")}

    def sample(self, name: str, results: str = "results") -> Path:
        return self.folder / results / "samples" / name

    def log(self, rule: str, sample: str) -> str:
        return (self.folder / "results" / "logs" / rule / f"{sample}.log").read_text()


def jobs(output: str) -> Counter[str]:
    """Jobs by rule in the table that snakemake prints before it starts."""
    lines = output.splitlines()
    starts = [i for i, line in enumerate(lines) if line.split() == ["job", "count"]]
    counts: Counter[str] = Counter()
    for line in lines[starts[0] + 2 :] if starts else []:
        if len(words := line.split()) != 2 or words[0] == "total":
            break
        counts[words[0]] = int(words[1])
    counts.pop("all", None)
    return counts


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
