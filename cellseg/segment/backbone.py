"""The convolutional trunks of the networks, as feature pyramids of one width. Floor 3; torch.

EfficientNet-Lite0 (Tan and Le 2019, ICML; the Lite variant drops squeeze-and-excitation and uses ReLU6) carries its
batch normalisation folded into its convolutions: it is always fine-tuned from weights whose statistics are known, and
so is cheaper to train and to run.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.ops import FeaturePyramidNetwork

from cellseg.segment.architecture import STRIDES, Backbone

# expansion, kernel, stride, repeats, channels; the last stages of strides 2, 4, 8, 16 and 32 are read
_LITE0_STAGES = (
    (1, 3, 1, 1, 16), (6, 3, 2, 2, 24), (6, 5, 2, 2, 40), (6, 3, 2, 3, 80), (6, 5, 1, 3, 112), (6, 5, 2, 4, 192),
    (6, 3, 1, 1, 320),
)  # fmt: skip
_LITE0_READ = (0, 1, 2, 4, 6)


class _DepthwiseConv(nn.Conv2d):
    """A depthwise convolution that stays in float32 while it is trained: its bfloat16 gradient is slower on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class _InvertedResidual(nn.Module):
    """Expand, filter each channel on its own, project; the input is added where shapes allow."""

    def __init__(self, expansion: int, kernel: int, stride: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(channels_in, inner, 1), nn.ReLU6(inplace=True)]
        layers += [
            _DepthwiseConv(inner, inner, kernel, stride, kernel // 2, groups=inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, channels_out, 1),
        ]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.adds else out


class EfficientNetLite0(nn.Module):
    """(N, 3, H, W) -> maps of 16, 24, 40, 112 and 320 channels at strides 2, 4, 8, 16 and 32."""

    channels = (16, 24, 40, 112, 320)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU6(inplace=True))
        stages, width = [], 32
        for expansion, kernel, stride, repeats, channels in _LITE0_STAGES:
            blocks = []
            for repeat in range(repeats):
                blocks.append(_InvertedResidual(expansion, kernel, stride if repeat == 0 else 1, width, channels))
                width = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps, finest first."""
        x = self.stem(x)
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _LITE0_READ:
                maps.append(x)
        return maps


class _ResNet50(nn.Module):
    """ResNet-50 (He et al. 2016, CVPR): maps of 64, 256, 512, 1024 and 2048 channels at strides 2 to 32."""

    channels = (64, 256, 512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet50(weights=None)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu)
        self.pool = trunk.maxpool
        self.stages = nn.ModuleList([trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        x = self.pool(maps[0])
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class PyramidBackbone(nn.Module):
    """A trunk and a feature pyramid (Lin et al. 2017, CVPR): maps "2", "4" ... "32", named by stride, of one width."""

    def __init__(self, backbone: Backbone, channels: int) -> None:
        super().__init__()
        self.trunk: EfficientNetLite0 | _ResNet50 = (
            EfficientNetLite0() if backbone == "efficientnet_lite0" else _ResNet50()
        )
        self.pyramid = FeaturePyramidNetwork(list(self.trunk.channels), channels)
        self.out_channels = channels

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """The levels of the pyramid by name, finest first, each (N, out_channels, H / stride, W / stride)."""
        maps = self.trunk(x)
        levels: OrderedDict[str, Tensor] = self.pyramid(
            OrderedDict((str(stride), level) for stride, level in zip(STRIDES, maps, strict=True))
        )
        return levels


def load_imagenet_lite0(trunk: EfficientNetLite0, state: dict[str, Tensor]) -> None:
    """Fill `trunk` from ImageNet weights of the usual layout, where every convolution is followed by its batch norm.

    Parameters
    ----------
    state : dict of Tensor
        In the order of the layers, five tensors a layer: kernel (no bias), then gamma, beta, mean and variance;
        counters are skipped. What follows the trunk (head, classifier) is left out.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    tensors = [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]
    layers = [layer for layer in trunk.modules() if isinstance(layer, nn.Conv2d)]
    if len(tensors) < 5 * len(layers):
        raise ValueError(f"{len(tensors)} tensors; expected at least {5 * len(layers)}")
    with torch.no_grad():
        for number, layer in enumerate(layers):
            kernel, gamma, beta, mean, variance = tensors[5 * number : 5 * number + 5]
            if kernel.shape != layer.weight.shape or layer.bias is None:
                raise ValueError(f"layer {number}: {tuple(kernel.shape)}; expected {tuple(layer.weight.shape)}")
            gain = gamma / torch.sqrt(variance + _LITE0_EPS)
            layer.weight.copy_(kernel * gain[:, None, None, None])
            layer.bias.copy_(beta - mean * gain)


_LITE0_EPS = 1e-3
"""The batch norm's epsilon in the published weights."""


class _ActivatedConv(nn.Module):
    """A convolution that activates what it has just computed, while it is in the processor's cache."""

    def __init__(self, conv: nn.Conv2d, name: str, bounds: list[float]) -> None:
        super().__init__()
        self.conv, self.name, self.bounds = conv, name, bounds

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups, self.name, self.bounds, ""
        )
        return out


def fuse_activations(module: nn.Module) -> nn.Module:
    """`module` with each convolution and the ReLU after it made one, for evaluation on a CPU; the same values.

    oneDNN's operator is what `torch.compile` uses; where it is missing, the module is returned as it is.
    """
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (there and hasattr(torch.ops.mkldnn, "_convolution_pointwise")):
        return module
    for name, child in list(module.named_children()):
        setattr(module, name, fuse_activations(child))
    if not isinstance(module, nn.Sequential):
        return module
    layers: list[nn.Module] = []
    for layer in module:
        before = layers[-1] if layers else None
        if isinstance(before, nn.Conv2d) and isinstance(layer, nn.ReLU6 | nn.ReLU):
            bounded = isinstance(layer, nn.ReLU6)
            layers[-1] = _ActivatedConv(before, "hardtanh" if bounded else "relu", [0.0, 6.0] if bounded else [])
        else:
            layers.append(layer)
    return nn.Sequential(*layers)
