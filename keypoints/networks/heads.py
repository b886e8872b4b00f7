"""Heads by name. A further one is a class like these in a file of its own, and a line here."""

from keypoints.networks.cascade import CascadeHead
from keypoints.networks.concatenation import ConcatenationHead
from keypoints.networks.coordinates import CoordinatesHead
from keypoints.networks.cpm import CPMHead, FineCPMHead
from keypoints.networks.cpn import CPNHead
from keypoints.networks.deconvolution import DeconvolutionHead
from keypoints.networks.fpn import FPNHead
from keypoints.networks.simcc import SimCCHead

HEADS: dict[str, type] = {
    "fpn": FPNHead,
    "cpn": CPNHead,
    "cascade": CascadeHead,
    "cpm": CPMHead,
    "cpm_fine": FineCPMHead,
    "deconvolution": DeconvolutionHead,
    "concatenation": ConcatenationHead,
    "simcc": SimCCHead,
    "coordinates": CoordinatesHead,
}
