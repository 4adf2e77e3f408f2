"""Networks that look at pictures of cells, from their files and into them. Floor 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellseg.classify_config import TrainLookSettings
from cellseg.errors import ConfigError, ModelError
from cellseg.measure.crops import CropField, network_name
from cellseg.measure.view import Look
from cellseg.measure_config import MeasureSettings

FORMAT = "cellseg-crops-1"
NO_NETWORK = (
    "measure.families has appearance, and measure.appearance_network names no network; name redcell_look, or a file "
    "that `cellseg train classifier` wrote (docs/training.md, look)"
)


def find_look(settings: MeasureSettings) -> Look | None:
    """The network of the family `appearance`; None where the family is not measured.

    Raises
    ------
    ConfigError
        If the family is measured and no network is named.
    ModelError
        If the network's file cannot be used.
    """
    if "appearance" not in settings.families:
        return None
    if not settings.appearance_network:
        raise ConfigError(NO_NETWORK)
    return read_look(settings.appearance_network)


def look_file(settings: MeasureSettings) -> Path | None:
    """The file of the network of the family `appearance`; None where the family is not measured.

    Raises
    ------
    ModelError
        If it is a name and no such network is in the package.
    """
    if "appearance" not in settings.families or not settings.appearance_network:
        return None
    from cellseg.io.weights import find_weights

    return find_weights(settings.appearance_network)


def read_look(given: str) -> Look:
    """The network of this name in the package, or in this file.

    Raises
    ------
    ModelError
        If there is no such network, or the file is damaged, foreign or of another kind.
    """
    from cellseg.io.weights import fill_network, find_weights, read_weights
    from cellseg.measure.crop_network import CropNetwork, build_network

    weights = read_weights(find_weights(given), expected_format=FORMAT)
    about = weights.metadata
    try:
        field = CropField(int(about["side_px"]), float(about["mpp"]))
        network = build_network(int(about["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{weights.path}: does not say how it looks ({error!r}); train it again") from error
    fill_network(network, weights)
    return CropNetwork(network, field, network_name(given))


def write_look(path: Path, look: Look, settings: TrainLookSettings, *, story: dict[str, Any]) -> str:
    """Write a network of `fit_look` with what it looks at; returns its sha256."""
    from cellseg.io.weights import write_weights
    from cellseg.measure.crop_network import CropNetwork

    if not isinstance(look, CropNetwork):
        raise TypeError(f"{path}: not a network of this package: {type(look).__name__}")
    about = {
        "format": FORMAT, "side_px": look.field.side_px, "mpp": look.field.mpp, "width": settings.width,
        "settings": settings.model_dump(mode="json"), "story": story,
    }  # fmt: skip
    return write_weights(path, look.tensors(), about)
