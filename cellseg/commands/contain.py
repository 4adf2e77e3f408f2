"""How a stage fails in a batch: with `--placeholder`, a fault of one slide becomes its result. Floor 7."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cellseg.errors import CellsegError, is_machine_fault


def contain_faults(
    action: Callable[[], object],
    *,
    stage: str,
    sample: str,
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    placeholder: bool,
) -> None:
    """Call `action`; in a batch, pass an earlier failure on to `outputs`, or turn a new one into placeholders there.

    A full or failing disk says nothing of the slide: the job fails, so that it is tried again.

    Raises
    ------
    CellsegError
        What the stage raised, outside of a batch; in a batch, only faults of the machine, and what keeps the
        placeholders from being written.
    """
    if not placeholder:
        action()
        return
    from cellseg.stages.outcome import Failure, first_failure, write_failure

    failure = first_failure(inputs)
    if failure is None:
        try:
            action()
            return
        except CellsegError as error:
            if is_machine_fault(error):
                raise
            failure = Failure(sample, stage, str(error))
    write_failure(outputs, failure)
    sys.stderr.write(f"cellseg: {failure.sample} failed at {failure.stage}: {failure.reason}\n")
