"""Trained networks, loaded to predict with. With `train` the module that imports both stages."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from detector.inference import load_detector
from keypoints.config import KeypointsConfig
from keypoints.inference import load_locator
from keypoints.networks.build import build_network
from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash
from pipeline.contract.images import PictureOptions
from pipeline.contract.schema import Schema
from pipeline.engine.box_sources import SourceParts, build_source
from pipeline.engine.finder import Finder, Finding
from pipeline.engine.inference import Device
from pipeline.engine.refinement import refined
from pipeline.learning.calibration import Calibration
from pipeline.learning.pairs import Pair


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


def load_finder(
    pair: Pair,
    schema: Schema,
    finding: Finding,
    device: Device | None = None,
    pictures: PictureOptions | None = None,
) -> Finder:
    """Load both networks to find every garment in photos of unknown content."""
    detector, locator = load_detector(pair.detector, schema), load_locator(pair.keypoints, schema, finding.flip_test)
    if locator.source != "box":
        raise UserError(
            f"{pair.keypoints}: trained on whole images; garments in photos need a network trained on boxes"
        )
    pictures, passes = pictures or PictureOptions(), finding.passes or pair.refine + 1
    source = build_source("detections", SourceParts(detector, threshold=finding.threshold))
    source = refined(passes - 1, source, locator, schema, detector.margin)
    job = {"detector": detector.fingerprint, "keypoints": locator.fingerprint, "schema": schema.fingerprint}
    job |= {"threshold": finding.threshold, "flip_test": finding.flip_test, "passes": passes, "detail": pictures.detail}
    meaning = None
    if pair.calibration is not None:
        meaning = Calibration.load(pair.calibration, schema)
        job["calibration"] = file_hash(pair.calibration)
    return Finder(source, locator, schema, job, device or Device(), pictures, meaning)
