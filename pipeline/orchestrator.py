"""Chain both stages: a batch of full images -> boxes -> crops -> points -> image frame, all on the batch's device."""

import pytorch_lightning as pl
import torch
from torch import Tensor

from pipeline.contract import geometry, warp
from pipeline.contract.protocols import Detector, Locator
from pipeline.contract.records import ImageBatch


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
            crops = warp.crop(batch.images, crop_from_image, self.locator.size_wh, batch.sizes_wh)
        located = self.locator.locate(crops, batch.category)
        with torch.autocast(batch.images.device.type, enabled=False):
            points = geometry.apply(geometry.invert(crop_from_image), located.xy.float())
        result = {
            "index": batch.index,
            "xy": points,
            "score": located.score.float(),
            "box": boxes,
            "box_score": found.scores.float(),
            "fallback": found.fallback,
            "size_wh": batch.sizes_wh,
        }
        return {name: value.cpu() for name, value in result.items()}
