"""What the Snakefile asks before any work is done. Floor 7."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def check_inputs(
    config_json: Annotated[str, typer.Option("--config-json", help="All settings, as one JSON object.")],
) -> None:
    """Check settings and sample sheet, all faults in one message; print the settings with every default filled in."""
    from cellseg.stages.inputs import check_inputs as check

    typer.echo(json.dumps(check(json.loads(config_json))))


def register(app: typer.Typer) -> None:
    """Add what the workflow calls and people need not."""
    app.command(hidden=True)(check_inputs)
