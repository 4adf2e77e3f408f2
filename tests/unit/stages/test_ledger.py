"""What became of a sample whose chain has a stage that runs only where settings ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellseg.io.atomic import write_text
from cellseg.io.samples import Sample
from cellseg.stages.ledger import judge_sample
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.results import STAGES, stage_log, stage_outputs

SAMPLE = Sample(sample="a", path=Path("a.tif"))


def finish(results: Path, *stages: str) -> None:
    """Files as if these stages had run; no true tables, so that a sample which is `done` cannot be judged."""
    for stage in stages:
        for output in stage_outputs(results, "a", stage):
            write_text(output, "x")


def test_a_map_that_got_lost_is_named_rather_than_the_stage_after_it(tmp_path: Path) -> None:
    finish(tmp_path, "preprocess", "segment")
    assert judge_sample(tmp_path, SAMPLE).stage == "measure"
    write_text(stage_log(tmp_path, "a", "tissue"), "looking\nKilled\n")
    row = judge_sample(tmp_path, SAMPLE)
    assert (row.outcome, row.stage) == ("failed", "tissue")
    assert row.reason == "no tissue.ome.tif: its log ends with: Killed"


def test_a_failure_of_the_map_is_passed_on_by_the_stages_after_it(tmp_path: Path) -> None:
    finish(tmp_path, "preprocess", "segment")
    late = [path for stage in STAGES[STAGES.index("tissue") :] for path in stage_outputs(tmp_path, "a", stage)]
    write_failure(late, Failure("a", "tissue", "no level 9"))
    row = judge_sample(tmp_path, SAMPLE)
    assert (row.stage, row.reason) == ("tissue", "no level 9")


@pytest.mark.parametrize("left", ["nothing", "a map", "a failure"])
def test_maps_of_earlier_settings_mean_nothing(tmp_path: Path, left: str) -> None:
    finish(tmp_path, *(stage for stage in STAGES if stage not in ("tissue", "overlay")))
    write_text(stage_log(tmp_path, "a", "tissue"), "of an earlier run\n")
    if left == "a map":
        finish(tmp_path, "tissue")
    if left == "a failure":
        write_failure(stage_outputs(tmp_path, "a", "tissue"), Failure("a", "tissue", "no level 9"))
    # the chain went on without a map, up to the stage that is really missing
    assert judge_sample(tmp_path, SAMPLE).stage == "overlay"
