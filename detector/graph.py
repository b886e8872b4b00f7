"""A detector as an ONNX graph: what it says of each anchor is the graph's, what is made of that is the network's own code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection import RetinaNet

from detector.networks.build import GarmentNetwork
from detector.networks.dense import select
from pipeline.contract.faults import UserError
from pipeline.learning.graphs import Graph, write_graph

OUTPUTS = ("logits", "boxes")
LEVELS = "levels"
"""In the graph's header: how many anchors each level has."""


class GraphDetector(nn.Module):
    """Stands in for a GarmentNetwork when predicting."""

    def __init__(self, graph: Graph, levels: Sequence[int], size: int) -> None:
        super().__init__()
        self.graph, self.levels, self.size = graph, levels, size

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        """Return what `GarmentNetwork.detections` does."""
        outputs = self.graph(inputs)
        return select(outputs["logits"], outputs["boxes"], self.levels, self.size)


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
