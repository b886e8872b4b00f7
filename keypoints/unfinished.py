"""The network of a training that has not come to its end."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from keypoints.config import KeypointsConfig
from keypoints.networks.build import build_network
from pipeline.contract.formats.yaml_files import read_yaml
from pipeline.contract.protocols import Codec
from pipeline.contract.schema import Schema
from pipeline.learning.configs import restore
from pipeline.learning.fit import RESUME, read_resume
from pipeline.learning.weights import fill

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
