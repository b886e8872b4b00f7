"""Deconvolution head (Xiao et al. 2018, "Simple Baselines", 1804.06208): the deepest map enlarged three times."""

from garment_keypoints.keypoints.networks.layers import predictor
from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn


class DeconvolutionHead(nn.Module):
    """Map of stride 32 -> "maps" (B, K, h / 4, w / 4), linear, through three transposed convolutions of 4 x 4, stride 2."""

    produces = "maps"
    strides = (32,)
    stride = 4

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (channels[0], width, width):
            layers += [nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.predict = nn.Sequential(*layers, predictor(width, num_keypoints))

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        return [{"maps": self.predict(features[0])}]
