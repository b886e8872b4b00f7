"""Parts of keypoint networks that exist to fail, as those of docs/writeup.md did: the set-ups of docs/collapse.md.

Importing this module adds them to the registries; the product does not know them.
"""

import torch
from garment_keypoints.keypoints.codecs.build import CODECS
from garment_keypoints.keypoints.codecs.coordinates import CoordinatesCodec
from garment_keypoints.keypoints.losses import LOSSES
from garment_keypoints.keypoints.networks.coordinates import CoordinatesHead
from garment_keypoints.keypoints.networks.heads import HEADS
from garment_keypoints.pipeline.contract.protocols import Outputs
from garment_keypoints.pipeline.contract.records import Points
from torch import Tensor


class RectifiedCoordinatesHead(CoordinatesHead):
    """A CoordinatesHead with a ReLU behind the last layer, and its usual initial weights: half of the coordinates start at 0.

    One that is below 0 for every crop has no gradient to come back by. The regression of docs/writeup.md ended
    so; kept to show it.
    """

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__(channels, num_keypoints, width, size)
        self.predict[-2].reset_parameters()

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        return [{"xy": torch.relu(self.predict(features[-1]))}]


class PixelsCodec(CoordinatesCodec):
    """Points in crop pixels, unnormalised: steps that suit a network's weights hardly move such outputs.

    Tried in the write-up (docs/writeup.md); kept to show how that ends.
    """

    target = "pixels"

    def encode(self, xy: Tensor) -> Outputs:
        """Return xy (N, K, 2) as it is."""
        return {"xy": xy.float()}

    def mirror(self, outputs: Outputs, flip_index: Tensor) -> Outputs:
        """A mirrored crop maps x to its width - x."""
        x, y = outputs["xy"][:, flip_index].unbind(-1)
        return {"xy": torch.stack([self.size_wh[0] - x, y], -1)}

    def decode(self, outputs: Outputs) -> Points:
        """Return the points as they are, with a score of 1."""
        xy = outputs["xy"].float()
        return Points(xy, torch.ones_like(xy[..., 0]), torch.zeros_like(xy[..., 0]))


class SigmoidMSE:
    """Squared error of the sigmoid, averaged over all cells: nearly every cell is background, and the sigmoid saturates.

    The write-up's first belief maps were trained with it (docs/writeup.md); kept to show how that ends.
    """

    takes = ("probability",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of logits (N, K, h, w)."""
        return ((torch.sigmoid(outputs["maps"].float()) - target["maps"]) ** 2).mean((-2, -1))


HEADS["coordinates_relu"] = RectifiedCoordinatesHead
CODECS["pixels"] = PixelsCodec
LOSSES["sigmoid_mse"] = SigmoidMSE
