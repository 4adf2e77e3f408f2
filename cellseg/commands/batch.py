"""Many small samples in one process: each stage's own command for each of them, with its own log. Floor 7.

Python and its libraries start once a job instead of eight times a sample; everything else is as if each command ran
alone: the same files, a placeholder for what fails, a log for each stage of each sample.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellseg.commands import polygons as outlines
from cellseg.commands import stages, tissue
from cellseg.commands.options import DeviceOption, MemoryOption, TileOption
from cellseg.errors import ConfigError, is_machine_fault

if TYPE_CHECKING:
    from cellseg.io.samples import Sample

app = typer.Typer(no_args_is_help=True, help="Many small samples in one process, for the workflow.")

_TILE_PX = 2048

ResultsArgument = Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of results.")]
SheetOption = Annotated[Path, typer.Option("--samples", help="The sample sheet.")]
NamesArgument = Annotated[list[str], typer.Argument(metavar="SAMPLE...", help="Which of its samples.")]
ConfigOption = Annotated[str, typer.Option("--settings", help="Sections of config.yaml, as JSON or a file.")]


@dataclass(frozen=True)
class _Batch:
    """What the samples of a job share, and the seconds that each stage took of them all, and of the first."""

    results: Path
    settings: dict[str, Any]
    tile_px: int
    memory_mb: int | None
    device: str | None
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    first: dict[str, float] = field(default_factory=dict)

    def section(self, name: str) -> str:
        """A section of the settings, as a stage takes it; its defaults where the job was given none."""
        return json.dumps(self.settings.get(name, {}), sort_keys=True)

    def enabled(self, name: str) -> bool:
        """Whether a section of the settings says `enabled`."""
        return bool(self.settings.get(name, {}).get("enabled"))

    def run(self, stage: str, sample: Sample, act: Callable[[], object]) -> None:
        """Run one stage of one sample; what it raises is its failure alone, unless the machine is at fault."""
        start = time.perf_counter()
        with _log_of(self.results, stage, sample.sample):
            try:
                act()
            except Exception as error:
                if is_machine_fault(error):  # the next sample would meet it, too
                    sys.stderr.write(f"cellseg: error: {error}\n")
                    raise
                # a fault of ours, too, must not take the other samples with it
                traceback.print_exc()
                self._fail(stage, sample.sample, error)
        spent = time.perf_counter() - start
        self.seconds[stage] += spent
        self.first.setdefault(stage, spent)

    def _fail(self, stage: str, sample: str, error: Exception) -> None:
        from cellseg.stages.outcome import Failure, write_failure
        from cellseg.stages.results import stage_outputs

        reason = f"{type(error).__name__}: {error} (the log has the traceback)"
        write_failure(stage_outputs(self.results, sample, stage), Failure(sample, stage, reason))

    def tell(self, n_samples: int) -> None:
        """Print what the stages took, for who asks what the rest of the job's time went into.

        The first sample pays for what is imported and compiled on the way, so it is told apart.
        """
        for stage, seconds in self.seconds.items():
            typer.echo(f"{stage}: {n_samples} samples, {seconds:.3f} s, the first {self.first[stage]:.3f} s")


@contextmanager
def _log_of(results: Path, stage: str, sample: str) -> Iterator[None]:
    """Send what is printed to the log that the stage would have of its own."""
    from cellseg.stages.results import stage_log

    path = stage_log(results, sample, stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield


def _chosen(sheet: Path, names: list[str]) -> list[Sample]:
    from cellseg.io.samples import read_samples

    known = {sample.sample: sample for sample in read_samples(sheet, check_files=False)}
    if strange := [name for name in names if name not in known]:
        raise ConfigError(f"{sheet}: no sample {', '.join(strange)}; name samples of the sheet")
    return [known[name] for name in names]


def _batch(results: Path, settings: str, tile_px: int, memory_mb: int | None, device: str | None = None) -> _Batch:
    from cellseg.config import Config
    from cellseg.io.settings import read_settings

    return _Batch(results, read_settings(Config, settings).model_dump(mode="json"), tile_px, memory_mb, device)


@app.command()
def look(
    results: ResultsArgument,
    names: NamesArgument,
    sheet: SheetOption = Path("samples.tsv"),
    settings: ConfigOption = "{}",
    tile_px: TileOption = _TILE_PX,
    memory_mb: MemoryOption = None,
    device: DeviceOption = None,
) -> None:
    """Run the stages of each sample that need no other sample: preprocess, segment, tissue, measure."""
    batch = _batch(results, settings, tile_px, memory_mb, device)
    samples = _chosen(sheet, names)
    for sample in samples:
        for stage, act in _look_at(sample, batch).items():
            batch.run(stage, sample, act)
    batch.tell(len(samples))


@app.command()
def judge(
    results: ResultsArgument,
    names: NamesArgument,
    sheet: SheetOption = Path("samples.tsv"),
    settings: ConfigOption = "{}",
    reference: Annotated[
        list[str] | None, typer.Option("--reference", help="STAIN=reference.json; once for each stain that has one.")
    ] = None,
    tile_px: TileOption = _TILE_PX,
    memory_mb: MemoryOption = None,
) -> None:
    """Run the stages of each sample that come after the reference: classify, tables, overlay, polygons, integrity."""
    batch = _batch(results, settings, tile_px, memory_mb)
    samples = _chosen(sheet, names)
    references = {stain: Path(path) for stain, _, path in (given.partition("=") for given in reference or [])}
    for sample in samples:
        for stage, act in _judge_of(sample, batch, references.get(sample.stain)).items():
            batch.run(stage, sample, act)
    batch.tell(len(samples))


def _look_at(sample: Sample, batch: _Batch) -> dict[str, Callable[[], object]]:
    """The first half of the chain, as the rules of the workflow call it."""
    from cellseg.stages.results import TISSUE_MAP, instances_path, sample_folder

    image, folder = Path(sample.path), sample_folder(batch.results, sample.sample)
    labels, measurements = folder / "segment" / "labels.ome.tif", folder / "measure" / "measurements.parquet"
    first, recipe = folder / "preprocess" / "recipe.json", labels.with_name("recipe.json")
    tissue_map = folder / TISSUE_MAP if batch.enabled("tissue") else None
    named: dict[str, Any] = {"inputs": batch.section("input"), "sample": sample.sample, "placeholder": True}
    tiled = named | {"tile_px": batch.tile_px, "memory_mb": batch.memory_mb}
    chain: dict[str, Callable[[], object]] = {
        "preprocess": lambda: stages.preprocess(
            image, folder / "preprocess", stain=sample.stain, mpp=sample.mpp, channel=sample.channel,
            settings=batch.section("preprocess"), **tiled,
        ),
        "segment": lambda: stages.segment(
            image, labels, method=batch.settings["segmentation"]["method"], recipe=first,
            settings=batch.section("segmentation"), preprocess_settings=batch.section("preprocess"),
            device=batch.device, **tiled,
        ),
        "measure": lambda: stages.measure(
            image, labels, measurements, instances=instances_path(labels), tissue=tissue_map,
            tissue_settings=batch.section("tissue") if tissue_map else None, recipe=recipe,
            tiles=labels.with_name("tiles.parquet"),
            settings=batch.section("measure"), **tiled,
        ),
    }  # fmt: skip
    if tissue_map is None:
        return chain

    annotation = Path(sample.tissue) if sample.tissue else None

    def map_tissue() -> None:
        tissue.tissue(
            image, tissue_map, recipe=recipe, annotation=annotation, settings=batch.section("tissue"),
            device=batch.device, **tiled,
        )  # fmt: skip

    return {"preprocess": chain["preprocess"], "segment": chain["segment"], "tissue": map_tissue} | chain


def _judge_of(sample: Sample, batch: _Batch, reference: Path | None) -> dict[str, Callable[[], object]]:
    """The second half of the chain, as the rules of the workflow call it."""
    from cellseg.stages.results import CELL_POLYGONS, sample_folder

    image, folder = Path(sample.path), sample_folder(batch.results, sample.sample)
    recipe, labels = folder / "segment" / "recipe.json", folder / "segment" / "labels.ome.tif"
    measurements, verdicts = folder / "measure" / "measurements.parquet", folder / "classify" / "verdicts.parquet"
    cells = folder / "cells.parquet"
    drawn = folder / CELL_POLYGONS if batch.enabled("polygons") else None
    inputs = batch.section("input")
    named: dict[str, Any] = {"sample": sample.sample, "placeholder": True}
    tiled = named | {"tile_px": batch.tile_px, "memory_mb": batch.memory_mb}
    chain: dict[str, Callable[[], object]] = {
        "classify": lambda: stages.classify(
            measurements, verdicts, recipe=recipe, reference=reference, settings=batch.section("classify"), **named
        ),
        "tables": lambda: stages.tables(measurements, verdicts, folder, **named),
        "overlay": lambda: stages.overlay(
            image, labels, cells, folder, recipe=recipe, reference=reference, settings=batch.section("report"),
            inputs=inputs, **named,
        ),
    }  # fmt: skip
    if drawn is not None:
        chain["polygons"] = lambda: outlines.polygons(
            labels, cells, drawn, settings=batch.section("polygons"), inputs=inputs, **tiled
        )
    chain["integrity"] = lambda: outlines.integrity(
        labels, cells, folder / "integrity.json", polygons=drawn, recipe=recipe, settings=batch.section("polygons"),
        inputs=inputs, **tiled,
    )  # fmt: skip
    return chain
