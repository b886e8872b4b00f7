"""MoveNet Lightning as a backbone: MobileNetV2 (Sandler et al. 2018, 1801.04381) with a pyramid, trained on people's joints.

The structure is that of Google's single pose Lightning, version 4, without its heads; tensors are named as in the packaged
file. Its convolutions of stride 2 pad right and below only, as TensorFlow does.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = [(16, 1, 1, 1), (24, 2, 2, 6), (32, 3, 2, 6), (64, 4, 2, 6), (96, 3, 1, 6), (160, 3, 2, 6), (320, 1, 1, 6)]
"""MobileNetV2's groups of blocks: channels, blocks, stride of the first, expansion."""
NECK = {32: 64, 16: 32, 8: 24, 4: 24}
"""Channels of the neck's maps, by stride."""


class MoveNetLightning(nn.Module):
    """Images (B, 3, H, W) of -1..1, H and W multiples of 32 -> the maps of `strides`, in that order, (B, C, H / s, W / s).

    From stride 4 on, a map is the body's with the neck's of the same stride behind it; `levels` names the body's layers.
    """

    levels: ClassVar[dict[int, str]] = {2: "blocks.0", 4: "blocks.2", 8: "blocks.5", 16: "blocks.12", 32: "last"}
    widths: ClassVar[dict[int, int]] = {2: 16, 4: 24, 8: 32, 16: 96, 32: 1280}

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = list(strides)
        self.channels = [self.widths[stride] + NECK.get(stride, 0) for stride in strides]
        self.stem = ConvNorm(3, 32, 3, stride=2)
        self.blocks, channels = nn.ModuleList(), 32
        for width, count, stride, expansion in BLOCKS:
            for i in range(count):
                self.blocks.append(InvertedResidual(channels, width, stride if i == 0 else 1, expansion))
                channels = width
        self.last = ConvNorm(channels, 1280, 1)
        self.neck = Neck(finest=min((s for s in strides if s in NECK), default=32))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        x, outputs = self.stem(images), []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        body = {2: outputs[0], 4: outputs[2], 8: outputs[5], 16: outputs[12], 32: self.last(x)}
        # The neck's lateral of stride 16 starts before the widening to 96 channels.
        neck = self.neck(body | {16: outputs[9]})
        return [torch.cat([body[s], neck[s]], 1) if s in neck else body[s] for s in self.strides]


class Neck(nn.Module):
    """Top-down sums (Lin et al. 2017, 1612.03144): maps by stride -> maps by stride, from 32 down to `finest`."""

    laterals: ClassVar[dict[int, tuple[int, int]]] = {32: (1280, 64), 16: (64, 64), 8: (32, 32), 4: (24, 24)}

    def __init__(self, finest: int) -> None:
        super().__init__()
        self.strides = [stride for stride in self.laterals if stride >= finest]
        for stride in self.strides:
            self.add_module(f"lateral{stride}", ConvNorm(*self.laterals[stride], 1, activation=nn.Identity))
            if stride < 32:
                self.add_module(f"smooth{stride}", SeparableConv(self.laterals[stride][1], NECK[stride]))

    def forward(self, body: dict[int, Tensor]) -> dict[int, Tensor]:
        maps: dict[int, Tensor] = {}
        for stride in self.strides:
            merged = self.get_submodule(f"lateral{stride}")(body[stride])
            if stride < 32:
                above = F.interpolate(maps[2 * stride], size=merged.shape[-2:], mode="bilinear")
                merged = self.get_submodule(f"smooth{stride}")(above + merged)
            maps[stride] = merged
        return maps


class InvertedResidual(nn.Module):
    """Widen by `expansion`, filter each channel by itself, narrow without activation; added to its input where it fits."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = ConvNorm(channels, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(inner, inner, 3, stride=stride, groups=inner)
        self.project = ConvNorm(inner, width, 1, activation=nn.Identity)
        self.residual = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class ConvNorm(nn.Module):
    """A convolution, BatchNorm, and ReLU6 or another activation."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] = nn.ReLU6,
    ) -> None:
        super().__init__()
        self.halves = stride == 2
        padding = 0 if self.halves else kernel // 2
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 1, 0, 1)) if self.halves else x
        return self.act(self.bn(self.conv(x)))


class SeparableConv(nn.Module):
    """A 3 x 3 filter for each channel by itself, a mix of channels, BatchNorm and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.pointwise(self.depthwise(x))))
