"""Write a trained RetinaNet as an ONNX graph."""

from pathlib import Path
from typing import Any

from garment_keypoints.detector.graph import LEVELS, OUTPUTS
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.graphs import write_graph
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet


class _Dense(nn.Module):
    def __init__(self, network: GarmentNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("anchors", network.anchors)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.dense(inputs)


def export_detector(network: GarmentNetwork, header: dict[str, Any], file: Path) -> None:
    """Write a trained RetinaNet as a graph; raise UserError for a Faster R-CNN, whose second half depends on its first."""
    if not isinstance(network.model, RetinaNet):
        raise UserError("a Faster R-CNN has no raw outputs of a fixed shape; export a detector of type retinanet")
    write_graph(_Dense(network), network.size, OUTPUTS, header | {LEVELS: network.levels}, file)
