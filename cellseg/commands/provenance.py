"""The commands about where results come from: `cellseg provenance` and `cellseg verify`. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellseg.commands.options import DeviceOption, WorkersOption, parse_device
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError

if TYPE_CHECKING:
    from cellseg.stages.verify import Verified
    from cellseg.stages.verify_rerun import Redone

ResultsArgument = Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of results.")]


def provenance(
    results: ResultsArgument,
    samples: Annotated[Path, typer.Option("--samples", help="The sample sheet.")] = Path("samples.tsv"),
    settings: Annotated[str, typer.Option("--settings", help="All settings of the run, as JSON or a file.")] = "{}",
    workflow: Annotated[
        Path | None, typer.Option("--workflow", help="The Snakefile; default: the one beside the package.")
    ] = None,
    fetched: Annotated[
        list[str] | None,
        typer.Option("--fetched", help="SAMPLE=FILE: where an image lies that the sheet names by a URL."),
    ] = None,
    fetched_tissue: Annotated[
        list[str] | None, typer.Option("--fetched-tissue", help="SAMPLE=FILE: the same of a drawing of tissues.")
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Write an RO-Crate of a run: inputs, settings, versions, weights and results, each with its sha256; run times."""
    from cellseg.config import Config
    from cellseg.io.settings import read_settings
    from cellseg.stages.crate_files import CRATE_NAME
    from cellseg.stages.provenance import write_provenance

    done = write_provenance(
        results, samples, settings=read_settings(Config, settings), workflow=workflow,
        images=_places("--fetched", fetched), tissues=_places("--fetched-tissue", fetched_tissue), workers=workers,
    )  # fmt: skip
    failed = f"; {done.n_failed} samples failed" if done.n_failed else ""
    typer.echo(f"{results / CRATE_NAME}: {done.n_results} results, {done.n_inputs} inputs{failed}")


def verify(
    results: ResultsArgument,
    samples: Annotated[
        Path | None, typer.Option("--samples", help="The sample sheet; default: where the crate has it.")
    ] = None,
    rerun: Annotated[
        float | None,
        typer.Option("--rerun", help="Do this share of each sample's tiles again (as 0.01) and compare."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which tiles: the same seed, the same tiles.")] = 0,
    workers: WorkersOption = 1,
    device: DeviceOption = None,
) -> None:
    """Hash results and inputs again and compare with their crate: a line for what differs, and exit status 1.

    With `--rerun`, tiles drawn at random are segmented and measured again, too, and each cell compared.
    """
    from cellseg.stages.verify import verify_results

    with show_progress("verify") as progress:
        done = verify_results(results, sheet=samples, workers=workers, progress=progress)
    for fault in done.faults:
        typer.echo(f"{fault.what}: {fault.name}: {fault.detail}")
    _tell_verified(done)
    same = not done.faults
    if rerun is not None:
        from cellseg.stages.verify_rerun import Drawing, redo_samples

        drawing = Drawing(rerun, seed, workers, parse_device(device))
        for one in redo_samples(results, drawing, sheet=samples):
            same &= _tell_redone(one)
    if not same:
        raise typer.Exit(1)


def _tell_redone(one: Redone) -> bool:
    """Print how a sample that was done again compares; whether it is the same."""
    for fault in one.faults:
        typer.echo(f"differs: {one.sample}: {fault}")
    unsure = f", {one.n_open} not judged" if one.n_open else ""
    typer.echo(
        f"{one.sample}: {one.n_tiles} of {one.n_all} tiles done again, {one.n_segmented} cells segmented{unsure}, "
        f"{one.n_measured} measured: {'not the same' if one.faults else 'all the same'}"
    )
    return not one.faults


def _tell_verified(done: Verified) -> None:
    """Print what was compared in a line."""
    said = [f"{done.n_results} results and {done.n_inputs} inputs are as they were"]
    n = len(done.faults)
    said += [f"{n} file{'s are' if n > 1 else ' is'} not"] if n else []
    said += [f"{len(done.absent)} inputs are not here (such as {done.absent[0]})"] if done.absent else []
    said += [f"failed in that run: {', '.join(done.failed)}"] if done.failed else []
    typer.echo("; ".join(said))


def _places(option: str, given: list[str] | None) -> dict[str, Path]:
    """Files by sample."""
    places = {}
    for text in given or []:
        sample, sign, path = text.partition("=")
        if not sign:
            raise ConfigError(f"{option} {text}: expected SAMPLE=FILE")
        places[sample] = Path(path)
    return places


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(provenance)
    app.command()(verify)
