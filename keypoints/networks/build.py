"""A keypoint network is a backbone and a head; a config combines it with a codec and a loss."""

import torch
from torch import Tensor, nn

from keypoints.codecs.build import CODECS
from keypoints.config import KeypointsConfig
from keypoints.networks.heads import HEADS
from pipeline.contract.protocols import Codec, Outputs
from pipeline.learning.backbones import Backbone, build_backbone


class KeypointNetwork(nn.Module):
    """Crops (N, 3, h, w) of 0..255 RGB and their category (N,) -> the head's outputs, one dict a stage."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor, category: Tensor) -> list[Outputs]:
        return self.head(self.backbone(crops.contiguous(memory_format=torch.channels_last)), category)


def build_network(config: KeypointsConfig, num_keypoints: int) -> tuple[KeypointNetwork, Codec]:
    """Build the network and its codec; the config has checked that the parts fit each other."""
    parts, chosen = config.network, HEADS[config.network.head]
    backbone = build_backbone(parts.backbone, parts.backbone_weights, chosen.strides, parts.frozen_stride)
    head = chosen(backbone.channels, num_keypoints, parts.channels)
    codec = CODECS[config.codec.name]((config.crop.size, config.crop.size), head.stride, config.codec.sigma)
    return KeypointNetwork(backbone, head), codec


def upgrade_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a network of the time when a network was its own head; others stay as they are."""
    if "laterals.0.weight" not in state:
        return state
    renamed = {}
    for key, value in state.items():
        inner = key.replace("head.", "predict.", 1) if key.startswith("head.") else key
        renamed[key if key.startswith("backbone.") else f"head.{inner}"] = value
    return renamed
