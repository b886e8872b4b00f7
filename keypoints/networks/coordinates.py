"""Regression of coordinates from the pooled deepest map (after DeepPose, Toshev and Szegedy 2014, 1312.4659)."""

from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn


class CoordinatesHead(nn.Module):
    """Map of stride 32, pooled to 2 x 2 -> "xy" (B, K, 2) in fractions of the crop; starts at the crop's middle."""

    produces = "xy"
    strides = (32,)
    stride = 32

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(channels[-1] * 4, width), nn.ReLU(),
            nn.Linear(width, num_keypoints * 2), nn.Unflatten(1, (num_keypoints, 2)),
        )  # fmt: skip
        nn.init.normal_(self.predict[-2].weight, std=0.001)
        nn.init.constant_(self.predict[-2].bias, 0.5)

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        return [{"xy": self.predict(features[-1])}]
