"""What both detectors share: a timm backbone with a feature pyramid (Lin et al. 2017, 1612.03144), anchors, box decoding."""

from collections import OrderedDict

import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.pipeline.learning.backbones import build_backbone
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool


class Pyramid(nn.Module):
    """Backbone and feature pyramid, as torchvision expects them: a dict of maps, finest first."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        network = config.network
        strides = [stride for stride in (8, 16, 32) if stride >= network.finest_stride]
        self.body = build_backbone(network.backbone, network.backbone_weights, strides, network.frozen_stride)
        self.out_channels = network.fpn_channels
        self.strides = [*self.body.strides, self.body.strides[-1] * 2]
        self.fpn = FeaturePyramidNetwork(self.body.channels, self.out_channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images.contiguous(memory_format=torch.channels_last))
        return self.fpn(OrderedDict((str(level), m) for level, m in enumerate(maps)))


class Float32BoxCoder(BoxCoder):
    """Decodes in float32: under bfloat16 autocast a box would be up to 6 pixels off (docs/coordinates.md)."""

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        return super().decode_single(rel_codes.float(), boxes.float())


def build_anchors(pyramid: Pyramid) -> AnchorGenerator:
    sizes = tuple(tuple(int(4 * stride * 2 ** (third / 3)) for third in range(3)) for stride in pyramid.strides)
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


def untouched(size: int) -> dict:
    """Arguments that keep torchvision from resizing and from normalising a second time."""
    return {
        "min_size": size,
        "max_size": size,
        "image_mean": [0.0] * 3,
        "image_std": [1.0] * 3,
        "_skip_resize": True,
    }
