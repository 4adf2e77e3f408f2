"""The one truth about settings: what there is, its unit, its bounds and its default. Floor 1.

`config.yaml` and the JSON schemas in `workflows/schemas` are generated from
these models and compared with them by a test. A model's docstring is its section's heading, the docstring under a
field its comment in `config.yaml`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails

from cellseg.base_config import Settings
from cellseg.classify_config import ClassifySettings
from cellseg.input_config import PixelSizeSettings
from cellseg.measure_config import MeasureSettings
from cellseg.network_config import MaskRcnnSettings, TissueSettings, TrainSettings
from cellseg.polygon_config import PolygonSettings
from cellseg.preprocess_config import PreprocessSettings
from cellseg.types import Stain


class InputSettings(Settings):
    """Reading images."""

    max_decoded_mpx: float = Field(default=500.0, gt=0, le=4000)
    """Mpx; an image (PNG, JPEG) or a TIFF strip or tile that would decode to more is refused, not opened."""
    mpp_tolerance: float = Field(default=0.02, ge=0, le=1)
    """fraction; the sheet's pixel size may differ by this much from the file's before the contradiction is reported."""
    pixel_size: PixelSizeSettings = PixelSizeSettings()


class ThresholdSettings(Settings):
    """Segmentation by thresholding, cleaning and watershed. Lengths in um, so that they hold at any magnification."""

    method: Literal["fixed", "otsu", "li", "triangle", "multiotsu", "local"] = "otsu"
    """how the threshold is found, once for the slide; fixed takes `value`; local compares with the mean of a block."""
    value: float | None = None
    """fixed only: gray levels (or OD for a stain); darker is a cell (`foreground: bright`: brighter is)."""
    factor: float = Field(default=0.85, ge=0, le=10)
    """where the threshold lies between the background's mean (0) and what the method found (1); over 1 takes less (not for fixed, local)."""
    multiotsu_classes: int = Field(default=3, ge=2, le=5)
    """multiotsu only: number of classes the histogram is cut into."""
    multiotsu_cut: int = Field(default=-1, ge=-1, le=3)
    """multiotsu only: which of the cuts, counted from the palest, parts cells from the rest; -1 is the strictest."""
    block_um: float = Field(default=40.0, gt=0, le=1000)
    """um; local only: side of the block whose mean a pixel is compared with; at least two cells wide."""
    local_offset: float = Field(default=0.2, ge=-2, le=2)
    """fraction of the way from background to Otsu threshold; local only: a cell must exceed its block's mean by this much."""
    local_floor: float = Field(default=0.5, ge=0, le=2)
    """fraction of the way from background to Otsu threshold; local only: what is fainter is never a cell."""
    min_contrast: float = Field(default=2.8, ge=0)
    """standard deviations of the background; a slide whose two sides of the threshold lie closer, and within 10 times the noise between neighbouring pixels, has no cells (0: always some)."""
    channel: str = "auto"
    """auto (hematoxylin for he and hdab, gray for others and for method fixed, the first channel for fluorescence), gray, a stain or a channel name; a channel in the sample sheet wins."""
    max_eosin_share: float = Field(default=0.4, ge=0, le=1)
    """fraction; he, channel auto: where the darkest tissue is more eosin than this, the stain vectors do not fit and gray is used."""
    foreground: Literal["auto", "dark", "bright"] = "auto"
    """auto: bright for fluorescence and stains' OD, dark for gray of the others."""
    smooth_um: float = Field(default=0.3, ge=0, le=20)
    """um; standard deviation of the Gaussian before the threshold; more joins fragments, less keeps fine outlines."""
    open_um: float = Field(default=0.5, ge=0, le=20)
    """um; radius of the opening that cuts thin bridges and drops specks; 0: none."""
    max_hole_um: float = Field(default=4.0, ge=0, le=100)
    """um; round holes no longer and no wider than this are filled."""
    min_hole_roundness: float = Field(default=0.6, ge=0, le=1.2)
    """area over that of the ellipse in its box; hollow-sided gaps between cells (about 0.3) are not holes of a cell."""
    split: Literal["none", "distance", "intensity", "mixed"] = "distance"
    """what touching cells are parted by: depth inside the outline, stain intensity, both, or not at all."""
    split_depth_um: float = Field(default=0.3, ge=0, le=20)
    """um; h of the h-maxima: necks shallower than this do not part cells; more joins, less splits."""
    split_depth_fraction: float = Field(default=0.08, ge=0, lt=1)
    """fraction of the cell's own depth that a neck must fall by; keeps large uneven cells whole."""
    max_radius_um: float = Field(default=16.0, gt=0, le=200)
    """um; depth is counted up to here; it sets the context that tiles read."""
    min_area_um2: float = Field(default=8.0, ge=0)
    """um2; smaller pieces are not cells and get no label."""
    max_area_um2: float = Field(default=1000.0, gt=0)
    """um2; larger pieces are not cells and get no label."""

    @property
    def signal_channel(self) -> str:
        """`channel`, with `auto` made gray for method fixed: its value is a gray level."""
        return "gray" if self.channel == "auto" and self.method == "fixed" else self.channel

    @model_validator(mode="after")
    def _check(self) -> ThresholdSettings:
        if self.method == "fixed" and self.value is None:
            raise ValueError("method fixed needs a value (gray levels)")
        if self.min_area_um2 >= self.max_area_um2:
            raise ValueError(f"min_area_um2 {self.min_area_um2} is not under max_area_um2 {self.max_area_um2}")
        return self


def _at(location: tuple[str, ...], fault: ErrorDetails) -> InitErrorDetails:
    """The fault, said of the place `location` under which it was found."""
    return InitErrorDetails(
        type=fault["type"], loc=location + fault["loc"], input=fault["input"], ctx=fault.get("ctx", {})
    )


