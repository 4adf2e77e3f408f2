"""The gate of pixel sizes at work: which one is in force before cells are known, and whether they agree. Floor 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cellseg.config import InputSettings, SegmentationSettings
from cellseg.errors import ImageError
from cellseg.input_config import PixelSizeSettings
from cellseg.io.pixel_size import resolve_pixel_size
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.size_gate import CellSize, choose_size, judge_cells
from cellseg.stages.slide_cells import FoundCells
from cellseg.types import PixelSize, Slide

_CURE = {
    "sources": "correct the column mpp of the sample sheet, or --mpp (a scale bar tells); where the figure in force is "
    "right, set input.pixel_size.action to rescale (the sheet's is taken, else the file's) or note",
    "cells": "correct the column mpp of the sample sheet, or --mpp; where the cells are right, set "
    "input.pixel_size.cell_diameter_um for this stain, or input.pixel_size.action to rescale or note",
}
MAX_CORRECTIONS = 3
"""How often a slide is looked at again with another pixel size."""


@dataclass(frozen=True)
class SettledSize:
    """The pixel size in force, notes for people, what quality.json says of it, and what sheet, file, objective say."""

    size: PixelSize
    notes: tuple[str, ...]
    record: dict[str, Any]
    said: tuple[tuple[float, str], ...]


def settle_size(
    slide: Slide, sheet_mpp: float | None, *, inputs: InputSettings, where: str, corrected: PixelSize | None = None
) -> SettledSize:
    """Compare what file, objective and sheet say of the pixel size, and act as the settings say where they differ.

    Parameters
    ----------
    corrected : PixelSize or None
        What the size of the cells led to; it wins, and is written down beside what the others say.

    Raises
    ------
    ImageError
        If nobody says it, the sheet's is impossible, or they differ by more than is allowed and the action is `stop`.
    """
    settings, stated = inputs.pixel_size, slide.pixel_size
    size, contradiction = resolve_pixel_size(slide, sheet_mpp, tolerance=inputs.mpp_tolerance, where=where)
    given = None if sheet_mpp is None else size
    choice = choose_size(stated=stated, given=given, power=slide.objective_power, settings=settings)
    said = tuple((one.mpp, one.source) for one in choice.statements)
    if corrected is not None:
        note = f"the pixel size is {corrected.mpp:.6g} ({corrected.source}), not {size.mpp:.6g} ({size.source})"
        record = choice.record(settings) | {"mpp": corrected.mpp, "source": corrected.source, "decision": "by cells"}
        return SettledSize(corrected, (note,), record, said)
    if choice.decision == "stop":
        raise ImageError(
            f"{where}: {choice.said}, {settings.max_disagreement:g} times are allowed: one is wrong; {_CURE['sources']}"
        )
    notes = [contradiction] if contradiction else []
    if choice.said and (not contradiction or choice.decision == "outvoted"):
        notes.append(f"{choice.said}: one is wrong; {size.mpp:.6g} is used")
    return SettledSize(size, tuple(notes), choice.record(settings), said)


def judge_found(
    found: FoundCells, recipe: Recipe, segmentation: SegmentationSettings, settings: PixelSizeSettings
) -> CellSize:
    """Whether the cells found have a usual size at the recipe's pixel size: of their stain, or of the segmenter's own.

    A segmenter that says what it expects (other weights than the package's, a `diameter_um` of the settings, another
    package's) is taken at its word; where `diameter_px` is given the pixel size means nothing, and is not judged.
    """
    usual, cells = settings.cell_diameter_um.get(recipe.stain), f"stain {recipe.stain}"
    network, expected_px = segmentation.maskrcnn, found.record.get("segmenter", {}).get("expected_diameter_px")
    own = segmentation.method == "maskrcnn"
    if own and network.diameter_px is not None:
        usual, cells = None, "these cells: diameter_px is given"
    elif expected_px and (not own or network.diameter_um or network.weights.endswith(".safetensors")):
        usual, cells = (expected_px * recipe.mpp, expected_px * recipe.mpp), "what the segmenter knows"
    return judge_cells(
        found.piece_px, PixelSize(recipe.mpp, recipe.mpp_source), usual_um=usual, cells=cells,
        said=[PixelSize(mpp, source) for mpp, source in recipe.pixel_sizes], settings=settings,
    )  # fmt: skip


def asks_for_another(tried: list[CellSize], settings: PixelSizeSettings, where: str) -> bool:
    """Whether the slide is to be looked at with another pixel size than the last of `tried`.

    Once one was corrected, it is corrected on until the cells are as near to the usual as they come: settings in um
    drag the sizes found after them, so that the first correction may fall short.

    Raises
    ------
    ImageError
        If the last speaks against its pixel size and that is a failure, or no pixel size is left to be tried.
    """
    last = tried[-1]
    known = last.likely is None or any(last.likely.mpp == one.size.mpp for one in tried)
    another = not known and len(tried) <= MAX_CORRECTIONS
    if last.decision == "stop" or (last.decision == "rescale" and not another):
        raise _refusal(last, settings, where)
    return another and settings.action == "rescale" and tried[0].decision == "rescale"


def corrected_size(tried: list[CellSize]) -> PixelSize:
    """The pixel size to look at next, once `asks_for_another`."""
    likely = tried[-1].likely
    if likely is None:
        raise ValueError("the cells speak for no pixel size")
    return PixelSize(likely.mpp, f"by the size of the cells: {likely.source}")


def with_sizes(record: dict[str, Any], tried: list[CellSize]) -> dict[str, Any]:
    """The record of a segmentation with what the cells said of the pixel size, and of those before it."""
    last, notes = tried[-1], list(record.get("notes", []))
    sizes = last.record()
    if len(tried) > 1:
        sizes |= {"decision": "rescale", "first": [one.record() for one in tried[:-1]]}
        notes.append(f"{tried[0].why}; {last.size.mpp:.6g} um per pixel is used instead")
    elif last.decision == "note":
        notes.append(f"{last.why}; check the pixel size")
    return record | {"notes": notes, "pixel_size": sizes}


def _refusal(seen: CellSize, settings: PixelSizeSettings, where: str) -> ImageError:
    """The failure of a slide whose cells speak against its pixel size."""
    allowed = f"{settings.max_disagreement:g} times less or more is allowed"
    return ImageError(f"{where}: {seen.why}; {allowed}; {_CURE['cells']}")
