"""Maps as distributions over their cells, decoded to the point of the least expected distance."""

import torch
from garment_keypoints.keypoints.codecs.heatmap import HeatmapCodec
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor

MEDIAN_STEPS = 6


class SoftmaxCodec(HeatmapCodec):
    """The blobs as distributions over the cells of a map; the network gives their logits."""

    target = "distribution"

    def encode(self, xy: Tensor) -> Outputs:
        """Return what the heatmap codec does, each map summing to 1 (0 everywhere for points far outside)."""
        return {
            name: maps / maps.sum((-2, -1), keepdim=True).clamp(min=1e-6) for name, maps in super().encode(xy).items()
        }

    def heights(self, outputs: Outputs) -> Tensor:
        """Return the distributions (N, K, h, w), 1 where a perfect blob has its peak."""
        maps = outputs["maps"].float()
        p = torch.softmax(maps.flatten(2), -1).view(maps.shape)
        return (p * (2 * torch.pi * self.sigma**2)).clamp(0, 1)

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels; a score is the probability of the peak, 1 for a perfect blob.

        The point is that of the least expected distance, which is what NE counts: the spatial median of the distribution.
        Where that is beside the peak, the peak, which is exact for a blob that the border cuts.
        """
        heatmaps = outputs["maps"]
        log = torch.log_softmax(heatmaps.float().flatten(2), -1).view(heatmaps.shape)
        perfect = 1 / (2 * torch.pi * self.sigma**2)
        score = (log.flatten(2).amax(-1).exp() / perfect).clamp(0, 1)
        p = log.exp()
        peak, median = self._refine(log), self._median(p)
        beside = (median - peak).norm(dim=-1, keepdim=True) < 2 * self.sigma * self.stride
        xy = torch.where(beside, peak, median)
        return Points(xy, score, self._spread(p, xy))

    def _median(self, p: Tensor) -> Tensor:
        """Return the spatial medians (N, K, 2) of distributions p (N, K, h, w), by steps of Weiszfeld (1937) from the mean."""
        height, width = p.shape[-2:]
        x = (torch.arange(width, device=p.device) + 0.5) * self.stride
        y = (torch.arange(height, device=p.device) + 0.5) * self.stride
        weight = p
        for step in range(MEDIAN_STEPS + 1):
            total = weight.sum((-2, -1))
            # Sums over the marginals and no matrix product, which a GPU may round to ten bits.
            mx, my = (weight.sum(-2) * x).sum(-1) / total, (weight.sum(-1) * y).sum(-1) / total
            if step < MEDIAN_STEPS:
                dx2, dy2 = (x - mx[..., None]) ** 2, (y - my[..., None]) ** 2
                weight = p / (dx2[..., None, :] + dy2[..., :, None]).sqrt().clamp(min=self.stride / 2)
        return torch.stack([mx, my], -1)
