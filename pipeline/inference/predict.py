"""Both stages, or the first alone, over a list of pictures, on whatever devices there are, continued after interrupts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import Subset

from pipeline.contract.protocols import BoxSource, Locator
from pipeline.contract.records import Detection, ImageRow, Keypoints
from pipeline.contract.schema import Schema
from pipeline.inference.shards import ShardWriter, boxes_of, found_in, keypoints_of, merge_shards, open_shards
from pipeline.learning import ranks
from pipeline.learning.fit import devices, precision, silenced
from pipeline.learning.loading import ImageDataset, plain_loader
from pipeline.learning.options import TrainOptions
from pipeline.orchestrator import OneStage, TwoStage

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
    num_nodes: int = 1
    """Machines that predict together."""
    strategy: str = "auto"
    """Lightning's strategy: auto, ddp ..."""


@dataclass(frozen=True)
class Prediction:
    """What came out of a run over rows, in their order.

    `keypoints` of every region, `boxes` of every region as rows of boxes.csv, sizes_wh (N, 2) of the rows' pictures, and
    everything that a detector found in each (lists `boxes`, `scores`, `category`; empty where none was asked).
    """

    keypoints: list[Keypoints]
    boxes: list[Detection]
    sizes_wh: np.ndarray
    found: list[dict[str, list]]


@ranks.one_voice()
def predict(
    rows: Sequence[ImageRow],
    source: BoxSource,
    locator: Locator | None,
    schema: Schema,
    device: Device,
    shards: Path,
    job: dict,
    *,
    fold: int = -1,
    checkpoint: str = "",
) -> Prediction | None:
    """Run both stages (without a locator: the first alone) over the rows; returns None on other ranks.

    `job` says what decides the result: shards of the same job are continued. `fold` and `checkpoint` go into the boxes.
    """
    trainer = _trainer(device)
    ranks.join(trainer)
    done = trainer.strategy.broadcast(open_shards(shards, job))
    remaining = [i for i, row in enumerate(rows) if row.key not in done]
    if done and remaining:
        log.info("%d of %d images are done already", len(rows) - len(remaining), len(rows))
    if remaining:
        # A part of the whole list, so that an index means the same row after an interrupt.
        dataset = Subset(ImageDataset(rows, [schema.category_index(row.category) for row in rows]), remaining)
        loader = plain_loader(dataset, device.batch_size, device.workers)
        module = OneStage(source) if locator is None else TwoStage(source, locator)
        trainer.callbacks.append(ShardWriter(shards, rows))
        with silenced():
            try:
                trainer.predict(module, loader, return_predictions=False)
            except SystemExit:
                raise KeyboardInterrupt from None
    trainer.strategy.barrier()
    if not trainer.is_global_zero:
        return None
    lines = list(zip(rows, merge_shards(shards, rows), strict=True))
    return Prediction(
        keypoints=[p for row, line in lines for p in keypoints_of(row, line, schema)] if locator else [],
        boxes=[b for row, line in lines for b in boxes_of(row, line, schema, fold, checkpoint)],
        sizes_wh=np.array([line["size_wh"] for _, line in lines]),
        found=[found_in(line) for _, line in lines],
    )


def _trainer(device: Device) -> pl.Trainer:
    return pl.Trainer(
        accelerator=device.accelerator,
        devices=devices(device.devices),
        num_nodes=device.num_nodes,
        strategy=device.strategy,
        precision=resolved_precision(device),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


def resolved_precision(device: Device) -> str:
    """Return Lightning's precision, with `auto` resolved."""
    return precision(TrainOptions(accelerator=device.accelerator, precision=device.precision))
