"""What a stage must offer, as the orchestrator sees it."""

from typing import Protocol

from torch import Tensor

from pipeline.contract.records import Detections, ImageBatch, Regions


class Detector(Protocol):
    """Stage 1 as the orchestrator sees it."""

    def detect(self, batch: ImageBatch) -> Detections:
        """Return everything found, of every category, image by image."""


class BoxSource(Protocol):
    """What says where to crop: a choice among a detector's boxes, given boxes, whole images."""

    def regions(self, batch: ImageBatch) -> Regions:
        """Return what to crop: none, one or several regions an image."""


class Locator(Protocol):
    """Stage 2 as the orchestrator sees it. `padding` is a fraction of the box's width and height on each side."""

    size_wh: tuple[int, int]
    padding: float

    def locate(self, crops: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Map crops float32 (N, 3, h, w) of 0..255 RGB to points (N, K, 2) in crop pixels and scores (N, K)."""
