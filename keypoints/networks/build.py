"""Networks by name; a config combines network, codec and loss."""

from torch import nn

from keypoints.codecs.build import CODECS
from keypoints.codecs.heatmap import HeatmapCodec
from keypoints.config import KeypointsConfig
from keypoints.losses import FITTING
from keypoints.networks.fpn import FPNNetwork
from pipeline.learning.backbones import build_backbone

NETWORKS = {"fpn": FPNNetwork}


def build_network(config: KeypointsConfig, num_keypoints: int) -> tuple[nn.Module, HeatmapCodec]:
    """Build the network and its codec; raises ValueError for names that do not exist or do not fit each other."""
    for what, name, known in (("network", config.network, NETWORKS), ("codec", config.codec, CODECS)):
        if name not in known:
            raise ValueError(f"keypoints {what} is {name!r}; expected one of {', '.join(known)}")
    if config.loss not in FITTING[config.codec]:
        fitting = ", ".join(FITTING[config.codec])
        raise ValueError(f"keypoints loss is {config.loss!r}; codec {config.codec} takes {fitting}")
    chosen = NETWORKS[config.network]
    backbone = build_backbone(config.backbone, config.backbone_weights, chosen.strides, config.frozen_stride)
    network = chosen(num_keypoints, backbone, config.head_channels)
    codec = CODECS[config.codec]((config.size, config.size), network.stride, config.sigma)
    return network, codec
