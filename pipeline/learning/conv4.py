"""The smallest backbone that still gives a whole pyramid."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


class Conv4(nn.Module):
    """Four convolutions with BatchNorm and ReLU, a 7 x 7 of stride 4 and three 3 x 3 of stride 2: maps of stride 4 to 32.

    Takes images (B, 3, H, W), H and W multiples of 32; returns the maps of `strides`, in that order, (B, C, H / s, W / s).
    """

    levels: ClassVar[dict[int, str]] = {4: "layers.0", 8: "layers.1", 16: "layers.2", 32: "layers.3"}
    widths = (32, 64, 128, 256)

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        self.kept = [list(self.levels).index(stride) for stride in strides]
        self.channels = [self.widths[i] for i in self.kept]
        kernels = [(7, 4), (3, 2), (3, 2), (3, 2)][: max(self.kept) + 1]
        sides = zip((3, *self.widths), self.widths, kernels, strict=False)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            for i, o, (k, s) in sides
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return [maps[1 + i] for i in self.kept]
