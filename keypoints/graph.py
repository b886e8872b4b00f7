"""A keypoint network as an ONNX graph: crops in, the outputs of its last stage out; decoding is the codec's."""

from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.learning.graphs import Graph
from torch import Tensor, nn


class GraphNetwork(nn.Module):
    """Stands in for a KeypointNetwork when predicting."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, crops: Tensor, category: Tensor) -> list[Outputs]:
        return [self.graph(crops)]
