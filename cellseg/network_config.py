"""Settings of the networks: how they look at slides and how they are trained. Floor 1."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cellseg.base_config import Settings
from cellseg.classify_config import TrainClassifierSettings
from cellseg.types import Stain


class MaskRcnnSettings(Settings):
    """Segmentation by the Mask R-CNN in the box, or by one that was trained on a lab's own images."""

    weights: str = "nucleus"
    """nucleus: the weights in the package; or the path of a .safetensors file from `cellseg train maskrcnn`."""
    diameter_um: float | None = Field(default=None, gt=0, le=1000)
    """um; the typical cell of these slides, which sets the scale they are looked at; null: what the weights were trained for."""
    diameter_px: float | None = Field(default=None, gt=0, le=4000)
    """px; the same in pixels of the slide, where its pixel size means nothing; wins over `diameter_um`."""
    rescale: Literal["auto", "never"] = "auto"
    """auto: a first look at some windows; where the cells found are of another size than expected, the scale follows them. never: the scale is as given; a disagreement is recorded."""
    size_tolerance: float = Field(default=1.25, ge=1.01, le=10)
    """ratio; median size found over size expected (or the inverse) from which the two are said to disagree."""
    min_score: float = Field(default=0.5, ge=0.05, le=1)
    """0..1; detections that the network is less sure of are no cells; lower finds more cells and more that are none."""
    nms_iou: float = Field(default=0.4, gt=0, le=1)
    """intersection over union; of two detections whose boxes overlap more, the less sure one is dropped; higher keeps crowded cells, and doubles."""
    max_detections: int = Field(default=5000, ge=1, le=100_000)
    """cells a window; reaching it is said in the record, since cells may be missing."""
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)
    """0..1; pixels likelier than this belong to the cell; lower draws larger outlines."""
    min_area_fraction: float = Field(default=0.07, ge=0, lt=1)
    """fraction of the typical cell's area, at the scale in force; smaller detections are specks and fragments."""
    min_area_um2: float = Field(default=2.0, ge=0)
    """um2; smaller pieces are not cells and get no label."""
    max_area_um2: float = Field(default=4000.0, gt=0)
    """um2; larger pieces are not cells and get no label."""
    window_px: int = Field(default=1024, ge=128, le=8192)
    """px of the network; side of a window that is looked at in one go; a cell far larger than its overlap is joined from pieces."""
    overlap_px: int = Field(default=96, ge=32, le=2048)
    """px of the network; how far windows overlap; at least two typical cells."""
    augment: Literal["none", "flips"] = "none"
    """flips: each window is also looked at mirrored, and the answers are pooled; more than twice as slow, slightly better outlines."""

    @model_validator(mode="after")
    def _check(self) -> MaskRcnnSettings:
        if self.min_area_um2 >= self.max_area_um2:
            raise ValueError(f"min_area_um2 {self.min_area_um2} is not under max_area_um2 {self.max_area_um2}")
        if self.window_px < 3 * self.overlap_px:
            raise ValueError(f"window_px {self.window_px} is under three times overlap_px {self.overlap_px}")
        return self


class TissueSettings(Settings):
    """Which tissue each cell lies in: a map of the slide by SegNet, or one that the lab drew. Off: nothing changes."""

    enabled: bool = False
    """true: every slide gets a map, and every cell its tissue; a slide whose row in the sample sheet names a `tissue` file takes that one instead."""
    weights: str = "colon"
    """colon: the weights in the package (H&E colon); or the path of a .safetensors file from `cellseg train segnet`."""
    level: int = Field(default=0, ge=0, le=8)
    """0: the classes of the weights; 1, 2, ...: their groups, the coarsest first (colon: 1 gland and stroma; 2 stroma, benign, neoplasia, carcinoma)."""
    mpp: float | None = Field(default=None, gt=0, le=1000)
    """um per pixel at which slides are looked at; null: what the weights were trained at."""
    window_px: int = Field(default=1024, ge=64, le=8192, multiple_of=32)
    """px of the network; side of the part of the map that is made in one go, from a window with 224 px more on every side; changes memory and time."""
    annotation_mpp: float | None = Field(default=None, gt=0, le=1000)
    """um per pixel at which a map from a lab's own polygons is drawn; null: as the slide."""
    label_names: dict[str, str] = Field(default={})
    """value in a lab's own label image -> name of its class; values that are not named are called class_VALUE, 0 without a name is no tissue."""
    max_distance_um: float = Field(default=250.0, gt=0, le=5000)
    """um; distances to the nearest boundary of a tissue are measured up to here; farther cells get this figure."""


