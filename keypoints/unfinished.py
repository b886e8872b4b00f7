"""The network of a training that has not come to its end."""

from dataclasses import replace
from pathlib import Path

from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.networks.build import build_network
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.contract.protocols import Codec
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.configs import restore
from garment_keypoints.pipeline.learning.fit import RESUME, read_resume
from garment_keypoints.pipeline.learning.weights import fill
from torch import nn

CONFIG = "config.yaml"
"""In a training's folder: the settings that it was claimed for."""


def unfinished_network(folder: Path, schema: Schema) -> tuple[nn.Module, Codec, KeypointsConfig]:
    """Load the network of a training that was interrupted, or that the collapse alarm ended, from what it left in `folder`."""
    settings, resume = folder / CONFIG, folder / RESUME
    config = restore(KeypointsConfig, read_yaml(settings).get("config", {}), str(settings))
    config = replace(config, network=replace(config.network, backbone_weights="none"))
    network, codec = build_network(config, schema)
    state = read_resume(resume)["state_dict"]
    fill(network, {key.removeprefix("network."): value for key, value in state.items()}, resume)
    return network.eval(), codec, config
