"""A cascaded pyramid network whose answer is looked at again as a whole: where all points seem to be corrects each of them."""

import torch
from garment_keypoints.keypoints.networks.cpn import Bottleneck, CPNHead
from garment_keypoints.keypoints.networks.layers import conv, enlarged, predictor
from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn


class Hourglass(nn.Module):
    """Down to an eighth of the maps' size and up again, with a shortcut at each size (Newell et al. 2016, 1603.06937)."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Sequential(conv(width, width, stride=2), Bottleneck(width)) for _ in range(depth))
        self.up = nn.ModuleList(Bottleneck(width) for _ in range(depth))

    def forward(self, maps: Tensor) -> Tensor:
        sizes = [maps]
        for down in self.down:
            sizes.append(down(sizes[-1]))
        maps = sizes.pop()
        for up in self.up:
            shortcut = sizes.pop()
            maps = up(enlarged(maps, shortcut) + shortcut)
        return maps


class CascadeHead(CPNHead):
    """Maps of strides 4 to 32 -> the five stages of a CPN, and a sixth: its maps corrected by an hourglass that sees them all.

    What it sees are the refined features beside the maps, normalised, so that any codec's will do. It adds to the maps, which
    is nothing at first. The second stage of stacked hourglasses and of the winner of FashionAI 2018 is of this kind.
    """

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__(channels, num_keypoints, width, size)
        self.normalised = nn.BatchNorm2d(num_keypoints)
        self.enter = conv(width + num_keypoints, width, 1)
        self.hourglass = Hourglass(width)
        self.correction = predictor(width, num_keypoints)

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        stages, refined = self.stages(features)
        seen = self.enter(torch.cat([refined, self.normalised(stages[-1])], 1))
        corrected = stages[-1] + self.correction(self.hourglass(seen))
        return [{"maps": maps} for maps in (*stages, corrected)]
