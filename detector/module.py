"""Training of the detector as a thin LightningModule: inputs, loss, optimizer; no geometry and no tables of its own."""

from typing import Any

import pytorch_lightning as pl
import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.data import DetectorData, training_inputs
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.pipeline.contract.records import ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.optimizer import build_optimizer
from garment_keypoints.pipeline.learning.shares import share
from torch import Tensor


class DetectorModule(pl.LightningModule):
    """Trains a GarmentNetwork on full images; the inputs are cut on the device."""

    def __init__(self, config: DetectorConfig, schema: Schema, data: DetectorData) -> None:
        super().__init__()
        self.config, self.data = config, data
        self.network = GarmentNetwork(config, len(schema.categories))

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        extents, category = (one.to(batch.images.device) for one in self.data.garments(batch.index.cpu()))
        inputs, boxes = training_inputs(batch, extents.float(), category, self.config)
        weight = share(torch.tensor(float(len(batch)), device=self.device))
        losses = {name: value * weight for name, value in self.network.losses(inputs, boxes, category).items()}
        loss = sum(losses.values())
        self.log("loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=True)
        self.log_dict({name: value.detach() for name, value in losses.items()}, batch_size=len(batch), sync_dist=True)
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        steps = self.trainer.max_steps
        optimizer, schedule = build_optimizer(self.network, self.network.backbone, self.config.train, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
