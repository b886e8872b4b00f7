"""Heads by name. A further one is a class like these in a file of its own, and a line here."""

from garment_keypoints.keypoints.networks.cascade import CascadeHead
from garment_keypoints.keypoints.networks.concatenation import ConcatenationHead
from garment_keypoints.keypoints.networks.coordinates import CoordinatesHead
from garment_keypoints.keypoints.networks.cpm import CPMHead, FineCPMHead
from garment_keypoints.keypoints.networks.cpn import CPNHead
from garment_keypoints.keypoints.networks.deconvolution import DeconvolutionHead
from garment_keypoints.keypoints.networks.fpn import FPNHead
from garment_keypoints.keypoints.networks.simcc import SimCCHead

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
