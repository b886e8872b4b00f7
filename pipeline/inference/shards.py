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

from pipeline.contract.faults import DataError, UserError
from pipeline.contract.files import write_text
from pipeline.contract.records import ORIGINS, Detection, ImageRow, Key, Keypoints
from pipeline.contract.schema import Schema
from pipeline.learning import ranks

JOB = "job.json"
FORMAT = 2  # of the lines; shards of another are not continued


class ShardWriter(BasePredictionWriter):
    """Appends each batch of predictions to the shard of its process, one JSON line a row.

    A line holds the row's key, the size of its picture, and lists: its `regions`, and all that was `found` in it.
    """

    def __init__(self, folder: Path, rows: Sequence[ImageRow]) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.rows = folder, rows

    def write_on_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: dict[str, Any], *_: Any
    ) -> None:
        lines = []
        for index, size_wh in zip(prediction["index"].tolist(), prediction["size_wh"].tolist(), strict=True):
            row = self.rows[index]
            key = {"image_id": row.image_id, "instance": row.instance}
            lines.append(key | {"size_wh": size_wh, "regions": [], "found": []})
        for group in ("regions", "found"):
            values = {name: tensor.tolist() for name, tensor in prediction[group].items()}
            for position, image in enumerate(values.pop("image", [])):
                lines[image][group].append({name: value[position] for name, value in values.items()})
        self._append(lines, trainer.global_rank)

    def skip(self, index: int, error: DataError, rank: int = 0) -> None:
        """Write down that the picture of a row cannot be read, and why; the row is done with that."""
        row = self.rows[index]
        line = {"image_id": row.image_id, "instance": row.instance, "size_wh": [0, 0], "regions": [], "found": []}
        self._append([line | {"unread": str(error)}], rank)

    def _append(self, lines: Sequence[dict[str, Any]], rank: int) -> None:
        with (self.folder / f"rank{rank}.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def open_shards(folder: Path, job: dict[str, Any]) -> set[Key]:
    """Return the keys of the rows that shards of the same job hold already; shards of another job are removed.

    Only rank 0 may look and remove; the others learn from it, and get nothing here.
    """
    if not ranks.is_zero():
        return set()
    file = folder / JOB
    described = json.dumps({"format": FORMAT} | job)
    if not (file.exists() and file.read_text(encoding="utf-8") == described):
        shutil.rmtree(folder, ignore_errors=True)
        write_text(file, described)
        return set()
    for shard in folder.glob("rank*.jsonl"):
        whole = [line for line in shard.read_text(encoding="utf-8").splitlines(keepends=True) if _is_whole(line)]
        write_text(shard, "".join(whole))
    return {_key(record) for record in _records(folder)}


def remove_shards(folder: Path) -> None:
    """Remove what only going on needs, once the submission is written."""
    shutil.rmtree(folder)


def merge_shards(folder: Path, rows: Sequence[ImageRow]) -> list[dict[str, Any]]:
    """Return the lines of a finished run in the order of the rows; raise ValueError unless each row has one."""
    by_key = {_key(record): record for record in _records(folder)}
    missing = [row.image_id for row in rows if row.key not in by_key]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(rows)} images have no prediction, first {missing[0]}; run submit again"
        )
    return [by_key[row.key] for row in rows]


def keypoints_of(row: ImageRow, record: dict[str, Any], schema: Schema) -> list[Keypoints]:
    """Return the garments of a row's line: none, one or several; their instances count on from the row's."""
    return [
        Keypoints(
            row.image_id,
            schema.categories[region["category"]],
            np.array(region["xy"]),
            np.array(region["score"]),
            np.array(region["box"]),
            region["box_score"],
            region["fallback"],
            instance=row.instance + region["instance"],
        )
        for region in record["regions"]
    ]


def boxes_of(row: ImageRow, record: dict[str, Any], schema: Schema, fold: int, checkpoint: str) -> list[Detection]:
    """Return the regions of a row's line as rows of boxes.csv."""
    return [
        Detection(
            row.image_id,
            schema.categories[region["category"]],
            np.array(region["box"]),
            region["box_score"],
            "image" if region["fallback"] else ORIGINS[region["origin"]],
            fold,
            checkpoint,
            region["fallback"],
            instance=row.instance + region["instance"],
        )
        for region in record["regions"]
    ]


def found_in(record: dict[str, Any]) -> dict[str, list]:
    """Return everything that a detector found in a row's picture: lists `boxes`, `scores` and `category`."""
    names = {"boxes": "box", "scores": "box_score", "category": "category"}
    return {name: [one[key] for one in record["found"]] for name, key in names.items()}


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted(folder.glob("rank*.jsonl")):
        with shard.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)


def _key(record: dict[str, Any]) -> Key:
    return record["image_id"], record["instance"]


def _is_whole(line: str) -> bool:
    """An interrupt can cut the last line of a shard."""
    return line.endswith("}\n")
