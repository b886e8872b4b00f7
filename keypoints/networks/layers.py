"""What heads are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalised, with ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def predictor(width: int, maps: int) -> nn.Conv2d:
    """Linear 1 x 1 convolution to maps; starts near zero, so that no map prefers a cell before it has learned anything."""
    layer = nn.Conv2d(width, maps, 1)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


def enlarged(maps: Tensor, like: Tensor) -> Tensor:
    """Return maps (B, C, h, w) bilinearly at the height and width of `like`; cells keep their place in the crop."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear")


class TopDown(nn.Module):
    """Backbone maps, finest first, merged from the deepest down (Lin et al. 2017, 1612.03144), each of `width` channels.

    Every level is told where its cells lie in the crop (CoordConv, Liu et al. 2018, 1807.03247): left and right points look
    alike, and convolutions alone learn only slowly which is which.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.positions = nn.ModuleList(nn.Conv2d(2, width, 1, bias=False) for _ in channels)
        self.smooth = nn.ModuleList(conv(width, width) for _ in channels)

    def merge(self, features: list[Tensor]) -> list[Tensor]:
        """Return the merged maps of all levels, finest first."""
        merged: list[Tensor] = []
        levels = list(zip(features, self.laterals, self.positions, self.smooth, strict=True))
        for level, lateral, position, smooth in reversed(levels):
            sideways = lateral(level) + position(_centres(level))
            if merged:
                sideways = sideways + enlarged(merged[0], sideways)
            merged.insert(0, smooth(sideways))
        return merged


def _centres(features: Tensor) -> Tensor:
    """Return x and y of the cells' centres, -1 to 1 between the crop's edges: (1, 2, h, w)."""
    height, width = features.shape[-2:]
    x = (torch.arange(width, device=features.device, dtype=features.dtype) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=features.device, dtype=features.dtype) + 0.5) * (2 / height) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]
