"""SimCC head (Li et al. 2022, 2107.03332): a row of logits for x and one for y, finer than a pixel.

Without the paper's upsampling, as in RTMPose (Jiang et al. 2023, 2303.07399): a 7 x 7 convolution to K maps, flattened.
"""

from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn

BINS_A_PIXEL = 2
FEWEST_FEATURES = 128


class SimCCHead(nn.Module):
    """Map of stride 32 -> "x" (B, K, 2 * size) and "y" (B, K, 2 * size): logits of bins of half a crop pixel."""

    produces = "bins"
    strides = (32,)
    stride = 1 / BINS_A_PIXEL

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__()
        bins, features = size * BINS_A_PIXEL, max(width, FEWEST_FEATURES)
        self.points = nn.Conv2d(channels[0], num_keypoints, 7, padding=3)
        self.features = nn.Sequential(
            nn.Flatten(2), nn.Linear((size // 32) ** 2, features), nn.LayerNorm(features), nn.ReLU()
        )
        self.x, self.y = nn.Linear(features, bins), nn.Linear(features, bins)
        for layer in (self.x, self.y):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        seen = self.features(self.points(features[0]))
        return [{"x": self.x(seen), "y": self.y(seen)}]
