"""All maps at the finest one's size, concatenated: the head of HRNetV2 (Wang et al. 2020, 1908.07919)."""

import torch
from garment_keypoints.keypoints.networks.layers import conv, enlarged, predictor
from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn


class ConcatenationHead(nn.Module):
    """Maps of strides 4 to 32 -> "maps" (B, K, h / 4, w / 4), linear; for backbones whose every map knows the whole crop."""

    produces = "maps"
    strides = (4, 8, 16, 32)
    stride = 4

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(conv(sum(channels), width, 1), predictor(width, num_keypoints))

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        return [{"maps": self.predict(torch.cat([enlarged(level, features[0]) for level in features], 1))}]
