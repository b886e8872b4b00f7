"""Both stages, or the first alone, over a list of pictures, on whatever devices there are, continued after interrupts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import Subset

from pipeline.contract.protocols import BoxSource, Locator
from pipeline.contract.records import Detection, ImageRow, Keypoints
from pipeline.contract.schema import Schema
from pipeline.inference.shards import ShardWriter, boxes_of, found_in, keypoints_of, merge_shards, open_shards
from pipeline.learning import ranks
from pipeline.learning.configs import check_ranges
from pipeline.learning.fit import placed, silenced
from pipeline.learning.loading import ImageDataset, plain_loader
from pipeline.learning.options import COUNT, Placement
from pipeline.orchestrator import OneStage, TwoStage

log = logging.getLogger("pipeline")


@dataclass
class Device(Placement):
    """Where and how networks predict."""

    batch_size: int = 16
    """Images a step and device."""

    def check(self, where: str = "") -> None:
        super().check(where)
        check_ranges(self, where, {"batch_size": COUNT})

    @classmethod
    def of(cls, placement: Placement) -> "Device":
        """Predict where a training runs."""
        return cls(**{field.name: getattr(placement, field.name) for field in fields(Placement)})


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
    return pl.Trainer(**placed(device), logger=False, enable_checkpointing=False, enable_model_summary=False)
