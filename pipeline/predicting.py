"""From a test folder to a submission: check, run both stages, merge, score, draw."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from pipeline.contract import tables
from pipeline.contract.loading import ImageDataset, plain_loader
from pipeline.contract.metrics import NormalizedError, normalized_error
from pipeline.contract.optimization import TrainOptions
from pipeline.contract.records import Annotation, Detector, ImageRow, Keypoints, Locator
from pipeline.contract.schema import Schema
from pipeline.orchestrator import TwoStage
from pipeline.predictions import ShardWriter, merge_shards, open_shards
from pipeline.training import devices, precision, silenced

log = logging.getLogger("pipeline")


@dataclass(frozen=True)
class Device:
    """Where and how networks predict, in Lightning's terms; batch_size images a step and device."""

    batch_size: int = 16
    workers: int = 2
    accelerator: str = "auto"
    devices: str = "auto"
    precision: str = "auto"


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


def score(file: Path, answers: Sequence[Annotation], schema: Schema, variant: str = "default") -> NormalizedError:
    """Score a submission file against answers, as anyone else would: from the file."""
    predictions = tables.read_submission(file, schema)
    nothing = np.zeros((len(schema.keypoints), 2)), np.zeros(len(schema.keypoints), dtype=bool)
    pairs = [predictions.get(answer.image_id, nothing) for answer in answers]
    unknown = len(predictions.keys() - {answer.image_id for answer in answers})
    if unknown == len(predictions):
        raise ValueError(
            f"{file}: none of its {unknown} images is in the answers; is it the submission of another test?"
        )
    if unknown:
        log.warning("%s: %d of its images are not in the answers and do not count", file, unknown)
    return normalized_error(answers, np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]), schema, variant)


def score_lines(result: NormalizedError, variant: str) -> list[str]:
    """Describe a score: by category, by keypoint, and in the last line the whole."""
    lines = ["by category"]
    lines += [f"  {name:16s} {100 * value:7.3f} %" for name, value in result.by_category.items() if value is not None]
    lines.append("by keypoint")
    lines += [f"  {name:16s} {100 * value:7.3f} %" for name, value in result.by_keypoint.items() if value is not None]
    if result.missing:
        lines.append(f"{result.missing} predictions are missing and cost {100:.0f} % each")
    counts = f"variant {variant}, {result.points} points, {result.skipped} images skipped"
    return [*lines, f"NE {100 * result.value:.3f} % ({counts})"]


def score_figures(result: NormalizedError, variant: str) -> dict[str, Any]:
    """Return a score as plain values, in percent."""
    return {
        "variant": variant,
        "ne": 100 * result.value,
        "points": result.points,
        "images_skipped": result.skipped,
        "points_missing": result.missing,
        "by_category": {name: None if v is None else 100 * v for name, v in result.by_category.items()},
        "by_keypoint": {name: None if v is None else 100 * v for name, v in result.by_keypoint.items()},
    }


def answers_of(rows: Sequence[ImageRow], file: Path, schema: Schema) -> list[Annotation]:
    """Return the answer of each row, with the row's picture, in their order; raise ValueError when rows have none."""
    by_id = {answer.image_id: answer for answer in tables.read_answers(file, schema)}
    missing = [row.image_id for row in rows if row.image_id not in by_id]
    if missing:
        raise ValueError(f"{file}: no answer for {len(missing)} of {len(rows)} test images, first {missing[0]}")
    return [replace(by_id[row.image_id], path=row.path) for row in rows]


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
