"""Points as they are, in fractions of the crop's sides."""

import torch
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor


class CoordinatesCodec:
    """Outputs xy (N, K, 2) in fractions of the crop (`size_wh` in pixels); it has no cells, so no stride and no sigma."""

    accepts = "xy"
    target = "coordinates"

    def __init__(self, size_wh: tuple[int, int], stride: float = 1, sigma: float = 0.0) -> None:
        self.size_wh = size_wh

    def encode(self, xy: Tensor) -> Outputs:
        """Return the fractions xy (N, K, 2) for points xy (N, K, 2) in crop pixels."""
        return {"xy": xy.float() / xy.new_tensor(self.size_wh, dtype=torch.float32)}

    def mirror(self, outputs: Outputs, flip_index: Tensor) -> Outputs:
        """A mirrored crop maps x to 1 - x, and each keypoint to its counterpart."""
        x, y = outputs["xy"][:, flip_index].unbind(-1)
        return {"xy": torch.stack([1 - x, y], -1)}

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels; a single point says nothing of its certainty, so every score is 1."""
        xy = outputs["xy"].float()
        return Points(xy * xy.new_tensor(self.size_wh), torch.ones_like(xy[..., 0]), torch.zeros_like(xy[..., 0]))
