"""Codecs by name."""

from keypoints.codecs.coordinates import CoordinatesCodec
from keypoints.codecs.heatmap import HeatmapCodec
from keypoints.codecs.softmax import SoftmaxCodec

CODECS: dict[str, type] = {"heatmap": HeatmapCodec, "softmax": SoftmaxCodec, "coordinates": CoordinatesCodec}
