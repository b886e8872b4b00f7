"""Maps of logits, each cell a yes or no of its own."""

import torch
from torch import Tensor

from keypoints.codecs.heatmap import HeatmapCodec
from pipeline.contract.protocols import Outputs
from pipeline.contract.records import Points


class SigmoidCodec(HeatmapCodec):
    """The blobs as probabilities; the network gives their logits, and squashing them is left to loss and decoding."""

    target = "probability"

    def heights(self, outputs: Outputs) -> Tensor:
        """Return the probabilities (N, K, h, w)."""
        return torch.sigmoid(outputs["maps"].float())

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels, as those of the heatmaps that the logits stand for."""
        return super().decode({"maps": self.heights(outputs)})
