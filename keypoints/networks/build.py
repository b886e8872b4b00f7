"""A keypoint network is a backbone and a head; a config combines it with a codec and a loss."""

from collections.abc import Sequence

import torch
from garment_keypoints.keypoints.codecs.build import CODECS
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.networks.heads import HEADS
from garment_keypoints.pipeline.contract.protocols import Codec, Outputs
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.backbones import Backbone, build_backbone
from torch import Tensor, nn


class KeypointNetwork(nn.Module):
    """Crops (N, 3, h, w) of 0..255 RGB and their category (N,) -> the head's outputs, one dict a stage."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor, category: Tensor) -> list[Outputs]:
        return self.head(self.backbone(crops.contiguous(memory_format=torch.channels_last)), category)


class PerCategory(nn.Module):
    """A KeypointNetwork for each category; each sees the crops of its own. Takes and gives what one network does."""

    def __init__(self, networks: Sequence[KeypointNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    @property
    def backbone(self) -> nn.Module:
        return nn.ModuleList(network.backbone for network in self.networks)

    def forward(self, crops: Tensor, category: Tensor) -> list[Outputs]:
        present = category.unique().tolist() or [0]
        rows = [(category == c).nonzero()[:, 0] for c in present]
        parts = [self.networks[c](crops[own], category[own]) for c, own in zip(present, rows, strict=True)]
        order = torch.cat(rows).argsort()
        return [
            {name: torch.cat([one[name] for one in stage])[order] for name in stage[0]}
            for stage in zip(*parts, strict=True)
        ]


def build_network(config: KeypointsConfig, schema: Schema) -> tuple[KeypointNetwork | PerCategory, Codec]:
    """Build the network and its codec; the config has checked that the parts fit each other."""
    codec = build_codec(config)
    if config.network.per_category:
        return PerCategory([_build_one(config, schema) for _ in schema.categories]), codec
    return _build_one(config, schema), codec


def build_codec(config: KeypointsConfig) -> Codec:
    """Build the codec alone, for a network that comes from elsewhere."""
    stride = HEADS[config.network.head].stride
    return CODECS[config.codec.name]((config.crop.size, config.crop.size), stride, config.codec.sigma)


def _build_one(config: KeypointsConfig, schema: Schema) -> KeypointNetwork:
    parts, chosen = config.network, HEADS[config.network.head]
    backbone = build_backbone(parts.backbone, parts.backbone_weights, chosen.strides, parts.frozen_stride)
    if not parts.standardise:
        backbone.mean.zero_()
        backbone.std.fill_(255)
    head = chosen(backbone.channels, len(schema.keypoints), parts.channels, config.crop.size)
    return KeypointNetwork(backbone, head)


def upgrade_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a network of the time when a network was its own head; others stay as they are."""
    if "laterals.0.weight" not in state:
        return state
    renamed = {}
    for key, value in state.items():
        inner = key.replace("head.", "predict.", 1) if key.startswith("head.") else key
        renamed[key if key.startswith("backbone.") else f"head.{inner}"] = value
    return renamed
