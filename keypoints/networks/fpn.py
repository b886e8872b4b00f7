"""Feature pyramid head: a timm backbone, top-down sums to stride 4, K maps (after Lin et al. 2017, 1612.03144)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.learning.backbones import Backbone


class FPNNetwork(nn.Module):
    """Crops (B, 3, h, w) of 0..255 RGB -> maps (B, K, h / 4, w / 4), linear: no squashing that could saturate.

    Every level is told where its cells lie in the crop (CoordConv, Liu et al. 2018, 1807.03247): left and right points look
    alike, and convolutions alone learn only slowly which is which.
    """

    stride = 4
    strides = (4, 8, 16, 32)

    def __init__(self, num_keypoints: int, backbone: Backbone, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in self.backbone.channels)
        self.positions = nn.ModuleList(nn.Conv2d(2, channels, 1, bias=False) for _ in self.backbone.channels)
        self.smooth = nn.ModuleList(_conv(channels) for _ in self.backbone.channels)
        self.head = nn.Sequential(_conv(channels), nn.Conv2d(channels, num_keypoints, 1))
        nn.init.normal_(self.head[-1].weight, std=0.001)
        nn.init.zeros_(self.head[-1].bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor) -> Tensor:
        maps = self.backbone(crops.contiguous(memory_format=torch.channels_last))
        merged = None
        levels = list(zip(maps, self.laterals, self.positions, self.smooth, strict=True))
        for features, lateral, position, smooth in reversed(levels):
            sideways = lateral(features) + position(_centres(features))
            if merged is not None:
                sideways = sideways + F.interpolate(merged, size=sideways.shape[-2:], mode="bilinear")
            merged = smooth(sideways)
        return self.head(merged)


def _centres(features: Tensor) -> Tensor:
    """Return x and y of the cells' centres, -1 to 1 between the crop's edges: (1, 2, h, w)."""
    height, width = features.shape[-2:]
    x = (torch.arange(width, device=features.device, dtype=features.dtype) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=features.device, dtype=features.dtype) + 0.5) * (2 / height) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]


def _conv(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