BY_STAIN: dict[Stain, dict[str, Any]] = {
    "hdab": {
        "method": "local", "block_um": 30.0, "local_offset": 0.3, "local_floor": 0.8, "smooth_um": 0.8, "open_um": 1.0,
    },
    "giemsa": {
        "channel": "green", "factor": 0.45, "smooth_um": 0.15, "open_um": 0.2, "max_hole_um": 6.0,
        "min_hole_roundness": 0.4, "min_area_um2": 6.0, "split_depth_um": 0.1, "split_depth_fraction": 0.03,
    },
    "fluorescence": {
        "factor": 1.0, "smooth_um": 0.25, "min_area_um2": 6.0, "max_area_um2": 4000.0, "split_depth_fraction": 0.05,
    },
    "brightfield": {
        "method": "multiotsu", "multiotsu_classes": 5, "factor": 1.0, "smooth_um": 0.25, "min_area_um2": 6.0,
        "max_area_um2": 4000.0,
    },
}  # fmt: skip
"""Chosen on training images, see docs/method.md; `threshold` itself holds what suits H&E."""


class SegmentationSettings(Settings):
    """Cell instance segmentation."""

    method: str = "threshold"
    """threshold: histogram threshold and watershed; maskrcnn: the network in the box; or the name of a segmenter that another package registers."""
    maskrcnn: MaskRcnnSettings = MaskRcnnSettings()
    plugin: dict[str, Any] = Field(default={})
    """settings of a segmenter that another package registers; handed to it as they are."""
    threshold: ThresholdSettings = ThresholdSettings()
    by_stain: dict[Stain, dict[str, Any]] = Field(default=BY_STAIN)
    """per stain, the keys of `threshold` that differ from the above and win over it; he takes what stands above."""

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:  # noqa: ANN401 - whatever was given
        """Where only keys of `threshold` are given, they win over the defaults of `by_stain`; written down, so it stays."""
        if not isinstance(values, dict) or "by_stain" in values:
            return values
        threshold = values.get("threshold", {})
        if isinstance(threshold, ThresholdSettings):
            threshold = threshold.model_dump(include=threshold.model_fields_set)
        given = set(threshold) if isinstance(threshold, dict) else set()
        method = threshold.get("method") if isinstance(threshold, dict) else None
        shadowed = given | ({"channel"} if method == "fixed" else set())
        kept = {s: {k: v for k, v in keys.items() if k not in shadowed} for s, keys in BY_STAIN.items()}
        return values | {"by_stain": kept}

    @model_validator(mode="after")
    def _check(self) -> SegmentationSettings:
        faults: list[InitErrorDetails] = []
        for stain in self.by_stain:
            try:
                self.for_stain(stain)
            except ValidationError as error:
                faults += [_at(("by_stain", stain), fault) for fault in error.errors()]
        if faults:
            raise ValidationError.from_exception_data("by_stain", faults)
        return self

    def for_stain(self, stain: Stain) -> ThresholdSettings:
        """The threshold settings in force for slides of `stain`.

        Raises
        ------
        pydantic.ValidationError
            If what `by_stain` says does not fit `ThresholdSettings`.
        """
        return ThresholdSettings.model_validate(self.threshold.model_dump() | self.by_stain.get(stain, {}))


class ReportSettings(Settings):
    """Pictures."""

    overlay_max_px: int = Field(default=4096, ge=64, le=20000)
    """px; longer side of the overlay; larger slides are shown reduced, with one field at full resolution beside."""
    plot_features: tuple[str, ...] = (
        "area_um2", "circularity", "solidity", "eccentricity", "od_hematoxylin_mean", "intensity_gray_mean",
        "nearest_neighbor_um", "abnormal_score",
    )  # fmt: skip
    """columns plotted by status; those that a slide does not have are left out."""


class ComputeSettings(Settings):
    """How the work is cut; it changes no result."""

    tile_px: int = Field(default=2048, ge=64, le=16384)
    """px; side of a tile; smaller ones take less memory."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where networks run; auto: a GPU where there is one. Scores of the two differ by rounding."""
    container: str = Field(default="", pattern=r"^\S*$")
    """image for `--software-deployment-method apptainer` (docs/workflow.md): a .sif file or a URL, without blanks; empty: none."""
    samples_per_job: int = Field(default=1, ge=1, le=500)
    """how many samples a job takes through its stages, one after the other; over 1 for hundreds of small images (docs/cluster.md)."""
    shards: int = Field(default=1, ge=1, le=1000)
    """how many jobs share the tiles of one slide, on as many machines; over 1 for slides of gigapixels (docs/shards.md)."""

    @model_validator(mode="after")
    def _check(self) -> ComputeSettings:
        if self.shards > 1 and self.samples_per_job > 1:
            raise ValueError(
                f"samples_per_job {self.samples_per_job} (small samples together) and shards {self.shards} (one slide cut) "
                "do not go together; set one of compute.samples_per_job and compute.shards to 1"
            )
        return self


class Config(Settings):
    """All settings of a run; `config.yaml` holds them at their defaults."""

    samples: str = "samples.tsv"
    """path of the sample sheet, from the folder where snakemake is started."""
    results: str = "results"
    """folder that gets the results, from the same place."""
    input: InputSettings = InputSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    tissue: TissueSettings = TissueSettings()
    measure: MeasureSettings = MeasureSettings()
    classify: ClassifySettings = ClassifySettings()
    report: ReportSettings = ReportSettings()
    polygons: PolygonSettings = PolygonSettings()
    train: TrainSettings = TrainSettings()
    compute: ComputeSettings = ComputeSettings()
