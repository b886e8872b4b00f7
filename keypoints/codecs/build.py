"""Codecs by name. A further one is a class like these in a file of its own, and a line here."""

from keypoints.codecs.coordinates import CoordinatesCodec
from keypoints.codecs.heatmap import HeatmapCodec
from keypoints.codecs.integral import IntegralCodec
from keypoints.codecs.sigmoid import SigmoidCodec
from keypoints.codecs.simcc import SimCCCodec
from keypoints.codecs.softmax import SoftmaxCodec

CODECS: dict[str, type] = {
    "heatmap": HeatmapCodec,
    "sigmoid": SigmoidCodec,
    "softmax": SoftmaxCodec,
    "integral": IntegralCodec,
    "simcc": SimCCCodec,
    "coordinates": CoordinatesCodec,
}
