"""Codecs by name. A further one is a class like these in a file of its own, and a line here."""

from garment_keypoints.keypoints.codecs.coordinates import CoordinatesCodec
from garment_keypoints.keypoints.codecs.heatmap import HeatmapCodec
from garment_keypoints.keypoints.codecs.integral import IntegralCodec
from garment_keypoints.keypoints.codecs.sigmoid import SigmoidCodec
from garment_keypoints.keypoints.codecs.simcc import SimCCCodec
from garment_keypoints.keypoints.codecs.softmax import SoftmaxCodec

CODECS: dict[str, type] = {
    "heatmap": HeatmapCodec,
    "sigmoid": SigmoidCodec,
    "softmax": SoftmaxCodec,
    "integral": IntegralCodec,
    "simcc": SimCCCodec,
    "coordinates": CoordinatesCodec,
}
