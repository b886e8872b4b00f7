"""Feature pyramid head: top-down sums to stride 4, K maps (after Lin et al. 2017, 1612.03144)."""

from garment_keypoints.keypoints.networks.layers import TopDown, conv, predictor
from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn


class FPNHead(TopDown):
    """Maps of strides 4 to 32 -> "maps" (B, K, h / 4, w / 4), linear: no squashing that could saturate."""

    produces = "maps"
    strides = (4, 8, 16, 32)
    stride = 4

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__(channels, width)
        self.predict = nn.Sequential(conv(width, width), predictor(width, num_keypoints))

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        return [{"maps": self.predict(self.merge(features)[0])}]
