"""SegNet (Badrinarayanan, Kendall and Cipolla 2017, IEEE TPAMI 39: 2481-2495). Floor 3; torch.

The encoder is the 13 convolutions of VGG16. Each of its five poolings keeps where in its 2 x 2 pixels the highest value
lay, and the decoder's unpooling puts each value back there, with zeros elsewhere; nothing is upsampled by
interpolation, and no layer shares weights with another.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cellseg.segment.tissue_architecture import GRID_PX, TissueArchitecture

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_SD = (0.229, 0.224, 0.225)


class SegNet(nn.Module):
    """Class scores of every pixel.

    Parameters
    ----------
    architecture : TissueArchitecture
        Its width and its number of classes.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, architecture: TissueArchitecture) -> None:
        super().__init__()
        blocks = architecture.blocks
        self.encoder = nn.ModuleList()
        channels = 3
        for block in blocks:
            self.encoder.append(_convolutions(channels, block))
            channels = block[-1]
        self.decoder = nn.ModuleList()
        for number in reversed(range(len(blocks))):
            block = blocks[number]
            out = blocks[number - 1][-1] if number else block[0]
            self.decoder.append(_convolutions(channels, (*block[1:], out)))
            channels = out
        self.classifier = nn.Conv2d(channels, len(architecture.classes), 1)
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, 2)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(IMAGE_SD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores (N, K, H, W) of pixels (N, 3, H, W), 0..1; any H and W: padded to the pooling grid and cropped."""
        return self.look(pixels)[0]

    def look(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores as of `forward`, and the features at strides 32, 16, 8, 4 and 2 that they are made from."""
        height, width = pixels.shape[-2:]
        x = (pixels - self.mean) / self.sd
        x = functional.pad(x, (0, -width % GRID_PX, 0, -height % GRID_PX))
        x = x.contiguous(memory_format=torch.channels_last)
        places: list[Tensor] = []
        for block in self.encoder:
            x, where = self.pool(block(x))
            places.append(where)
        features: list[Tensor] = []
        for block in self.decoder:
            features.append(x)
            x = block(self.unpool(x, places.pop()))
        return self.classifier(x)[:, :, :height, :width], features


def build_segnet(architecture: TissueArchitecture) -> SegNet:
    """A SegNet with random weights (He et al. 2015, ICCV)."""
    model = SegNet(architecture)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return model.to(memory_format=torch.channels_last)


def _convolutions(channels: int, outs: Sequence[int]) -> nn.Sequential:
    """3 x 3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for out in outs:
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*layers)
