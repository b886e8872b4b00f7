"""Configs for tests, written flat: each setting by its own name."""

from garment_keypoints.detector import config as detector
from garment_keypoints.keypoints import config as keypoints
from garment_keypoints.pipeline.learning.configs import restore


def keypoints_config(**settings: object) -> keypoints.KeypointsConfig:
    return restore(keypoints.KeypointsConfig, keypoints.upgrade_config(settings), "test")


def detector_config(**settings: object) -> detector.DetectorConfig:
    return restore(detector.DetectorConfig, detector.upgrade_config(settings), "test")
