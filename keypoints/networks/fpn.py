"""Feature pyramid head: top-down sums to stride 4, K maps (after Lin et al. 2017, 1612.03144)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.contract.protocols import Outputs


class FPNHead(nn.Module):
    """Maps of strides 4 to 32 -> "maps" (B, K, h / 4, w / 4), linear: no squashing that could saturate.

    Every level is told where its cells lie in the crop (CoordConv, Liu et al. 2018, 1807.03247): left and right points look
    alike, and convolutions alone learn only slowly which is which.
    """

    produces = "maps"
    strides = (4, 8, 16, 32)
    stride = 4

    def __init__(self, channels: Sequence[int], num_keypoints: int, width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.positions = nn.ModuleList(nn.Conv2d(2, width, 1, bias=False) for _ in channels)
        self.smooth = nn.ModuleList(_conv(width) for _ in channels)
        self.predict = nn.Sequential(_conv(width), nn.Conv2d(width, num_keypoints, 1))
        nn.init.normal_(self.predict[-1].weight, std=0.001)
        nn.init.zeros_(self.predict[-1].bias)

    def forward(self, features: Sequence[Tensor], category: Tensor) -> list[Outputs]:
        merged = None
        levels = list(zip(features, self.laterals, self.positions, self.smooth, strict=True))
        for level, lateral, position, smooth in reversed(levels):
            sideways = lateral(level) + position(_centres(level))
            if merged is not None:
                sideways = sideways + F.interpolate(merged, size=sideways.shape[-2:], mode="bilinear")
            merged = smooth(sideways)
        return [{"maps": self.predict(merged)}]


def _centres(features: Tensor) -> Tensor:
    """Return x and y of the cells' centres, -1 to 1 between the crop's edges: (1, 2, h, w)."""
    height, width = features.shape[-2:]
    x = (torch.arange(width, device=features.device, dtype=features.dtype) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=features.device, dtype=features.dtype) + 0.5) * (2 / height) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]


def _conv(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
