"""Codecs by name."""

from keypoints.codecs.heatmap import HeatmapCodec
from keypoints.codecs.softmax import SoftmaxCodec

CODECS = {"heatmap": HeatmapCodec, "softmax": SoftmaxCodec}
