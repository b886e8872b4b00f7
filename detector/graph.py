"""A detector as an ONNX graph: what it says of each anchor is the graph's, what is made of that is the network's own code."""

from collections.abc import Sequence

from garment_keypoints.detector.networks.dense import select
from garment_keypoints.pipeline.learning.graphs import Graph
from torch import Tensor, nn

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