class AugmentSettings(Settings):
    """What is varied between the crops of one training image, so that the network meets more than the images at hand."""

    flips: bool = True
    """true: mirrored half of the time."""
    rotation: Literal["none", "right_angles", "any"] = "any"
    """none; right_angles: turned by 0, 90, 180 or 270 degrees; any: half of the time by any angle."""
    scale_spread: float = Field(default=0.40, ge=0, le=1.5)
    """standard deviation of the natural logarithm of the size at which cells are shown; 0: always the network's size."""
    stretch: float = Field(default=0.07, ge=0, le=0.5)
    """standard deviation of the logarithm of stretching along one side."""
    intensity: float = Field(default=1.0, ge=0, le=2)
    """strength of other exposures, camera curves, uneven light, haze, white balance and contrast; 0: none."""
    stain: float = Field(default=1.0, ge=0, le=3)
    """strength of other dyes, doses and hues (colour stains); 0: none."""
    blur: float = Field(default=1.0, ge=0, le=2)
    """strength of blur and sharpening; 0: none."""
    noise: float = Field(default=1.0, ge=0, le=2)
    """strength of noise of photons and camera; 0: none."""
    jpeg: float = Field(default=1.0, ge=0, le=2)
    """strength of JPEG blocks; 0: none."""
    inversion: float = Field(default=0.05, ge=0, le=1)
    """fraction of crops shown as negatives."""
    gray: float = Field(default=0.1, ge=0, le=1)
    """fraction of crops of colour stains shown without colour."""


class LoopSettings(Settings):
    """How a network is trained: steps, rates, averages, validation."""

    steps: int = Field(default=6000, ge=1, le=10_000_000)
    """steps; each looks at `batch` crops."""
    batch: int = Field(default=8, ge=1, le=4096)
    """crops a step, over all GPUs together."""
    learning_rate: float = Field(default=8e-4, gt=0, le=1)
    """AdamW's highest rate; reached after `warmup_steps`, then falls along half a cosine to 0."""
    trunk_rate: float = Field(default=0.5, ge=0, le=1)
    """fraction of the rate that the layers which read pixels get; 0 leaves them as they came."""
    warmup_steps: int = Field(default=200, ge=0)
    """steps; in which the rate rises."""
    weight_decay: float = Field(default=0.03, ge=0, le=1)
    """AdamW's weight decay."""
    clip_norm: float = Field(default=5.0, gt=0)
    """length at which the gradient is cut."""
    ema: float = Field(default=0.998, ge=0, lt=1)
    """decay a step of the averaged weights, which are those that are validated and kept."""
    validate_every: int = Field(default=500, ge=1)
    """steps; between validations, each of which also writes a checkpoint."""
    patience: int = Field(default=6, ge=1)
    """validations without a better score after which training stops."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """the same seed, images and settings give the same crops."""


class TunedSettings(LoopSettings):
    """Settings of which some differ where training starts from other weights; each network has its own `fine_tune`."""

    fine_tune: dict[str, Any] = Field(default={})
    """keys of the above that differ when training starts from other weights, and win over them."""

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:  # noqa: ANN401 - whatever was given
        """Keys that are given alone win over the defaults of `fine_tune`; written down, so it stays."""
        if not isinstance(values, dict) or "fine_tune" in values:
            return values
        default = cls.model_fields["fine_tune"].default
        return values | {"fine_tune": {key: value for key, value in default.items() if key not in values}}

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = sorted(self.fine_tune.keys() - (type(self).model_fields.keys() - {"fine_tune"}))
        if unknown:
            raise ValueError(f"fine_tune.{unknown[0]}: unknown key; known are those beside fine_tune")
        if self.fine_tune:
            self.for_fine_tuning()
        return self

    def for_fine_tuning(self) -> Self:
        """The settings in force where training starts from other weights."""
        return type(self).model_validate(self.model_dump() | self.fine_tune | {"fine_tune": {}})

    def with_steps(self, steps: int) -> Self:
        """The settings with another number of steps, from other weights or not."""
        rest = {key: value for key, value in self.fine_tune.items() if key != "steps"}
        return type(self).model_validate(self.model_dump() | {"steps": steps, "fine_tune": rest})


class MaskRcnnTrainSettings(TunedSettings):
    """Training of Mask R-CNN: `cellseg train maskrcnn`."""

    crop_px: int = Field(default=256, ge=64, le=2048)
    """px of the network; side of the crops; a multiple of 32 wastes nothing."""
    diameter_um: float | None = Field(default=None, gt=0, le=1000)
    """um; the typical cell, which later turns a slide's pixel size into a scale; null: measured where all images have a pixel size, else as in the weights that training starts from."""
    val_share: float = Field(default=0.2, ge=0, lt=1)
    """fraction of the images (of their groups, where an index names them) kept for validation where no split is given; 0: validate on the training images, which flatters."""
    kind_weights: dict[str, float] = Field(default={})
    """kind of image -> how often it is drawn; 1 for kinds that are not named, whatever the number of their images."""
    score_kinds: tuple[str, ...] = ()
    """kinds of image that decide which weights are best; empty: all."""
    architecture: dict[str, Any] = Field(default={})
    """keys of the network's architecture that differ from its defaults (see docs/training.md); not when training starts from other weights."""
    augment: AugmentSettings = AugmentSettings()
    fine_tune: dict[str, Any] = Field(
        default={"steps": 800, "learning_rate": 2e-4, "warmup_steps": 50, "ema": 0.99, "validate_every": 100}
    )
    """keys of the above that differ when training starts from other weights, and win over them."""


