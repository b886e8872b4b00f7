"""Boxes out of fold: every training row gets the box of a detector that had not seen its image."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from detector.inference import NetworkDetector
from pipeline.contract.records import Detection, ImageRow
from pipeline.contract.schema import Schema
from pipeline.learning.loading import ImageDataset, plain_loader

Found = dict[str, list]
"""Everything found in one image: boxes, scores, category."""


def refuse_seen(rows: Sequence[ImageRow], detector: NetworkDetector, fold: int) -> None:
    """Raise ValueError when the detector was trained on any of the rows that it should predict as fold `fold`."""
    if detector.train_ids is None:
        raise ValueError(f"checkpoint {detector.name} was loaded without its training ids; load it with_ids=True")
    seen = [row.image_id for row in rows if row.image_id in detector.train_ids]
    if seen:
        raise ValueError(
            f"checkpoint {detector.name} saw {len(seen)} of the {len(rows)} images of fold {fold} in training, first "
            f"{seen[0]}; their boxes would be too good to train on. Use the checkpoint that left fold {fold} out"
        )


def predict_fold(
    rows: Sequence[ImageRow],
    detector: NetworkDetector,
    fold: int,
    schema: Schema,
    shard: Path,
    device: torch.device | str = "cpu",
    workers: int = 2,
    batch_size: int = 16,
) -> tuple[list[Detection], list[Found]]:
    """Predict the rows of one fold (-1: no fold, test images), from `shard` where a finished one is there.

    Returns the chosen boxes and all detections in the order of the rows.
    """
    if fold >= 0:
        refuse_seen(rows, detector, fold)
    ids = [row.image_id for row in rows]
    if shard.exists():
        kept = json.loads(shard.read_text())
        if kept["checkpoint"] == detector.fingerprint and kept["ids"] == ids:
            return [
                _detection(row, record, fold, detector.name) for row, record in zip(rows, kept["chosen"], strict=True)
            ], kept["found"]
    chosen, found = _predict(rows, detector, schema, device, workers, batch_size)
    shard.parent.mkdir(parents=True, exist_ok=True)
    partial = shard.with_name(shard.name + ".partial")
    partial.write_text(json.dumps({"checkpoint": detector.fingerprint, "ids": ids, "chosen": chosen, "found": found}))
    partial.replace(shard)
    return [_detection(row, record, fold, detector.name) for row, record in zip(rows, chosen, strict=True)], found


def _predict(
    rows: Sequence[ImageRow],
    detector: NetworkDetector,
    schema: Schema,
    device: torch.device | str,
    workers: int,
    batch_size: int,
) -> tuple[list[list], list[Found]]:
    dataset = ImageDataset(rows, [schema.category_index(row.category) for row in rows])
    chosen, found = [], []
    detector = detector.to(device)
    for batch in track(plain_loader(dataset, batch_size, workers), f"boxes by {detector.name}"):
        batch = batch.to(device)
        everything = detector.detect_all(batch)
        best = detector.choose(batch, everything)
        chosen += [
            [box, score, fallback]
            for box, score, fallback in zip(
                best.boxes.tolist(), best.scores.tolist(), best.fallback.tolist(), strict=True
            )
        ]
        found += [{name: value.tolist() for name, value in one.items()} for one in everything]
    return chosen, found


def _detection(row: ImageRow, record: list, fold: int, checkpoint: str) -> Detection:
    box, score, fallback = record
    source = "image" if fallback else "detector"
    return Detection(row.image_id, row.category, np.array(box), score, source, fold, checkpoint, fallback)
