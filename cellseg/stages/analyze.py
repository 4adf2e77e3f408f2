"""The whole chain on a few images, without a workflow: every stage in turn, image by image. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellseg.config import Config
from cellseg.errors import CellsegError, ConfigError
from cellseg.io.atomic import write_text
from cellseg.io.samples import safe_name
from cellseg.stages.classify import classify_cells
from cellseg.stages.integrity import check_integrity
from cellseg.stages.ledger import LedgerRow, check_results
from cellseg.stages.measure import measure_cells
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.overlay import draw_overlay
from cellseg.stages.polygons import write_polygons
from cellseg.stages.preprocess import preprocess_slide, read_recipe
from cellseg.stages.results import CELL_POLYGONS, STAGES, TISSUE_MAP, instances_path, sample_folder, stage_outputs
from cellseg.stages.segment import segment_slide
from cellseg.stages.summary import summarize_cohort
from cellseg.stages.tables import write_tables
from cellseg.types import Progress, Stain, silent


@dataclass(frozen=True)
class Acquisition:
    """How all of the images were made; what is None is left to the files."""

    stain: Stain
    mpp: float | None = None
    channel: str | None = None


def analyze_images(
    images: Sequence[Path],
    out: Path,
    *,
    acquisition: Acquisition,
    config: Config,
    reference: Path | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> list[LedgerRow]:
    """Write into `out` what the workflow would: a folder a sample, summary.csv and slides.tsv; and samples.tsv.

    An image that cannot be worked on fails alone: the others are done, and the ledger says why.

    Returns
    -------
    list of LedgerRow
        The images that failed.

    Raises
    ------
    ConfigError
        If two images have the same name.
    CellsegError
        If the results cannot be written.
    """
    samples = _name_samples(images)
    sheet = out / "samples.tsv"
    write_text(sheet, _sheet(samples, acquisition))
    switched = {"tissue": config.tissue.enabled, "polygons": config.polygons.enabled}
    stages = [stage for stage in STAGES if switched.get(stage, True)]
    steps = len(samples) * len(stages)
    done = 0
    for sample, image in samples.items():
        stage = ""
        chain = _chain(sample, image, out, acquisition=acquisition, config=config, reference=reference, workers=workers)
        try:
            for begun in chain:
                stage = begun
                done += 1
                progress(done, steps)
        except CellsegError as error:
            # later stages too: what an earlier run left there is not of this image any more
            late = [path for later in stages[stages.index(stage) :] for path in stage_outputs(out, sample, later)]
            write_failure(late, Failure(sample, stage, str(error)))
    summarize_cohort(out, sheet)
    return check_results(out)


def _name_samples(images: Sequence[Path]) -> dict[str, Path]:
    samples: dict[str, Path] = {}
    for image in images:
        name = safe_name(image.stem.removesuffix(".ome"))
        if name.lower() in {known.lower() for known in samples}:
            raise ConfigError(
                f"{image}: a second image called {name}; rename one of them, or write a sample sheet (`cellseg init`)"
            )
        samples[name] = image
    return samples


def _sheet(samples: dict[str, Path], acquisition: Acquisition) -> str:
    mpp = "" if acquisition.mpp is None else f"{acquisition.mpp:g}"
    rows = [
        "\t".join((sample, str(image.resolve()), mpp, acquisition.stain, acquisition.channel or ""))
        for sample, image in samples.items()
    ]
    return "\n".join(["sample\tpath\tmpp\tstain\tchannel", *rows]) + "\n"


def _chain(
    sample: str,
    image: Path,
    out: Path,
    *,
    acquisition: Acquisition,
    config: Config,
    reference: Path | None,
    workers: int,
) -> Iterator[str]:
    """Run the stages of one image in turn; yields each stage's name before it begins."""
    folder = sample_folder(out, sample)
    inputs, tile_px = config.input, config.compute.tile_px
    yield "preprocess"
    recipe = preprocess_slide(
        image, folder / "preprocess", stain=acquisition.stain, mpp=acquisition.mpp, channel=acquisition.channel,
        settings=config.preprocess, inputs=inputs, tile_px=tile_px, workers=workers,
    )  # fmt: skip
    yield "segment"
    labels = folder / "segment" / "labels.ome.tif"
    segment_slide(
        image, labels, recipe=recipe, tissue=folder / "preprocess" / "tissue.png", settings=config.segmentation,
        preprocess=config.preprocess, inputs=inputs, tile_px=tile_px, workers=workers, device=config.compute.device,
    )  # fmt: skip
    recipe = read_recipe(labels.parent)
    tissue = folder / TISSUE_MAP if config.tissue.enabled else None
    if tissue is not None:
        from cellseg.stages.tissue import map_tissue

        yield "tissue"
        map_tissue(
            image, tissue, recipe=recipe, tissue=labels.parent / "tissue.png", settings=config.tissue,
            workers=workers, device=config.compute.device, max_decoded_mpx=inputs.max_decoded_mpx,
        )  # fmt: skip
    yield "measure"
    measurements = folder / "measure" / "measurements.parquet"
    measure_cells(
        image, labels, measurements, recipe=recipe, settings=config.measure, sample=sample, tile_px=tile_px,
        workers=workers, max_decoded_mpx=inputs.max_decoded_mpx, instances=instances_path(labels), tissue=tissue,
        tissue_settings=config.tissue, tiles=labels.parent / "tiles.parquet",
    )  # fmt: skip
    yield "classify"
    verdicts = folder / "classify" / "verdicts.parquet"
    classify_cells(measurements, verdicts, reference=reference, recipe=recipe, settings=config.classify)
    yield "tables"
    write_tables(measurements, verdicts, folder)
    yield "overlay"
    cells = folder / "cells.parquet"
    draw_overlay(
        image, labels, cells, folder, recipe=recipe, reference=reference, settings=config.report,
        max_decoded_mpx=inputs.max_decoded_mpx,
    )  # fmt: skip
    polygons = folder / CELL_POLYGONS if config.polygons.enabled else None
    if polygons is not None:
        yield "polygons"
        write_polygons(
            labels, cells, polygons, settings=config.polygons, tile_px=tile_px, workers=workers,
            max_decoded_mpx=inputs.max_decoded_mpx,
        )  # fmt: skip
    yield "integrity"
    check_integrity(
        labels, cells, folder / "integrity.json", polygons=polygons, settings=config.polygons, mpp=recipe.mpp,
        tile_px=tile_px, workers=workers, max_decoded_mpx=inputs.max_decoded_mpx,
    )  # fmt: skip
