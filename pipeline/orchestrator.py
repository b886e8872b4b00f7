"""Chain both stages: a batch of full images -> boxes -> crops -> points -> image frame, all on the batch's device."""

from collections.abc import Sequence

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from pipeline.contract import geometry
from pipeline.contract.records import Boxes, Detector, ImageBatch, Locator


class TwoStage(pl.LightningModule):
    """Run by `Trainer.predict(return_predictions=False)`; only points, scores, boxes and flags leave the device.

    Networks run in the Trainer's precision; boxes, affines, crops and points stay in float32.
    """

    def __init__(self, detector: Detector, locator: Locator) -> None:
        super().__init__()
        self.detector, self.locator = detector, locator

    @torch.no_grad()
    def predict_step(self, batch: ImageBatch, batch_idx: int = 0) -> dict[str, Tensor]:
        """Return per image: index (B,), xy (B, K, 2) in image pixels, score (B, K), box (B, 4), box_score, fallback."""
        found = self.detector.detect(batch)
        with torch.autocast(batch.images.device.type, enabled=False):
            boxes = found.boxes.float()
            crop_from_image = geometry.crop_from_image(boxes, self.locator.size_wh, self.locator.padding)
            crops = geometry.crop(batch.images, crop_from_image, self.locator.size_wh, batch.sizes_wh)
        xy, score = self.locator.locate(crops, batch.category)
        with torch.autocast(batch.images.device.type, enabled=False):
            points = geometry.apply(geometry.invert(crop_from_image), xy.float())
        result = {
            "index": batch.index,
            "xy": points,
            "score": score.float(),
            "box": boxes,
            "box_score": found.scores.float(),
            "fallback": found.fallback,
            "size_wh": batch.sizes_wh,
        }
        return {name: value.cpu() for name, value in result.items()}


class GivenBoxes(nn.Module):
    """A Detector that knows its answers: boxes (N, 4) in image pixels by row index, such as the true ones."""

    def __init__(self, boxes: np.ndarray | Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.register_buffer("boxes", torch.as_tensor(np.asarray(boxes), dtype=torch.float32))

    def detect(self, batch: ImageBatch) -> Boxes:
        boxes = self.boxes[batch.index.to(self.boxes.device)].to(batch.images.device)
        ones = torch.ones(len(batch), device=boxes.device)
        return Boxes(boxes, ones, torch.zeros_like(ones, dtype=torch.bool))


class WholeImages(nn.Module):
    """A Detector that takes every picture as a whole."""

    def detect(self, batch: ImageBatch) -> Boxes:
        size = batch.sizes_wh.float()
        ones = torch.ones(len(batch), device=size.device)
        return Boxes(torch.cat([torch.zeros_like(size), size], -1), ones, torch.zeros_like(ones, dtype=torch.bool))
