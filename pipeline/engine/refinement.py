"""Refinement: a further crop around the points that were found, and a further view of the garment to average with the first."""

from dataclasses import replace
from typing import Any, Protocol

import torch
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.protocols import BoxSource, Locator
from garment_keypoints.pipeline.contract.records import FALLBACK, ORIGINS, ImageBatch, Regions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.manifests import MOST_REFINEMENTS
from garment_keypoints.pipeline.learning.pairs import AS_PUBLISHED
from garment_keypoints.pipeline.orchestrator import averaged, view
from torch import Tensor, nn

LEAST_SIDE = 2
"""Pixels: points closer together than that frame nothing."""


class TrainedLocator(Locator, Protocol):
    """A locator that says what it was trained to be shown: a garment's `box`, or the whole `image`."""

    source: str


class OwnPoints(nn.Module):
    """A BoxSource: the extents of the points that `locator` finds in the regions of another source, grown by the margin.

    `has` (C, K) tells which keypoints each category has. A region whose points all but coincide stays as it is. With `average`
    the points go along, and those that are predicted in the region are averaged with them.
    """

    def __init__(self, source: BoxSource, locator: Locator, has: Tensor, margin: float, average: bool = False) -> None:
        super().__init__()
        self.source, self.locator, self.margin, self.average = source, locator, margin, average
        self.register_buffer("has", has, persistent=False)

    def job(self) -> dict[str, Any]:
        around = {"points": self.locator.job(), "margin": self.margin, "average": self.average}
        return {"around": around, "of": self.source.job()}

    def regions(self, batch: ImageBatch) -> Regions:
        first = self.source.regions(batch)
        views = (*first.views, view(batch, first, self.locator))
        xy, _ = averaged(views)
        with torch.autocast(xy.device.type, enabled=False):
            own = geometry.box_from_points(xy, self.has[first.category])
            own = geometry.clip_box(geometry.pad_box(own, self.margin), batch.sizes_wh[first.image])
        framed = (own[:, 2:] - own[:, :2] >= LEAST_SIDE).all(-1)
        # What started from the whole image, for want of a box, is counted as that however often it is cropped.
        moved = framed & (first.origin != ORIGINS.index(FALLBACK))
        origin = torch.where(moved, ORIGINS.index("points"), first.origin)
        boxes = torch.where(framed[:, None], own, first.boxes.float())
        return replace(first, boxes=boxes, origin=origin, views=views if self.average else ())


def refined(refine: int, source: BoxSource, locator: TrainedLocator, schema: Schema, margin: float) -> BoxSource:
    """Return a source for the last of `refine` further crops, each around the points of those before, grown by `margin`.

    The points that are predicted in its regions are the mean of all crops, weighted by their scores.
    """
    if not 0 <= refine <= MOST_REFINEMENTS:
        raise UserError(
            f"--refine is {refine}; expected 0 to {MOST_REFINEMENTS}, or {AS_PUBLISHED}, as the weights were published"
        )
    if refine and locator.source != "box":
        raise UserError(f"--refine is {refine}; expected 0 for a network that was trained on whole images")
    for _ in range(refine):
        source = OwnPoints(source, locator, schema.mask, margin, average=True)
    return source
