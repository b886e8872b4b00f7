"""Predictions on their way to a submission: one shard a process, appended batch by batch, merged and checked at the end.

Ids travel with the predictions, so that neither the order of batches nor the number of processes matters, and a run that
was interrupted finds what it already has.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import BasePredictionWriter

from pipeline.contract.files import write_text
from pipeline.contract.records import ImageRow, Keypoints
from pipeline.learning import ranks

JOB = "job.json"


class ShardWriter(BasePredictionWriter):
    """Appends each batch of predictions to the shard of its process, one JSON line an image."""

    def __init__(self, folder: Path, rows: Sequence[ImageRow]) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.rows = folder, rows

    def write_on_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: dict[str, Any], *_: Any
    ) -> None:
        values = {name: tensor.tolist() for name, tensor in prediction.items()}
        with (self.folder / f"rank{trainer.global_rank}.jsonl").open("a", encoding="utf-8") as file:
            for position, index in enumerate(values.pop("index")):
                record = {"image_id": self.rows[index].image_id} | {n: v[position] for n, v in values.items()}
                file.write(json.dumps(record) + "\n")


def open_shards(folder: Path, job: dict[str, Any]) -> set[str]:
    """Return the image ids that shards of the same job hold already; shards of another job are removed.

    Only rank 0 may look and remove; the others learn from it, and get nothing here.
    """
    if not ranks.is_zero():
        return set()
    file = folder / JOB
    described = json.dumps(job)
    if not (file.exists() and file.read_text(encoding="utf-8") == described):
        shutil.rmtree(folder, ignore_errors=True)
        write_text(file, described)
        return set()
    for shard in folder.glob("rank*.jsonl"):
        whole = [line for line in shard.read_text(encoding="utf-8").splitlines(keepends=True) if _is_whole(line)]
        write_text(shard, "".join(whole))
    return {record["image_id"] for record in _records(folder)}


def remove_shards(folder: Path) -> None:
    """Remove what only going on needs, once the submission is written."""
    shutil.rmtree(folder)


def merge_shards(folder: Path, rows: Sequence[ImageRow]) -> tuple[list[Keypoints], np.ndarray]:
    """Return the predictions and sizes_wh (N, 2) in the order of the rows; raise ValueError unless each is there."""
    by_id = {record["image_id"]: record for record in _records(folder)}
    missing = [row.image_id for row in rows if row.image_id not in by_id]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(rows)} images have no prediction, first {missing[0]}; run submit again"
        )
    predictions = []
    for row in rows:
        record = by_id[row.image_id]
        xy, score, box = (np.array(record[name]) for name in ("xy", "score", "box"))
        predictions.append(
            Keypoints(row.image_id, row.category, xy, score, box, record["box_score"], record["fallback"])
        )
    return predictions, np.array([by_id[row.image_id]["size_wh"] for row in rows])


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted(folder.glob("rank*.jsonl")):
        with shard.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)


def _is_whole(line: str) -> bool:
    """An interrupt can cut the last line of a shard."""
    return line.endswith("}\n")
