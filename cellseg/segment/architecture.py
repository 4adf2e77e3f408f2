"""What a Mask R-CNN is built like: the part of a weights file that is not weights. Floor 3: no torch, no files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellseg.errors import ModelError

Backbone = Literal["efficientnet_lite0", "resnet50"]
Anchor = Annotated[float, Field(gt=0)]

STRIDES: tuple[int, ...] = (2, 4, 8, 16, 32)
"""px; the levels of the feature pyramid. Masks are read from all, proposals and boxes from the second on."""


class Architecture(BaseModel):
    """Everything needed to build the network, before its weights are loaded; stored in their metadata."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    backbone: Backbone = "efficientnet_lite0"
    """what reads the pixels; efficientnet_lite0 is light enough for a CPU."""
    pyramid_channels: int = Field(default=96, ge=8, le=512)
    """channels of every level of the feature pyramid."""
    box_units: int = Field(default=256, ge=8, le=2048)
    """units of the two layers that judge a box."""
    mask_channels: int = Field(default=64, ge=8, le=512)
    """channels of the mask head."""
    mask_layers: int = Field(default=4, ge=1, le=8)
    """convolutions of the mask head before its grid is doubled to 28 x 28."""
    anchor_px: tuple[tuple[Anchor, ...], ...] = ((12, 20), (32, 45), (64, 90), (128, 180))
    """px; sides of the square boxes that proposals start from, per pyramid level from stride 4 to 32."""
    anchor_ratios: tuple[Anchor, ...] = (0.5, 1.0, 2.0)
    """height over width of those boxes."""
    classes: tuple[str, ...] = Field(default=("nucleus",), min_length=1)
    """names of what is found; class numbers count from 1 in this order."""
    diameter_px: float = Field(default=34.0, gt=0)
    """px; the typical object in the pixels that the network is fed; images are resampled so that theirs is so large."""
    diameter_um: float | None = Field(default=7.0, gt=0)
    """um; size of the typical object, which turns a slide's pixel size into a scale; null: unknown."""

    @property
    def mpp(self) -> float | None:
        """Microns per pixel that the network works at; None where the object's size is unknown."""
        return None if self.diameter_um is None else self.diameter_um / self.diameter_px


def parse_architecture(found: dict[str, Any], where: str) -> Architecture:
    """The architecture that metadata speak of.

    Raises
    ------
    ModelError
        If they do not describe one.
    """
    try:
        return Architecture.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"{where}: its metadata describe no Mask R-CNN that this version can build ({key}: {first['msg']}); "
            "use weights made by `cellseg train maskrcnn`"
        ) from error
