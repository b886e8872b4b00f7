"""Both stages, or the first alone, over a list of pictures, on whatever devices there are, continued after interrupts."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import Subset

from pipeline.contract.images import PictureOptions, reduction
from pipeline.contract.protocols import BoxSource, Locator, Placer
from pipeline.contract.records import Detection, ImageRow, Key, Keypoints
from pipeline.contract.schema import Schema
from pipeline.data.survey import image_sizes
from pipeline.engine.shards import ShardWriter, boxes_of, found_in, keypoints_of, merge_shards, open_shards
from pipeline.learning import ranks
from pipeline.learning.configs import check_ranges
from pipeline.learning.fit import silenced
from pipeline.learning.loading import Batches, ImageDataset, PixelBatchSampler, loader
from pipeline.learning.options import COUNT, Placement
from pipeline.learning.placement import placed
from pipeline.orchestrator import OneStage, TwoStage

log = logging.getLogger("pipeline")
MEGAPIXELS = 0.1, 10_000


@dataclass
class Device(Placement):
    """Where and how networks predict."""

    batch_size: int = 16
    """Images a step and device, at most."""
    batch_megapixels: float = 8.0
    """Million pixels a step and device, padding included, so that large photos come in smaller batches."""

    def check(self, where: str = "") -> None:
        super().check(where)
        check_ranges(self, where, {"batch_size": COUNT, "batch_megapixels": MEGAPIXELS})

    @classmethod
    def of(cls, placement: Placement) -> "Device":
        """Predict where a training runs."""
        return cls(**{field.name: getattr(placement, field.name) for field in fields(Placement)})


@dataclass(frozen=True)
class Prediction:
    """What came out of a run over rows, in their order.

    `keypoints` of every region, `boxes` of every region as rows of boxes.csv, sizes_wh (N, 2) of the rows' pictures,
    everything that a detector found in each (lists `boxes`, `scores`, `category`; empty where none was asked), and of
    pictures that could not be read any more, and were skipped, why.
    """

    keypoints: list[Keypoints]
    boxes: list[Detection]
    sizes_wh: np.ndarray
    found: list[dict[str, list]]
    unread: dict[Key, str]


@ranks.one_voice()
def predict(
    rows: Sequence[ImageRow],
    source: BoxSource,
    locator: Locator | Placer | None,
    schema: Schema,
    device: Device,
    shards: Path,
    job: dict,
    *,
    sizes_wh: np.ndarray | None = None,
    pictures: PictureOptions | None = None,
    skip: bool = False,
    fold: int = -1,
    checkpoint: str = "",
) -> Prediction | None:
    """Run both stages (without a locator: the first alone) over the rows; returns None on other ranks.

    `job` says what decides the result: shards of the same job are continued. sizes_wh (N, 2) of the rows' pictures are read
    from them where they are not given. With `skip`, a picture that cannot be read costs its own row alone. `fold` and
    `checkpoint` go into the boxes.
    """
    trainer = _trainer(device)
    ranks.join(trainer)
    done = trainer.strategy.broadcast(open_shards(shards, job))
    remaining = [i for i, row in enumerate(rows) if row.key not in done]
    if done and remaining:
        log.info("%d of %d images are done already", len(rows) - len(remaining), len(rows))
    if remaining:
        sizes_wh = image_sizes(rows) if sizes_wh is None else sizes_wh
        categories = [schema.category_index(row.category) for row in rows]
        dataset = ImageDataset(rows, categories, options=pictures or PictureOptions())
        module = OneStage(source) if locator is None else TwoStage(source, locator)
        writer = ShardWriter(shards, rows)
        trainer.callbacks.append(writer)
        batches = _batches(dataset, remaining, sizes_wh, device, trainer, writer.skip if skip else None)
        with silenced():
            try:
                trainer.predict(module, batches, return_predictions=False)
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
        unread={row.key: line["unread"] for row, line in lines if "unread" in line},
    )


def _batches(
    dataset: ImageDataset,
    remaining: list[int],
    sizes_wh: np.ndarray,
    device: Device,
    trainer: pl.Trainer,
    skip: Callable[..., None] | None,
) -> Batches:
    """Return the batches of this rank over the remaining rows; an index is that of the whole list, also after an interrupt."""
    detail = dataset.options.detail
    decoded_wh = np.array([sizes_wh[i] // reduction(tuple(sizes_wh[i]), detail) for i in remaining])
    most = 1e6 * device.batch_megapixels
    sampler = PixelBatchSampler(decoded_wh, device.batch_size, most, trainer.global_rank, trainer.world_size)
    own = skip and partial(skip, rank=trainer.global_rank)
    return loader(Subset(dataset, remaining), sampler, device.workers, own)


def _trainer(device: Device) -> pl.Trainer:
    return pl.Trainer(
        **placed(device),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
