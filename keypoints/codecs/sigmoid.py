"""Maps of logits, each cell a yes or no of its own."""

import torch

from keypoints.codecs.heatmap import HeatmapCodec
from pipeline.contract.protocols import Outputs
from pipeline.contract.records import Points


class SigmoidCodec(HeatmapCodec):
    """The blobs as probabilities; the network gives their logits, and squashing them is left to loss and decoding."""

    target = "probability"

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels, as those of the heatmaps that the logits stand for."""
        return super().decode({"maps": torch.sigmoid(outputs["maps"].float())})
