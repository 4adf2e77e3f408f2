"""A trained SegNet looking at one window: from pixels to the class of each and how likely it is. Floor 3; torch."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cellseg.errors import ConfigError, ModelError
from cellseg.io.weights import Weights, fill_network
from cellseg.segment.backbone import fuse_activations
from cellseg.segment.infer import choose_device, choose_precision, one_thread
from cellseg.segment.segnet import IMAGE_MEAN, IMAGE_SD, SegNet
from cellseg.segment.tissue_architecture import GRID_PX, TissueArchitecture, parse_tissue_architecture
from cellseg.types import Window

FORMAT = "cellseg-segnet-1"
Image = NDArray[np.uint8]


class TissueNetwork:
    """Says of every pixel of an image at the network's scale which tissue it is; may be called from any thread.

    Parameters
    ----------
    model : SegNet
        It is taken apart and must not be used afterwards.
    architecture : TissueArchitecture
        Its classes and their levels.
    level : int
        0: classes as they are; from 1 on the groups of that level, 1 being the coarsest.
    precision : torch.dtype, optional
        That of `segment.infer.choose_precision` if not given.
    """

    def __init__(
        self,
        model: SegNet,
        architecture: TissueArchitecture,
        *,
        level: int = 0,
        device: torch.device,
        precision: torch.dtype | None = None,
    ) -> None:
        self.device = device
        self.precision = choose_precision(device) if precision is None else precision
        self.architecture, self.level = architecture, level
        self.names = tuple(architecture.levels[level - 1]) if level else architecture.classes
        self._groups = architecture.members[level - 1] if level else architecture.members[-1]
        self._group_of = np.zeros(len(architecture.classes), np.uint8)
        for number, group in enumerate(self._groups):
            self._group_of[list(group)] = number
        model = model.eval()
        self._encoder = [self._prepare(block) for block in model.encoder]
        self._decoder = [self._prepare(block) for block in model.decoder]
        self._classifier = self._prepare(nn.Sequential(model.classifier))
        self._pool, self._unpool = model.pool, model.unpool
        self._mean = torch.tensor(IMAGE_MEAN, device=device).mul(255)[:, None, None]
        self._gain = torch.tensor(IMAGE_SD, device=device).mul(255).reciprocal()[:, None, None]
        self._turn = threading.Lock()

    def look(self, pixels: Image, core: Window | None = None) -> tuple[Image, Image]:
        """Classes and probabilities of an image, or of its part `core`, which has `context_px` around it.

        Parameters
        ----------
        pixels : (H, W, 3) ndarray of uint8
            At the network's scale. What lies around the image is unknown to the network.

        Returns
        -------
        classes : (h, w) ndarray of uint8
            Numbers of `names`.
        probabilities : (h, w) ndarray of uint8
            255 times the probability of that class, rounded.

        Raises
        ------
        ModelError
            If the window does not fit into a GPU's memory.
        """
        height, width = pixels.shape[:2]
        part = core or Window(0, height, 0, width)
        around = on_grid(part.grow(self.architecture.margin_px)).clip(
            *(-(-n // GRID_PX) * GRID_PX for n in (height, width))
        )
        found = self._on_gpu(pixels, around) if self.device.type == "cuda" else self._on_processor(pixels, around)
        found = self.architecture.smooth(found)[:, *part.inside(around)]
        classes = self.architecture.decide(found)
        if self.level:
            classes = self._group_of[classes]
            found = np.stack([found[list(group)].sum(axis=0) for group in self._groups])
        own = np.take_along_axis(found, classes[None].astype(np.intp), axis=0)[0]
        return classes, np.floor(np.clip(own, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _on_processor(self, pixels: Image, core: Window) -> NDArray[np.float32]:
        with one_thread():
            return self._probabilities(pixels, core)

    def _on_gpu(self, pixels: Image, core: Window) -> NDArray[np.float32]:
        try:
            with self._turn, torch.inference_mode():
                return self._probabilities(pixels, core)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise ModelError(
                f"a window of {max(pixels.shape[:2])} px does not fit into the GPU's memory; lower tissue.window_px, "
                "or use --device cpu"
            ) from error

    def _probabilities(self, pixels: Image, core: Window) -> NDArray[np.float32]:
        """(K, h, w) of `core`."""
        height, width = pixels.shape[:2]
        x = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None].float().sub_(self._mean).mul_(self._gain)
        x = functional.pad(x, (0, -width % GRID_PX, 0, -height % GRID_PX))
        x = x.to(self.precision, memory_format=torch.channels_last)
        places: list[Tensor] = []
        # layer by layer, so that no more than what one reads and writes is held
        for block in self._encoder:
            for layer in block:
                x = layer(x)
            x, where = self._pool(x)
            places.append(where)
        del where
        for block in self._decoder:
            x = self._unpool(x, places.pop())
            for layer in block:
                x = layer(x)
        scores = self._classifier(x[:, :, core.y0 : core.y1, core.x0 : core.x1])
        found = torch.softmax(scores[0].float(), dim=0)
        return np.asarray(found.contiguous().cpu().numpy(), np.float32)

    def _prepare(self, block: nn.Module) -> nn.Sequential:
        """A block with its normalisations folded into its convolutions, ready to compute on the device."""
        layers: list[nn.Module] = []
        for layer in block.children():
            if isinstance(layer, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
                layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
            else:
                layers.append(layer)
        ready = nn.Sequential(*layers).to(self.device, self.precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return fuse_activations(ready) if self.device.type == "cpu" else ready  # type: ignore[return-value]


def on_grid(window: Window) -> Window:
    """The window grown to the pooling grid."""
    y0, x0 = (at // GRID_PX * GRID_PX for at in (window.y0, window.x0))
    y1, x1 = (-(-at // GRID_PX) * GRID_PX for at in (window.y1, window.x1))
    return Window(y0, y1, x0, x1)


def load_tissue_network(weights: Weights, *, level: int = 0, device: str = "auto") -> TissueNetwork:
    """The network of a weights file.

    Raises
    ------
    ModelError
        If the weights are not those of a SegNet that can be built, or one of them is not a number.
    ConfigError
        If they have no such level, or there is no such device.
    """
    where = str(weights.path)
    architecture = parse_tissue_architecture(weights.metadata.get("architecture", {}), where)
    if level > len(architecture.levels):
        known = "; ".join(f"{n}: {', '.join(groups)}" for n, groups in enumerate(architecture.levels, start=1))
        raise ConfigError(
            f"tissue.level {level}: {where} has no such level; give 0 for its classes, or {known or 'none'}"
        )
    model = SegNet(architecture)
    fill_network(model, weights)
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{where}: {name} holds what is no number; take weights from an earlier step")
    return TissueNetwork(model, architecture, level=level, device=choose_device(device))
