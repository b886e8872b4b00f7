"""SimCC (Li et al. 2022, 2107.03332): x and y each as a distribution over bins finer than a pixel."""

import torch
from garment_keypoints.keypoints.codecs.heatmap import vertex
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor


class SimCCCodec:
    """Outputs x (N, K, X) and y (N, K, Y), logits of bins of `stride` crop pixels, bin k centred at (k + 0.5) * stride.

    Targets are Gaussians of `sigma` bins that sum to 1. `size_wh` in crop pixels.
    """

    accepts = "bins"
    target = "marginals"

    def __init__(self, size_wh: tuple[int, int], stride: float, sigma: float) -> None:
        self.size_wh, self.stride, self.sigma = size_wh, stride, sigma

    def encode(self, xy: Tensor) -> Outputs:
        """Return the distributions for points xy (N, K, 2) in crop pixels; 0 everywhere for points far outside."""
        return {name: self._blob(xy[..., axis].float(), axis) for axis, name in enumerate("xy")}

    def _blob(self, at: Tensor, axis: int) -> Tensor:
        blob = torch.exp(-((self._centres(axis, at) - at[..., None]) ** 2) / (2 * (self.sigma * self.stride) ** 2))
        return blob / blob.sum(-1, keepdim=True).clamp(min=1e-6)

    def _centres(self, axis: int, like: Tensor) -> Tensor:
        return (torch.arange(round(self.size_wh[axis] / self.stride), device=like.device) + 0.5) * self.stride

    def mirror(self, outputs: Outputs, flip_index: Tensor) -> Outputs:
        """Bins are centred at (k + 0.5) * stride, so mirroring the row of x is all that aligns the two."""
        return {"x": outputs["x"].flip(-1)[:, flip_index], "y": outputs["y"][:, flip_index]}

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels: the peaks, refined by a parabola through the log of three bins.

        A score is the geometric mean of both peaks' probabilities, 1 for perfect blobs; the spread is the root of the summed
        second moments about the point.
        """
        logs = [torch.log_softmax(outputs[name].float(), -1) for name in "xy"]
        xy = torch.stack([self._refine(log) for log in logs], -1)
        perfect = 1 / ((2 * torch.pi) ** 0.5 * self.sigma)
        score = ((logs[0].amax(-1) + logs[1].amax(-1)) / 2).exp() / perfect
        moments = [
            (log.exp() * (self._centres(axis, log) - xy[..., axis, None]) ** 2).sum(-1) for axis, log in enumerate(logs)
        ]
        return Points(xy, score.clamp(0, 1), (moments[0] + moments[1]).sqrt())

    def _refine(self, log: Tensor) -> Tensor:
        # A peak in the border is refined from its inner neighbour.
        best = log.argmax(-1, keepdim=True).clamp(1, log.shape[-1] - 2)
        left, middle, right = (log.gather(-1, best + step)[..., 0] for step in (-1, 0, 1))
        return (best[..., 0] + vertex(left, middle, right) + 0.5) * self.stride
