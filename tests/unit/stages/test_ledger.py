"""What became of a sample whose chain has a stage that runs only where settings ask for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellseg.io.atomic import write_text
from cellseg.io.samples import Sample
from cellseg.stages.ledger import judge_sample
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.results import SHARD_ROUNDS, STAGES, stage_log, stage_outputs

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


def shard(results: Path, rule: str, sample: str, item: str, *, left: bool) -> None:
    """A job of a shard that wrote its log, and its file if it left one."""
    begins = {name: begins for rounds in SHARD_ROUNDS.values() for name, begins in rounds}[rule]
    write_text(results / "logs" / rule / f"{sample}.{item}.log", f"{rule} {item}\n{'done' if left else 'Killed'}\n")
    if left:
        write_text(results / "samples" / sample / f"{begins}.{item}.arrow", "x")


def test_a_shard_that_got_lost_is_quoted_where_its_stage_never_ran(tmp_path: Path) -> None:
    finish(tmp_path, "preprocess")
    shard(tmp_path, "segment_count", "a", "1-of-2", left=True)
    shard(tmp_path, "segment_count", "a", "2-of-2", left=False)
    shard(tmp_path, "segment_find", "a.b", "1-of-2", left=False)  # another sample's
    row = judge_sample(tmp_path, SAMPLE)
    assert (row.stage, row.reason) == ("segment", "no labels.ome.tif: its log ends with: Killed")
    # the second round has the word once it began, when files of the first are gone
    shard(tmp_path, "segment_find", "a", "1-of-2", left=True)
    assert "left no log" in judge_sample(tmp_path, SAMPLE).reason
    shard(tmp_path, "segment_find", "a", "2-of-2", left=False)
    assert judge_sample(tmp_path, SAMPLE).reason == "no labels.ome.tif: its log ends with: Killed"
    write_text(stage_log(tmp_path, "a", "segment"), "of the stage itself\n")
    assert judge_sample(tmp_path, SAMPLE).reason.endswith("of the stage itself")


def test_a_shard_of_measuring_that_got_lost_is_quoted(tmp_path: Path) -> None:
    finish(tmp_path, "preprocess", "segment")
    shard(tmp_path, "measure_shard", "a", "1-of-2", left=False)
    row = judge_sample(tmp_path, SAMPLE)
    assert (row.stage, row.reason) == ("measure", "no measurements.parquet: its log ends with: Killed")


def test_an_error_that_took_earlier_results_of_its_job_with_it_is_quoted(tmp_path: Path) -> None:
    finish(tmp_path, "preprocess", "segment", "measure", "classify")
    write_text(stage_log(tmp_path, "a", "overlay"), "cellseg: error: of an earlier run\n")
    os.utime(stage_log(tmp_path, "a", "overlay"), (1, 1))
    write_text(stage_log(tmp_path, "a", "tables"), "34 cells\n")
    assert judge_sample(tmp_path, SAMPLE).reason == "no cells.csv: its log ends with: 34 cells"
    write_text(stage_log(tmp_path, "a", "overlay"), "looking\ncellseg: error: overlay.png: no room\n\n")
    row = judge_sample(tmp_path, SAMPLE)
    assert (row.outcome, row.stage) == ("failed", "overlay")
    assert row.reason == "no cells.csv: its log ends with: cellseg: error: overlay.png: no room"
