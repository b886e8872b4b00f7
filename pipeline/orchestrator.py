"""Chain both stages: a batch of full images -> regions -> crops -> points -> image frame, all on the batch's device."""

from collections.abc import Sequence
from typing import Any

import torch
from garment_keypoints.pipeline.contract import crops
from garment_keypoints.pipeline.contract.protocols import BoxSource, Locator, PointPredictor
from garment_keypoints.pipeline.contract.records import FALLBACK, ORIGINS, Detections, ImageBatch, PointView, Regions
from torch import Tensor, nn

Flat = dict[str, Tensor]
"""Tensors of one length, by name; `image` is the position of each entry's picture in the batch."""


class TwoStage(nn.Module):
    """Both stages over batches, or without a locator the first alone: boxes of training and of testing must agree.

    Lightning's Trainer runs it over rows (engine/inference.py), the Predictor over photos as they come (engine/predictor.py).
    Networks run in the precision of their autocast; boxes, affines, crops and points stay in float32, and only points, scores,
    boxes and flags leave the device.
    """

    def __init__(self, source: BoxSource, locator: Locator | PointPredictor | None) -> None:
        super().__init__()
        self.source, self.locator = source, locator

    @torch.no_grad()
    def predict_step(self, batch: ImageBatch, batch_idx: int = 0) -> dict[str, Any]:
        """Return `index` (B,), `size_wh` (B, 2), and flat: `regions` (M entries), `found` (D entries) of a detector.

        With a locator, `regions` also hold xy (M, K, 2) in image pixels and score (M, K).
        """
        regions = self.source.regions(batch)
        flat = flat_regions(regions)
        if self.locator is not None:
            xy, score = locate_in(batch, regions, self.locator)
            flat |= {"xy": xy, "score": score}
        return result_of(batch, regions, flat)


def locate_in(batch: ImageBatch, regions: Regions, locator: Locator | PointPredictor) -> PointView:
    """Return the points that the locator finds in crops of the regions, averaged with the views before."""
    return averaged([*regions.views, view(batch, regions, locator)])


def view(batch: ImageBatch, regions: Regions, locator: Locator | PointPredictor) -> PointView:
    """Return the points that the locator finds in crops of the regions."""
    if isinstance(locator, PointPredictor):
        return locator.predict_points(batch, regions)
    cropped, crop_from_image = crops.cut_boxes(batch, regions.boxes, locator.size_wh, locator.padding, regions.image)
    return crops.in_image(locator.locate(cropped, regions.category), crop_from_image)


def averaged(views: Sequence[PointView]) -> PointView:
    """Return the mean of several views of the same regions, weighted by their scores, and the mean score."""
    if len(views) == 1:
        return views[0]
    xy, score = (torch.stack(part) for part in zip(*views, strict=True))
    weight = score.clamp(min=1e-6)[..., None]
    return PointView((xy * weight).sum(0) / weight.sum(0), score.mean(0))


def flat_regions(regions: Regions) -> Flat:
    """Return what each region is and where it comes from."""
    return {
        "image": regions.image,
        "instance": regions.instance,
        "category": regions.category,
        "box": regions.boxes.float(),
        "box_score": regions.score.float(),
        "origin": regions.origin,
        "fallback": regions.origin == ORIGINS.index(FALLBACK),
    }


def flat_detections(found: Detections) -> Flat:
    return {"image": found.image, "category": found.category, "box": found.boxes, "box_score": found.score}


def result_of(batch: ImageBatch, regions: Regions, flat: Flat) -> dict[str, Any]:
    """Return a batch's result on the CPU: copies that wait for the device once, not once a tensor."""
    found = {} if regions.found is None else flat_detections(regions.found)
    groups = {"pictures": {"index": batch.index, "size_wh": batch.sizes_wh}, "regions": flat, "found": found}
    moved = {
        group: {name: tensor.to("cpu", non_blocking=True) for name, tensor in tensors.items()}
        for group, tensors in groups.items()
    }
    if batch.images.device.type != "cpu":
        torch.accelerator.current_stream(batch.images.device).synchronize()
    return moved.pop("pictures") | moved
