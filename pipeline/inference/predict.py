"""Both stages over a list of pictures, on whatever devices there are, going on where an interrupt left off."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl

from pipeline.contract.protocols import Detector, Locator
from pipeline.contract.records import ImageRow, Keypoints
from pipeline.contract.schema import Schema
from pipeline.inference.shards import ShardWriter, merge_shards, open_shards
from pipeline.learning.fit import devices, precision, silenced
from pipeline.learning.loading import ImageDataset, plain_loader
from pipeline.learning.options import TrainOptions
from pipeline.orchestrator import TwoStage

log = logging.getLogger("pipeline")


@dataclass(frozen=True)
class Device:
    """Where and how networks predict, in Lightning's terms; batch_size images a step and device."""

    batch_size: int = 16
    """Images a step and device."""
    workers: int = 2
    """Processes that decode images."""
    accelerator: str = "auto"
    """Lightning's accelerator: auto, cpu, gpu ..."""
    devices: str = "auto"
    """Lightning's devices: auto, a number, or a list such as 0,1."""
    precision: str = "auto"
    """Lightning's precision; auto: bf16 on GPUs that can."""


def predict(
    rows: Sequence[ImageRow],
    detector: Detector,
    locator: Locator,
    schema: Schema,
    device: Device,
    shards: Path,
    job: dict,
) -> tuple[list[Keypoints], np.ndarray] | None:
    """Run both stages over the rows; returns predictions and sizes_wh (N, 2) in their order, None on other processes.

    `job` says what decides the result: shards of the same job are continued.
    """
    done = open_shards(shards, job)
    remaining = [row for row in rows if row.image_id not in done]
    if done and remaining:
        log.info("%d of %d images are done already", len(done), len(rows))
    if remaining:
        categories = [schema.category_index(row.category) for row in remaining]
        loader = plain_loader(ImageDataset(remaining, categories), device.batch_size, device.workers)
        trainer = _trainer(device, ShardWriter(shards, remaining))
        with silenced():
            try:
                trainer.predict(TwoStage(detector, locator), loader, return_predictions=False)
            except SystemExit:
                raise KeyboardInterrupt from None
        trainer.strategy.barrier()
        if not trainer.is_global_zero:
            return None
    return merge_shards(shards, rows)


def _trainer(device: Device, writer: ShardWriter) -> pl.Trainer:
    options = TrainOptions(accelerator=device.accelerator, precision=device.precision)
    return pl.Trainer(
        accelerator=device.accelerator,
        devices=devices(device.devices),
        precision=precision(options),
        callbacks=[writer],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
