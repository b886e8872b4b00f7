"""Both stages, or the first alone, over a list of pictures, on whatever devices there are, continued after interrupts."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from garment_keypoints.pipeline.contract.images import PictureOptions, reduction
from garment_keypoints.pipeline.contract.protocols import BoxSource, Locator, PointPredictor
from garment_keypoints.pipeline.contract.records import BoxRow, ImageBatch, Key, Keypoints
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.shards import (
    ShardWriter,
    boxes_of,
    found_in,
    keypoints_of,
    merge_shards,
    open_shards,
)
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.learning.fit import silenced
from garment_keypoints.pipeline.learning.loading import Batches, ImageDataset, PixelBatchSampler, loader
from garment_keypoints.pipeline.learning.placement import device_of, placed, precision
from garment_keypoints.pipeline.orchestrator import TwoStage
from torch.utils.data import Subset

log = logging.getLogger("garment_keypoints")


class _Lightning(pl.LightningModule):
    """TwoStage as Lightning's Trainer runs it."""

    def __init__(self, stages: TwoStage) -> None:
        super().__init__()
        self.stages = stages

    def predict_step(self, batch: ImageBatch, batch_idx: int = 0) -> dict[str, Any]:
        return self.stages.predict_step(batch)


@dataclass(frozen=True)
class InferenceResult:
    """What came out of an inference over rows, in their order.

    `keypoints` of every region, `boxes` of every region as rows of boxes.csv, sizes_wh (N, 2) of the rows' pictures,
    everything that a detector found in each (lists `boxes`, `scores`, `category`; empty where none was asked), and of
    pictures that could not be read any more, and were skipped, why. `resumed` tells that a part had been done before.
    """

    keypoints: list[Keypoints]
    boxes: list[BoxRow]
    sizes_wh: np.ndarray
    found: list[dict[str, list]]
    unread: dict[Key, str]
    resumed: bool

    def made_by(self, checkpoint: str, fold: int = -1) -> "InferenceResult":
        """Return the result with boxes that name their checkpoint, and the fold that it has not seen."""
        return replace(self, boxes=[replace(box, checkpoint=checkpoint, fold=fold) for box in self.boxes])


@dataclass(frozen=True)
class Inference:
    """Rows in, points or boxes out: both stages (without `points` the first alone), on one or many devices.

    With `skip`, a picture that cannot be read costs its own row alone.
    """

    source: BoxSource
    points: Locator | PointPredictor | None
    schema: Schema
    device: Device = field(default_factory=Device)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    skip: bool = False

    def job(self, rows: RowSet) -> dict[str, Any]:
        """Return everything that decides the result over these rows, as plain values."""
        return {
            "source": self.source.job(),
            "points": None if self.points is None else self.points.job(),
            "rows": rows.fingerprint,
            "pictures": self.pictures.job(),
            "precision": precision(self.device),
            "device": device_of(self.device),
            "schema": self.schema.fingerprint,
        }

    @ranks.one_voice()
    def run(self, rows: RowSet, shards: Path) -> InferenceResult:
        """Predict the rows, and keep what is done in the folder `shards`: the same job goes on with it after an interrupt.

        Returns on rank 0 alone; other ranks end here. Raises DataError for a picture that cannot be read, without `skip`.
        """
        trainer = _trainer(self.device)
        ranks.join(trainer)
        done = trainer.strategy.broadcast(open_shards(shards, self.job(rows)))
        remaining = [i for i, row in enumerate(rows.rows) if row.key not in done]
        if done and remaining:
            log.info("%d of %d images are done already", len(rows.rows) - len(remaining), len(rows.rows))
        if remaining:
            self._predict(rows, remaining, shards, trainer)
        ranks.only_zero_goes_on(trainer)
        return self._merged(rows, shards, resumed=bool(done))

    def _predict(self, rows: RowSet, remaining: list[int], shards: Path, trainer: pl.Trainer) -> None:
        """Write this rank's share of the remaining rows into the shards."""
        categories = [self.schema.category_index(row.category) for row in rows.rows]
        dataset = ImageDataset(rows.rows, categories, options=self.pictures)
        module = _Lightning(TwoStage(self.source, self.points))
        writer = ShardWriter(shards, rows.rows)
        trainer.callbacks.append(writer)
        batches = _batches(dataset, remaining, rows.sizes_wh, self.device, trainer, writer.skip if self.skip else None)
        with silenced():
            try:
                trainer.predict(module, batches, return_predictions=False)
            except SystemExit:
                # Lightning turns Ctrl-C into an exit of its own.
                raise KeyboardInterrupt from None

    def _merged(self, rows: RowSet, shards: Path, resumed: bool) -> InferenceResult:
        lines = list(zip(rows.rows, merge_shards(shards, rows.rows), strict=True))
        return InferenceResult(
            keypoints=[p for row, line in lines for p in keypoints_of(row, line, self.schema)] if self.points else [],
            boxes=[box for row, line in lines for box in boxes_of(row, line, self.schema)],
            sizes_wh=np.array([line["size_wh"] for _, line in lines]),
            found=[found_in(line) for _, line in lines],
            unread={row.key: line["unread"] for row, line in lines if "unread" in line},
            resumed=resumed,
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
