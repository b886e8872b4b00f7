"""Convolutional pose machine (Wei et al. 2016, 1602.00134): stages that each read the belief maps of the one before."""

import torch
from garment_keypoints.keypoints.networks.layers import TopDown, conv, predictor
from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn

STAGES = 3


class CPMHead(TopDown):
    """Maps of strides 8 to 32 -> three stages of "maps" (B, K, h / 8, w / 8) and "background" (B, 1, h / 8, w / 8).

    Later stages see 19 x 19 cells of the belief maps before (three convolutions of 7 x 7), most of a garment. The paper's
    features are one map of stride 8; here the backbone's deeper maps are merged into it, since today's backbones have little
    depth before stride 8. The background's map says where no point is; `losses.supervise` trains it beside the points.
    """

    produces = "maps"
    strides: tuple[int, ...] = (8, 16, 32)
    stride = 8

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__(channels, width)
        maps = num_keypoints + 1
        first = nn.Sequential(conv(width, width), conv(width, width), predictor(width, maps))
        self.stages = nn.ModuleList([first])
        for _ in range(STAGES - 1):
            large = [conv(width + maps, width, 7), conv(width, width, 7), conv(width, width, 7)]
            self.stages.append(nn.Sequential(*large, conv(width, width, 1), predictor(width, maps)))

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        merged = self.merge(features)[0]
        beliefs = [self.stages[0](merged)]
        for stage in self.stages[1:]:
            beliefs.append(stage(torch.cat([merged, beliefs[-1]], 1)))
        return [{"maps": belief[:, :-1], "background": belief[:, -1:]} for belief in beliefs]


class FineCPMHead(CPMHead):
    """The same with belief maps of stride 4: 64 x 64 of a crop of 256 pixels, where the other has 32 x 32."""

    strides = (4, 8, 16, 32)
    stride = 4
