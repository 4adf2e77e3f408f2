"""Stage preprocess: look at a slide once, write its recipe, tissue mask, thumbnail and quality record. Floor 6."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.config import InputSettings
from cellseg.errors import ConfigError, ImageError
from cellseg.io.atomic import write_json
from cellseg.io.slide import open_slide
from cellseg.preprocess.histogram import (
    SlideCounts,
    TileCounts,
    add_tile,
    block_areas,
    count_tile,
    level_quantile,
)
from cellseg.preprocess.normalize import SIGNAL_MAX, gray_channel, gray_plane
from cellseg.preprocess.quality import gray_contrast
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.stain import (
    NO_GLASS,
    STAIN_VECTORS,
    Vector,
    eosin_share_of_dark,
    estimate_background,
    macenko_vectors,
    ruifrok_vectors,
)
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.preprocess_config import PreprocessSettings
from cellseg.stages.quality_picture import draw_quality, write_png
from cellseg.stages.size_gate import settle_size
from cellseg.stages.slide_quality import judge_slide, write_tiles
from cellseg.stream import map_read
from cellseg.tiles import Tile, TileGrid
from cellseg.types import Pixels, PixelSize, Progress, Slide, Stain, silent

THUMBNAIL_PX = 1024
_SAMPLES = 1_000_000


def preprocess_slide(
    image: Path,
    out: Path,
    *,
    stain: Stain,
    mpp: float | None = None,
    channel: str | None = None,
    corrected: PixelSize | None = None,
    settings: PreprocessSettings | None = None,
    inputs: InputSettings | None = None,
    tile_px: int = 2048,
    workers: int = 1,
    progress: Progress = silent,
) -> Recipe:
    """Write recipe.json, quality.json, tiles.parquet and three pictures of a slide into the folder `out`.

    The pictures are tissue.png, thumbnail.png and quality.png. One pass over the pixels, tile by tile. The tissue mask
    has one pixel a block; it takes everything for tissue but what `find_artifacts` sees, unless the stain is he or
    hdab, where glass is told by its optical density.

    Parameters
    ----------
    mpp : float or None
        Microns per pixel from the sample sheet; it wins over the file's.
    channel : str or None
        Channel of a multi-channel image that shows the cells.
    corrected : PixelSize or None
        The pixel size that the cells found speak for, where that is another one; it wins over all.

    Returns
    -------
    Recipe
        What is in recipe.json.

    Raises
    ------
    ImageError
        If the image cannot be read, has no pixel size or several that do not agree, or does not fit its stain.
    ConfigError
        If it has no such channel.
    """
    settings, inputs = settings or PreprocessSettings(), inputs or InputSettings()
    with open_slide(image, max_decoded_mpx=inputs.max_decoded_mpx) as slide:
        settled = settle_size(slide, mpp, inputs=inputs, where=str(image), corrected=corrected)
        _check_fit(slide, stain, channel)
        draft = replace(_draft_recipe(slide, settled.size, stain, channel, settings), pixel_sizes=settled.said)
        counts = _count_slide(slide, draft, tile_px=tile_px, workers=workers, progress=progress)
    recipe = _finish_recipe(draft, counts, settings, list(settled.notes))
    judged = judge_slide(recipe, counts, settings)
    recipe = Recipe(**(recipe.to_dict() | {"assessable": judged.quality.assessable}))
    write_json(out / "recipe.json", recipe.to_dict())
    in_force = {"mpp": recipe.mpp, "mpp_source": recipe.mpp_source, "pixel_size": settled.record}
    write_json(out / "quality.json", judged.quality.to_dict() | in_force)
    write_png(out / "tissue.png", judged.tissue.blocks.astype(np.uint8) * 255)
    thumbnail = _thumbnail(recipe, counts)
    write_png(out / "thumbnail.png", thumbnail)
    write_tiles(out / "tiles.parquet", judged.tiles, recipe, settings.quality)
    write_png(out / "quality.png", draw_quality(thumbnail, judged.tiles, counts.thumbnail_px))
    return recipe


def look_at(
    slide: Slide,
    size: PixelSize,
    *,
    stain: Stain,
    channel: str | None = None,
    settings: PreprocessSettings | None = None,
    tile_px: int = 2048,
) -> Recipe:
    """The recipe of an open slide alone, with no file written: for images that are looked at outside of a run.

    Raises
    ------
    ImageError
        If the slide cannot be read, or does not fit its stain.
    ConfigError
        If it has no such channel.
    """
    settings = settings or PreprocessSettings()
    _check_fit(slide, stain, channel)
    draft = _draft_recipe(slide, size, stain, channel, settings)
    return _finish_recipe(draft, _count_slide(slide, draft, tile_px=tile_px, workers=1, progress=silent), settings, [])


def read_recipe(path: Path) -> Recipe:
    """The recipe in a recipe.json, or in the folder that holds one.

    Raises
    ------
    ImageError
        If there is none, or it is of another version.
    """
    file = path / "recipe.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(f"{file}: not a readable recipe ({error}); run `cellseg preprocess` first") from error
    return Recipe.from_dict(values, str(file))


def check_recipe(slide: Slide, recipe: Recipe) -> None:
    """Refuse a slide that the recipe was not made from, by its size, channels and pixel type.

    Raises
    ------
    ImageError
        With both.
    """
    found = _kind(slide.height, slide.width, slide.channel_names, str(slide.dtype))
    expected = _kind(recipe.height_px, recipe.width_px, recipe.channel_names, recipe.dtype)
    if found != expected:
        raise ImageError(
            f"{slide.path}: the image is {found}, its recipe is of {expected}; "
            "run `cellseg preprocess` on this image and give its recipe"
        )


def _kind(height_px: int, width_px: int, channel_names: tuple[str, ...], dtype: str) -> str:
    return f"{height_px} x {width_px} px (height x width) of {dtype} in the channels {', '.join(channel_names)}"


def read_tissue(path: Path, recipe: Recipe) -> TissueMask:
    """The tissue mask that `preprocess_slide` wrote for this recipe.

    Raises
    ------
    ImageError
        If the file is missing or of another size.
    """
    blocks = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    expected = block_areas(recipe.height_px, recipe.width_px, recipe.tissue_block_px).shape
    if blocks is None or blocks.shape != expected:
        found = "nothing readable" if blocks is None else f"{blocks.shape[0]} x {blocks.shape[1]} blocks"
        raise ImageError(
            f"{path}: {found}, expected a tissue mask of {expected[0]} x {expected[1]} blocks; "
            "run `cellseg preprocess` again"
        )
    return TissueMask(blocks > 0, recipe.tissue_block_px)


def _check_fit(slide: Slide, stain: Stain, channel: str | None) -> None:
    if stain in STAIN_VECTORS and not slide.is_rgb:
        raise ImageError(
            f"{slide.path}: stain {stain} needs a colour image, this one has the channels "
            f"{', '.join(slide.channel_names)}; write fluorescence or brightfield in the column stain"
        )
    names = (*slide.channel_names, *ruifrok_vectors(stain)[0], "gray")
    if channel and channel not in names:
        raise ConfigError(f"{slide.path}: no channel {channel!r}; it has {', '.join(names)}; mend the column channel")


def _draft_recipe(
    slide: Slide, size: PixelSize, stain: Stain, channel: str | None, settings: PreprocessSettings
) -> Recipe:
    """What is known before the pixels are: enough to render gray."""
    n = len(slide.channel_names)
    top = float(np.iinfo(slide.dtype).max)
    return Recipe(
        height_px=slide.height, width_px=slide.width, channel_names=slide.channel_names, dtype=str(slide.dtype),
        is_rgb=slide.is_rgb, mpp=size.mpp, mpp_source=size.source, stain=stain, channel=channel,
        background=(top,) * n, low=(0.0,) * n, high=(top,) * n, gray_low=0.0, gray_high=top, gray_contrast=top,
        gamma=settings.gamma, stain_names=(), stain_matrix=(), dark_eosin_share=0.0,
        tissue_block_px=max(1, round(settings.tissue_block_um / size.mpp)), assessable=True, notes=(),
    )  # fmt: skip


def _count_slide(slide: Slide, draft: Recipe, *, tile_px: int, workers: int, progress: Progress) -> SlideCounts:
    counts = SlideCounts.empty(
        slide.height, slide.width, len(draft.channel_names), draft.max_level, block_px=draft.tissue_block_px,
        thumbnail_px=-(-max(slide.height, slide.width) // THUMBNAIL_PX),
        sample_px=max(1, round((slide.height * slide.width / _SAMPLES) ** 0.5)),
    )  # fmt: skip
    gray = gray_plane(draft)

    def count(tile: Tile, pixels: Pixels) -> TileCounts:
        return count_tile(pixels, gray.render(pixels), tile.read, tile.core, counts)

    grid = TileGrid(slide.height, slide.width, tile_px, context_px=1)
    counted = map_read(lambda tile: slide.read(tile.read), count, grid.tiles(), workers=workers)
    for done, part in enumerate(counted, start=1):
        add_tile(counts, part)
        progress(done, len(grid))
    return counts


def _samples(counts: SlideCounts) -> NDArray[np.int64]:
    """The sampled pixels in an order that does not depend on the tiles."""
    pixels = np.concatenate(counts.samples)
    return pixels[np.lexsort(pixels.T)]


def _finish_recipe(draft: Recipe, counts: SlideCounts, settings: PreprocessSettings, notes: list[str]) -> Recipe:
    low, high = settings.low_percentile / 100, settings.high_percentile / 100
    step = draft.max_level / SIGNAL_MAX
    background = draft.background
    names: tuple[str, ...] = ()
    matrix: tuple[Vector, ...] = ()
    eosin_share = 0.0
    if draft.stain in STAIN_VECTORS:
        background = _background(draft, counts, settings, notes)
        names, matrix = _stain_vectors(draft, counts, background, settings, notes)
    if draft.stain == "he":
        eosin_share = eosin_share_of_dark(_samples(counts), background, matrix, min_od=settings.tissue_min_od)
    return Recipe(
        **draft.to_dict()
        | {
            "background": background,
            "low": tuple(level_quantile(levels, low) for levels in counts.levels),
            "high": tuple(level_quantile(levels, high) for levels in counts.levels),
            "gray_low": level_quantile(counts.gray, low) * step,
            "gray_high": level_quantile(counts.gray, high) * step,
            "gray_contrast": gray_contrast(counts.gray, draft.max_level),
            "stain_names": names,
            "stain_matrix": matrix,
            "dark_eosin_share": eosin_share,
            "notes": tuple(notes),
        }
    )


def _background(
    draft: Recipe, counts: SlideCounts, settings: PreprocessSettings, notes: list[str]
) -> tuple[float, ...]:
    if settings.background_rgb is not None:
        return tuple(level * draft.max_level / 255 for level in settings.background_rgb)
    background, seen = estimate_background(_samples(counts), draft.max_level)
    if not seen:
        notes.append(NO_GLASS)
    return background


def _stain_vectors(
    draft: Recipe, counts: SlideCounts, background: tuple[float, ...], settings: PreprocessSettings, notes: list[str]
) -> tuple[tuple[str, ...], tuple[Vector, ...]]:
    if settings.stain_method == "macenko":
        found = macenko_vectors(
            _samples(counts), background, draft.stain,
            min_od=settings.macenko_min_od, percentile=settings.macenko_percentile,
        )  # fmt: skip
        if found is not None:
            return found
        notes.append("too few stained pixels for Macenko's estimate: published stain vectors are used")
    return ruifrok_vectors(draft.stain)


def _thumbnail(recipe: Recipe, counts: SlideCounts) -> NDArray[np.uint8]:
    """A small picture (h, w) or (h, w, 3) uint8 for people; fluorescence between its low and high percentiles."""
    areas = block_areas(recipe.height_px, recipe.width_px, counts.thumbnail_px)
    means = counts.thumbnail / areas[:, :, None]
    if recipe.is_rgb:
        return np.round(means[:, :, ::-1] * 255 / recipe.max_level).astype(np.uint8)
    index = gray_channel(recipe)
    low, high = recipe.low[index], recipe.high[index]
    if recipe.stain != "fluorescence":
        low, high = 0.0, float(recipe.max_level)
    return np.round(np.clip((means[:, :, index] - low) / max(high - low, 1.0), 0, 1) * 255).astype(np.uint8)