class SegNetTrainSettings(TunedSettings):
    """Training of SegNet: `cellseg train segnet`."""

    batch: int = Field(default=16, ge=1, le=4096)
    """crops a step, over all GPUs together."""
    trunk_rate: float = Field(default=1.0, ge=0, le=1)
    """fraction of the rate that the encoder gets; 0 leaves it as it came."""
    crop_px: int = Field(default=224, ge=64, le=2048)
    """px of the network; side of the crops; a multiple of 32 wastes nothing."""
    val_share: float = Field(default=0.2, ge=0, lt=1)
    """fraction of the cases kept for validation where no split is given; 0: validate on the training images, which flatters."""
    class_balance: Literal["median_frequency", "none"] = "median_frequency"
    """median_frequency: rare classes weigh more in the loss (Eigen and Fergus 2015); none: all pixels weigh the same."""
    focal_gamma: float = Field(default=0.0, ge=0, le=5)
    """exponent of the focal loss (Lin et al. 2017); 0: cross-entropy."""
    dice_weight: float = Field(default=0.5, ge=0, le=10)
    """weight of the Dice loss of the coarsest level of classes beside the cross-entropies."""
    architecture: dict[str, Any] = Field(default={})
    """keys of the network's architecture that differ from its defaults (see docs/training.md); not when training starts from other weights."""
    augment: AugmentSettings = AugmentSettings(scale_spread=0.2, inversion=0.0)
    fine_tune: dict[str, Any] = Field(
        default={"steps": 400, "learning_rate": 2e-4, "warmup_steps": 50, "ema": 0.99, "validate_every": 100}
    )
    """keys of the above that differ when training starts from other weights, and win over them."""


class TrainSettings(Settings):
    """Training on a lab's own images and cells: the rules `train_maskrcnn`, `train_segnet`, `train_classifier`."""

    data: tuple[str, ...] = ()
    """folders of images with label images, GeoJSON or COCO annotations beside them; from where snakemake is started."""
    init: str = "nucleus"
    """weights to start from: nucleus (those in the package), the path of a .safetensors file, or empty for random ones."""
    stain: Stain = "he"
    """how the images are stained, where no index.csv says so."""
    classes: tuple[str, ...] = ()
    """names of the classes; empty: those of the annotations, or one. One name takes all objects together."""
    licence: str = ""
    """licence under which the weights may be used; written into them."""
    maskrcnn: MaskRcnnTrainSettings = MaskRcnnTrainSettings()
    tissue_init: str = ""
    """`train_segnet`: weights to start from: colon (those in the package), the path of a .safetensors file, or empty for random ones."""
    tissue_classes: tuple[str, ...] = ()
    """`train_segnet`: names of the values 0, 1, ... of the masks; empty: the names in GeoJSON annotations."""
    tissue_mpp: float | None = Field(default=None, gt=0, le=1000)
    """um per pixel; `train_segnet`: what images of known pixel size are resampled to; null: as the weights, else their median."""
    segnet: SegNetTrainSettings = SegNetTrainSettings()
    labels: str = ""
    """`train_classifier`: table of labelled cells of this run, made by `cellseg label-cells`; from where snakemake is started."""
    classifier: TrainClassifierSettings = TrainClassifierSettings()
