"""Training of the keypoint network as a thin LightningModule: crops, loss, optimizer, and the alarm's look."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from garment_keypoints.keypoints.collapse import CollapseAlarm
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.keypoints.inference import locate
from garment_keypoints.keypoints.losses import LOSSES, supervise
from garment_keypoints.keypoints.networks.build import build_network
from garment_keypoints.pipeline.contract import crops, geometry
from garment_keypoints.pipeline.contract.records import ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.optimizer import build_optimizer
from torch import Tensor


class KeypointsModule(pl.LightningModule):
    """Trains a network and its codec on crops that are cut on the device."""

    def __init__(self, config: KeypointsConfig, schema: Schema, data: KeypointsData) -> None:
        super().__init__()
        self.config, self.data = config, data
        self.network, self.codec = build_network(config, schema)
        self.loss = LOSSES[config.loss.name]()
        positions = list(data.monitor_rows())
        self.monitored = geometry.crop_from_image(
            data.boxes[positions], (config.crop.size, config.crop.size), padding=config.crop.padding
        )
        watched = [data.rows[i] for i in positions]
        # Without rows to watch, validation never runs and nothing asks for the alarm.
        self.alarm = CollapseAlarm(watched, self.monitored, schema) if watched else None
        self.predicted: list[Tensor] = []

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            sample = self.data.training_crops(batch)
            target = self.codec.encode(sample.targeted)
        stages = self.network(sample.crops, batch.category)
        loss = supervise(self.loss, stages, target, sample.target_weight, self.config.loss.hard_keypoints)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=True)
        return loss

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        size_wh = (self.config.crop.size, self.config.crop.size)
        affine = self.monitored[batch.index.cpu()].to(self.device)
        cropped = crops.cut(batch, affine, size_wh)
        self.predicted.append(locate(self.network, self.codec, cropped, batch.category).xy.cpu())

    def on_validation_epoch_end(self) -> None:
        # Every rank sees all rows; rank 0's answer decides, lest another one's last digit decides otherwise.
        xy = self.trainer.strategy.broadcast(torch.cat(self.predicted)).numpy().astype(np.float64)
        self.predicted.clear()
        warmup = max(self.config.alarm.steps, self.config.alarm.warmup * self.trainer.max_steps)
        watching = self.trainer.global_step >= warmup
        self.log("ne", self.alarm.check(xy, watching), prog_bar=True)

    def on_train_end(self) -> None:
        if self.alarm is not None:
            self.alarm.end()

    def configure_optimizers(self) -> dict[str, Any]:
        steps = self.trainer.max_steps
        optimizer, schedule = build_optimizer(self.network, self.network.backbone, self.config.train, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
