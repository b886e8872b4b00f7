"""Trained networks, loaded to predict with. With `train` the module that imports both stages."""

from collections.abc import Callable
from pathlib import Path

import torch
from garment_keypoints.detector.inference import NetworkDetector, load_detector
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.inference import NetworkLocator, load_locator
from garment_keypoints.keypoints.networks.build import build_network
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.pairs import Pair
from torch import Tensor, nn


def detector_forward(schema: Schema, checkpoint: Path) -> tuple[nn.Module, Callable[[Tensor], object], int]:
    """Return a trained network, what runs it on inputs (B, 3, size, size) of 0..255, and that size, to be measured."""
    network = load_detector(checkpoint, schema).network
    return network, network.detections, network.size


def keypoints_forward(schema: Schema, config: KeypointsConfig) -> tuple[nn.Module, Callable[[Tensor], object], int]:
    """Return the network that a training starts from, what runs it on crops, and their size, as `detector_forward` does."""
    network, _ = build_network(config, schema)

    def forward(crops: Tensor) -> object:
        return network(crops, torch.zeros(len(crops), dtype=torch.int64, device=crops.device))

    return network, forward, config.crop.size


def load_networks(pair: Pair, schema: Schema, flip_test: bool = True) -> tuple[NetworkDetector, NetworkLocator]:
    """Load both networks of a pair to predict with; with `flip_test` the second averages over each crop and its mirror image."""
    return load_detector(pair.detector, schema), load_locator(pair.keypoints, schema, flip_test)
