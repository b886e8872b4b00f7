"""What may be done where a box is wrong: more crops, a second look, and a network that sees the whole image."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.contract import geometry, warp
from pipeline.contract.protocols import BoxSource, Locator, Outputs
from pipeline.contract.records import ImageBatch, Points, Regions
from pipeline.inference.box_sources import whole_images
from pipeline.inference.second_pass import OwnPoints
from pipeline.orchestrator import Placed, averaged


class MapLocator(Locator, Protocol):
    """A locator whose outputs can be changed before they are decoded: `maps` (N, K, h, w), logits a map."""

    def outputs(self, crops: Tensor, category: Tensor) -> Outputs: ...

    def decode(self, outputs: Outputs) -> Points: ...


class SeveralCrops(nn.Module):
    """A Placer: points averaged, by their scores, over crops of several sides in pixels and paddings."""

    def __init__(self, locator: Locator, views: Sequence[tuple[int, float]]) -> None:
        super().__init__()
        self.locator, self.views = locator, views

    def place(self, batch: ImageBatch, regions: Regions) -> Placed:
        return averaged([self._seen(batch, regions, *view) for view in self.views])

    def _seen(self, batch: ImageBatch, regions: Regions, size: int, padding: float) -> Placed:
        crops, affine = cut(batch, regions, (size, size), padding)
        return in_image(self.locator.locate(crops, regions.category), affine)


class WithContext(nn.Module):
    """A Placer: in every crop the log-probabilities of a network of whole images are added, with a weight."""

    def __init__(self, locator: MapLocator, context: MapLocator, weight: float) -> None:
        super().__init__()
        self.locator, self.context, self.weight = locator, context, weight

    def place(self, batch: ImageBatch, regions: Regions) -> Placed:
        whole = replace(regions, boxes=whole_images(batch)[regions.image])
        far, far_affine = cut(batch, whole, self.context.size_wh, self.context.padding)
        seen = self.context.outputs(far, regions.category)["maps"]
        near, affine = cut(batch, regions, self.locator.size_wh, self.locator.padding)
        outputs = self.locator.outputs(near, regions.category)
        with torch.autocast(near.device.type, enabled=False):
            log = torch.log_softmax(seen.float().flatten(2), -1).view(seen.shape)
            own = outputs["maps"].float()
            moved = moved_maps(log, far_affine, self.context.size_wh, affine, self.locator.size_wh, own.shape[-2:])
            outputs = outputs | {"maps": own + self.weight * moved}
        return in_image(self.locator.decode(outputs), affine)


class Contradicted(nn.Module):
    """A BoxSource: the box of the points that a network of whole images finds, where it overlaps the given one too little."""

    def __init__(self, source: BoxSource, context: Locator, has: Tensor, margin: float, least_iou: float) -> None:
        super().__init__()
        self.source, self.least_iou = source, least_iou
        self.context, self.has, self.margin = context, has, margin

    def regions(self, batch: ImageBatch) -> Regions:
        first = self.source.regions(batch)
        whole = replace(first, boxes=whole_images(batch)[first.image])
        other = OwnPoints(Held(whole), self.context, self.has, self.margin).regions(batch).boxes
        doubted = geometry.box_iou(first.boxes.float(), other) < self.least_iou
        return replace(first, boxes=torch.where(doubted[:, None], other, first.boxes.float()))


class Joined(nn.Module):
    """A BoxSource: what holds both the given box and the points that a first pass finds in it."""

    def __init__(self, source: BoxSource, locator: Locator, has: Tensor, margin: float) -> None:
        super().__init__()
        self.source, self.locator, self.has, self.margin = source, locator, has, margin

    def regions(self, batch: ImageBatch) -> Regions:
        first = self.source.regions(batch)
        own = OwnPoints(Held(first), self.locator, self.has, self.margin).regions(batch).boxes
        low, high = torch.minimum(first.boxes[:, :2], own[:, :2]), torch.maximum(first.boxes[:, 2:], own[:, 2:])
        return replace(first, boxes=torch.cat([low, high], -1))


class Held(nn.Module):
    """A BoxSource of regions that are there already."""

    def __init__(self, held: Regions) -> None:
        super().__init__()
        self.held = held

    def regions(self, batch: ImageBatch) -> Regions:
        return self.held


def cut(batch: ImageBatch, regions: Regions, size_wh: tuple[int, int], padding: float) -> tuple[Tensor, Tensor]:
    """Return the crops (M, 3, h, w) of regions, and crop_from_image (M, 2, 3)."""
    with torch.autocast(batch.images.device.type, enabled=False):
        affine = geometry.crop_from_image(regions.boxes.float(), size_wh, padding)
        reduced, source = batch.reduced, regions.image
        return warp.crop(batch.images, affine, size_wh, batch.sizes_wh, source=source, reduced=reduced), affine


def in_image(points: Points, affine: Tensor) -> Placed:
    with torch.autocast(affine.device.type, enabled=False):
        return geometry.apply(geometry.invert(affine), points.xy.float()), points.score.float()


def moved_maps(
    maps: Tensor,
    from_image: Tensor,
    from_wh: tuple[int, int],
    to_image: Tensor,
    to_wh: tuple[int, int],
    shape_hw: Sequence[int],
) -> Tensor:
    """Return maps (M, K, h, w) of crops of from_wh pixels as they lie in crops of to_wh pixels, with shape_hw cells.

    from_image and to_image (M, 2, 3) are the crops' affines from the image. Beyond the border the border's value stands.
    """
    height, width = shape_hw
    x = (torch.arange(width, device=maps.device) + 0.5) * to_wh[0] / width
    y = (torch.arange(height, device=maps.device) + 0.5) * to_wh[1] / height
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(1, -1, 2).expand(len(maps), -1, -1)
    there = geometry.apply(from_image, geometry.apply(geometry.invert(to_image), centres))
    grid = 2 * there / torch.tensor(from_wh, device=maps.device) - 1
    grid = grid.view(len(maps), height, width, 2)
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
