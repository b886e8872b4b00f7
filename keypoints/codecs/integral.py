"""Integral regression: the point is the mean of a map's distribution (Sun et al. 2018, 1711.08229)."""

import torch
from garment_keypoints.keypoints.codecs.softmax import SoftmaxCodec
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor


class IntegralCodec(SoftmaxCodec):
    """The softmax codec's maps, decoded to their mean, which the loss differentiates (DSNT, Nibali et al. 2018, 1801.07372).

    Targets are "maps" for the regulariser and "xy" in fractions of the crop.
    """

    target = "mean"

    def encode(self, xy: Tensor) -> Outputs:
        """Return maps and background as distributions, and xy (N, K, 2) as fractions of the crop's sides."""
        return super().encode(xy) | {"xy": xy.float() / xy.new_tensor(self.size_wh, dtype=torch.float32)}

    def decode(self, outputs: Outputs) -> Points:
        """Return the means of the maps in crop pixels; scores and spreads are those of the softmax codec."""
        xy = map_means(outputs["maps"]) * outputs["maps"].new_tensor(self.size_wh, dtype=torch.float32)
        found = super().decode(outputs)
        return Points(xy, found.score, found.spread)


def map_means(logits: Tensor) -> Tensor:
    """Return the mean (N, K, 2) of each map's softmax, in fractions of the map's sides, for logits (N, K, h, w)."""
    p = torch.softmax(logits.float().flatten(2), -1).view(logits.shape)
    height, width = logits.shape[-2:]
    x = (torch.arange(width, device=p.device) + 0.5) / width
    y = (torch.arange(height, device=p.device) + 0.5) / height
    return torch.stack([(p.sum(-2) * x).sum(-1), (p.sum(-1) * y).sum(-1)], -1)
