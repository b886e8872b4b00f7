"""Heads by name."""

from keypoints.networks.coordinates import CoordinatesHead
from keypoints.networks.fpn import FPNHead

HEADS: dict[str, type] = {"fpn": FPNHead, "coordinates": CoordinatesHead}
