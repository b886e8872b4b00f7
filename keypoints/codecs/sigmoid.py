"""Maps of logits, each cell a yes or no of its own."""

import torch
from garment_keypoints.keypoints.codecs.heatmap import HeatmapCodec
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor


class SigmoidCodec(HeatmapCodec):
    """The blobs as probabilities; the network gives their logits, and squashing them is left to loss and decoding."""

    target = "probability"

    def heights(self, outputs: Outputs) -> Tensor:
        """Return the probabilities (N, K, h, w)."""
        return torch.sigmoid(outputs["maps"].float())

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels, as those of the heatmaps that the logits stand for."""
        return super().decode({"maps": self.heights(outputs)})
