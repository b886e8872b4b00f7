"""Points that several views agree on: pseudo-labels for pictures that nobody has annotated.

After data distillation (Radosavovic et al. 2018, 1712.04440), where an ensemble over flips and scales labels further pictures.
"""

from collections.abc import Sequence
from typing import Any

import torch
from garment_keypoints.pipeline.contract import crops
from garment_keypoints.pipeline.contract.protocols import Locator
from garment_keypoints.pipeline.contract.records import ImageBatch, Points, PointView, Regions
from garment_keypoints.pipeline.orchestrator import averaged
from torch import Tensor, nn


class Agreed(nn.Module):
    """A PointPredictor: the mean, by their scores, of what networks find in crops of several paddings and in their mirror images.

    A point's score is the mean one, or 0 where any view is further from the mean than `tolerance`, in longer sides of the
    box. flip_index (K,) exchanges sides.
    """

    def __init__(
        self, locators: Sequence[Locator], paddings: Sequence[float], flip_index: Tensor, tolerance: float
    ) -> None:
        super().__init__()
        self.locators, self.paddings, self.tolerance = locators, paddings, tolerance
        self.register_buffer("flip_index", flip_index, persistent=False)

    def job(self) -> dict[str, Any]:
        return {
            "agreed": [one.job() for one in self.locators],
            "paddings": list(self.paddings),
            "tolerance": self.tolerance,
        }

    def predict_points(self, batch: ImageBatch, regions: Regions) -> PointView:
        views = [
            one for locator in self.locators for padding in self.paddings
            for one in self._both_sides(batch, regions, locator, padding)
        ]  # fmt: skip
        xy, score = averaged(views)
        furthest = torch.stack([(one - xy).norm(dim=-1) for one, _ in views]).amax(0)
        sides = (regions.boxes[:, 2:] - regions.boxes[:, :2]).amax(-1, keepdim=True)
        return PointView(xy, torch.where(furthest <= self.tolerance * sides, score, 0.0))

    def _both_sides(self, batch: ImageBatch, regions: Regions, locator: Locator, padding: float) -> list[PointView]:
        cropped, affine = crops.cut_boxes(batch, regions.boxes, locator.size_wh, padding, regions.image)
        there = locator.locate(cropped, regions.category)
        mirrored = locator.locate(cropped.flip(-1), regions.category)
        xy = torch.stack([locator.size_wh[0] - mirrored.xy[..., 0], mirrored.xy[..., 1]], -1)
        back = Points(xy[:, self.flip_index], mirrored.score[:, self.flip_index], mirrored.spread[:, self.flip_index])
        return [crops.in_image(there, affine), crops.in_image(back, affine)]
