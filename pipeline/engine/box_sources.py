"""Where crops come from, by name. A further source is a class with `build` and `regions`, and a line in SOURCES."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from garment_keypoints.pipeline.contract.box_kinds import true_boxes
from garment_keypoints.pipeline.contract.crops import whole_images
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.protocols import BoxSource, Detector
from garment_keypoints.pipeline.contract.records import FALLBACK, ORIGINS, Annotation, Detections, ImageBatch, Regions
from torch import Tensor, nn

LEAST_SIDE = 1
"""Pixels: what is thinner is no box to crop."""
SAME_IOU, SAME_INSIDE = 0.5, 0.8


@dataclass(frozen=True)
class SourceParts:
    """What sources are built from; each takes what it needs.

    boxes (G, 4) in image pixels are given ones, `row` (G,) their rows in the loader's list (None: one box a row).
    `fallback_score` is the least score of a chosen box, `threshold` that of each box where all are wanted.
    """

    detector: Detector | None = None
    fallback_score: float = 0.0
    threshold: float = 0.5
    boxes: Tensor | None = None
    row: Tensor | None = None


class SourceClass(Protocol):
    def build(self, parts: SourceParts) -> BoxSource: ...


class BestOfCategory(nn.Module):
    """The detector's best box of each image's given category; the whole image where its score is below the threshold."""

    def __init__(self, detector: Detector, fallback_score: float) -> None:
        super().__init__()
        self.detector, self.fallback_score = detector, fallback_score

    @classmethod
    def build(cls, parts: SourceParts) -> "BestOfCategory":
        return cls(_detector_of(parts), parts.fallback_score)

    def job(self) -> dict[str, Any]:
        return {"boxes": "detector", "fallback_score": self.fallback_score, **self.detector.job()}

    def regions(self, batch: ImageBatch) -> Regions:
        found = self.detector.detect(batch)
        fitting = _croppable(found) & (found.category == batch.category[found.image])
        score = torch.where(fitting, found.score, 0.0)
        best = score.new_zeros(len(batch)).scatter_reduce(0, found.image, score, "amax")
        # The first of the best; an image without one points behind the last detection, at a row of zeros.
        position = torch.arange(len(score), device=score.device)
        position = torch.where(fitting & (score == best[found.image]), position, len(score))
        first = torch.full_like(batch.category, len(score)).scatter_reduce(0, found.image, position, "amin")
        boxes = torch.cat([found.boxes, found.boxes.new_zeros(1, 4)])[first]
        missed = best < max(self.fallback_score, 1e-6)
        origin = torch.where(missed, ORIGINS.index(FALLBACK), ORIGINS.index("detector"))
        boxes = torch.where(missed[:, None], whole_images(batch.sizes_wh).float(), boxes)
        return Regions(boxes, _positions(batch), batch.category, best, origin, found)


class EveryDetection(nn.Module):
    """Every garment that the detector finds with at least a score: none, one or several regions an image.

    A garment that is found under several categories, or in parts, is the best of them.
    """

    def __init__(self, detector: Detector, threshold: float) -> None:
        super().__init__()
        self.detector, self.threshold = detector, threshold

    @classmethod
    def build(cls, parts: SourceParts) -> "EveryDetection":
        return cls(_detector_of(parts), parts.threshold)

    def job(self) -> dict[str, Any]:
        return {"boxes": "detections", "threshold": self.threshold, **self.detector.job()}

    def regions(self, batch: ImageBatch) -> Regions:
        found = self.detector.detect(batch)
        kept = found[(_croppable(found) & (found.score >= self.threshold)).nonzero()[:, 0]]
        kept = kept[one_a_garment(kept).nonzero()[:, 0]]
        return Regions(kept.boxes, kept.image, kept.category, kept.score, _origins("detector", kept.image), found)


class GivenBoxes(nn.Module):
    """Boxes (G, 4) in image pixels that are known beforehand, by row: `row` (G,), or one a row.

    `origin`, of ORIGINS, is what they are: the true ones, or found by a detector.
    """

    def __init__(self, boxes: Tensor, row: Tensor | None = None, origin: str = "truth") -> None:
        super().__init__()
        self.origin = origin
        boxes = torch.as_tensor(boxes, dtype=torch.float32)
        self.register_buffer("boxes", boxes)
        self.register_buffer("row", torch.arange(len(boxes)) if row is None else torch.as_tensor(row))

    @classmethod
    def build(cls, parts: SourceParts) -> "GivenBoxes":
        if parts.boxes is None:
            raise UserError("the box source truth needs given boxes; name the answers, or take another source")
        return cls(parts.boxes, parts.row)

    def job(self) -> dict[str, Any]:
        given = hashlib.sha256()
        for part in (self.boxes, self.row):
            given.update(part.cpu().numpy().tobytes())
        return {"boxes": self.origin, "count": len(self.boxes), "given": given.hexdigest()}

    def regions(self, batch: ImageBatch) -> Regions:
        image, given = (batch.index[:, None] == self.row).nonzero().unbind(-1)
        score = torch.ones(len(given), device=given.device)
        return Regions(self.boxes[given], image, batch.category[image], score, _origins(self.origin, given))


class WholeImages(nn.Module):
    """Every picture as a whole."""

    @classmethod
    def build(cls, parts: SourceParts) -> "WholeImages":
        return cls()

    def job(self) -> dict[str, Any]:
        return {"boxes": "image"}

    def regions(self, batch: ImageBatch) -> Regions:
        image, boxes = _positions(batch), whole_images(batch.sizes_wh).float()
        return Regions(boxes, image, batch.category, torch.ones_like(boxes[:, 0]), _origins("image", image))


SOURCES: dict[str, SourceClass] = {
    "detector": BestOfCategory,
    "detections": EveryDetection,
    "truth": GivenBoxes,
    "image": WholeImages,
}


def build_source(name: str, parts: SourceParts) -> BoxSource:
    """Build the source of this name."""
    if name not in SOURCES:
        raise UserError(f"box source is {name!r}; expected one of {', '.join(SOURCES)}")
    return SOURCES[name].build(parts)


class TrainedDetector(Detector, Protocol):
    """A Detector that has learned: the least score of a box that it is sure of, and the margin of the boxes that it knows."""

    fallback_score: float
    margin: float


def box_source(
    name: str, detector: TrainedDetector, sizes_wh: np.ndarray, truth: Sequence[Annotation] | None
) -> BoxSource:
    """Return what gives one crop a row, by its name in SOURCES; true boxes get the detector's margin.

    sizes_wh (N, 2) are those of the pictures, `truth` their answers.
    """
    boxes = None
    if name == "truth":
        if truth is None:
            raise UserError("boxes from the truth need --answers")
        boxes = true_boxes(truth, torch.tensor(sizes_wh), detector.margin)
    return build_source(name, SourceParts(detector, detector.fallback_score, boxes=boxes))


def one_a_garment(found: Detections) -> Tensor:
    """Return which detections (D,) to keep so that no two of an image are the same garment: greedily, the best first.

    Two are the same when they overlap by an IoU of SAME_IOU, or when SAME_INSIDE of the smaller lies inside the other:
    detectors take the upper part of a dress for a blouse.
    """
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(-1)
    low = torch.maximum(found.boxes[:, None, :2], found.boxes[None, :, :2])
    high = torch.minimum(found.boxes[:, None, 2:], found.boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    smaller, union = torch.minimum(area[:, None], area), area[:, None] + area - shared
    same = (shared >= SAME_IOU * union) | (shared >= SAME_INSIDE * smaller)
    rank = torch.empty_like(found.image).scatter_(
        0, found.score.argsort(descending=True, stable=True), torch.arange(len(area), device=area.device)
    )
    beaten_by = same & (found.image[:, None] == found.image) & (rank < rank[:, None])
    kept = torch.ones_like(rank, dtype=torch.bool)
    # Each round settles at least the best of those that are not settled yet; a chain of overlaps takes as many as it is long.
    for _ in range(len(area)):
        settled = ~(beaten_by & kept).any(-1)
        if bool((settled == kept).all()):
            break
        kept = settled
    return kept


def _detector_of(parts: SourceParts) -> Detector:
    if parts.detector is None:
        raise UserError("this box source needs a detector; name a detector checkpoint, or take another source")
    return parts.detector


def _croppable(found: Detections) -> Tensor:
    return (found.boxes[:, 2:] - found.boxes[:, :2] >= LEAST_SIDE).all(-1)


def _positions(batch: ImageBatch) -> Tensor:
    return torch.arange(len(batch), device=batch.category.device)


def _origins(name: str, like: Tensor) -> Tensor:
    return torch.full_like(like, ORIGINS.index(name))
