"""From points to training targets and from network outputs back to points: encode and decode in one class.

Frame: continuous crop pixels; cell k of a map of stride s is centred at (k + 0.5) * s, so that mirroring a map equals
mirroring the crop. Everything is float32 and batched; a point outside the crop has no target (its weight is 0), it is
never moved to the border.
"""

import torch
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor


class HeatmapCodec:
    """Gaussian blobs of height 1, not quantised to cells; decoded by a parabola through the log of three cells an axis.

    A Gaussian's log is a parabola, so encode -> decode is exact. `size_wh` in crop pixels, `sigma` in cells.
    """

    accepts = "maps"
    target = "heatmap"

    def __init__(self, size_wh: tuple[int, int], stride: float, sigma: float) -> None:
        self.size_wh, self.stride, self.sigma = size_wh, stride, sigma

    def encode(self, xy: Tensor) -> Outputs:
        """Return target maps (N, K, h, w) for points xy (N, K, 2) in crop pixels, and background (N, 1, h, w).

        Points that are nowhere, far outside the crop, are in neither.
        """
        blobs = self._blobs(xy)
        return {"maps": blobs, "background": 1 - blobs.amax(1, keepdim=True)}

    def _blobs(self, xy: Tensor) -> Tensor:
        w, h = (int(side / self.stride) for side in self.size_wh)
        x = (torch.arange(w, device=xy.device) + 0.5) * self.stride
        y = (torch.arange(h, device=xy.device) + 0.5) * self.stride
        spread = 2 * (self.sigma * self.stride) ** 2
        gx = torch.exp(-((x - xy[..., :1].float()) ** 2) / spread)
        gy = torch.exp(-((y - xy[..., 1:].float()) ** 2) / spread)
        return gy[..., :, None] * gx[..., None, :]

    def mirror(self, outputs: Outputs, flip_index: Tensor) -> Outputs:
        """Cells are centred at (k + 0.5) * stride, so mirroring the map is all that aligns the two."""
        return {"maps": outputs["maps"].flip(-1)[:, flip_index]}

    def heights(self, outputs: Outputs) -> Tensor:
        """Return the maps (N, K, h, w) as heights of 0..1, 1 for the peak of a perfect blob, to be looked at."""
        return outputs["maps"].float().clamp(0, 1)

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels; scores are the heights of the peaks, clipped to 0..1."""
        heatmaps = outputs["maps"].float()
        positive = heatmaps.clamp(min=1e-6)
        xy, score = self._refine(torch.log(positive)), heatmaps.flatten(2).amax(-1).clamp(0, 1)
        return Points(xy, score, self._spread(positive / positive.sum((-2, -1), keepdim=True), xy))

    def _spread(self, p: Tensor, xy: Tensor) -> Tensor:
        """Return the root mean square distance (N, K) in crop pixels of distributions p (N, K, h, w) from points xy."""
        height, width = p.shape[-2:]
        x = (torch.arange(width, device=p.device) + 0.5) * self.stride
        y = (torch.arange(height, device=p.device) + 0.5) * self.stride
        dx2, dy2 = (x - xy[..., :1]) ** 2, (y - xy[..., 1:]) ** 2
        return ((p.sum(-2) * dx2).sum(-1) + (p.sum(-1) * dy2).sum(-1)).sqrt()

    def _refine(self, log: Tensor) -> Tensor:
        height, width = log.shape[-2:]
        best = log.flatten(2).argmax(-1)
        # A peak in the border is refined from its inner neighbour.
        row, col = (best // width).clamp(1, height - 2), (best % width).clamp(1, width - 2)
        flat = log.flatten(2)

        def at(dy: int, dx: int) -> Tensor:
            return flat.gather(2, ((row + dy) * width + col + dx)[..., None])[..., 0]

        x, y = col + vertex(at(0, -1), at(0, 0), at(0, 1)), row + vertex(at(-1, 0), at(0, 0), at(1, 0))
        return (torch.stack([x, y], -1) + 0.5) * self.stride


def vertex(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """Return where the parabola through -1, 0, 1 peaks, within one cell; 0 where it has no peak."""
    curvature = left - 2 * middle + right
    offset = (left - right) / 2 / curvature
    return torch.where(curvature < -1e-6, offset, 0.0).clamp(-1, 1)
