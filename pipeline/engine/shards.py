"""Predictions on their way to a submission: one shard a process, appended batch by batch, merged and checked at the end.

Ids travel with the predictions, so that neither the order of batches nor the number of processes matters, and a run that
was interrupted finds what it already has. Each line begins with its checksum: one that is cut or damaged does not count,
and its row is predicted again.
"""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.files import PARTIAL, json_object, write_bytes, write_text
from garment_keypoints.pipeline.contract.records import ORIGINS, BoxRow, ImageRow, Key, Keypoints
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.outputs import RESULT
from pytorch_lightning.callbacks import BasePredictionWriter

JOB = "job.json"
FORMAT = 3  # of the lines; shards of another are not continued
OURS = re.compile(rf"{re.escape(JOB)}|rank\d+\.jsonl|{RESULT}\.\w+|{PARTIAL.pattern}")
"""The names of all files that a folder of shards may hold; one with another name makes it somebody else's."""


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
        shard = self.folder / f"rank{rank}.jsonl"
        try:
            with shard.open("ab") as file:
                file.write(b"".join(map(_line, lines)))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(shard)) from error


def open_shards(folder: Path, job: dict[str, Any]) -> set[Key]:
    """Return the keys of the rows that shards of the same job hold already; shards of another job are removed.

    Raises UserError when the folder is not ours: nothing in it is touched. Only rank 0 may look and remove; the others
    learn from it, and get nothing here.
    """
    if not ranks.is_zero():
        return set()
    described = {"format": FORMAT} | json.loads(json.dumps(job))
    if _job_of(folder) != described:
        if folder.exists():
            remove_shards(folder)
        write_text(folder / JOB, json.dumps(described))
        return set()
    for shard in folder.glob("rank*.jsonl"):
        lines = shard.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if _record(line) is not None]
        if whole != lines:
            write_bytes(shard, b"".join(whole))
    # What could not be read is tried again.
    return {_key(record) for record in _records(folder) if "unread" not in record}


def remove_shards(folder: Path) -> None:
    """Remove the folder once the results are there: the files that we wrote, the one that says so last."""
    for file in sorted(_contents(folder), key=lambda file: file.name == JOB):
        file.unlink()
    folder.rmdir()


def _job_of(folder: Path) -> dict[str, Any] | None:
    """Return what a folder of ours was predicted for; None for one that is not there, or holds nothing yet."""
    if not (folder.exists() or folder.is_symlink()):
        return None
    names = {file.name for file in _contents(folder)}
    if all(PARTIAL.fullmatch(name) for name in names):
        return None
    job = json_object(folder / JOB) if (folder / JOB).exists() else None
    if job is None:
        raise UserError(
            f"{folder / JOB}: missing or damaged, so that it cannot be told what the predictions beside it are of; "
            f"remove {folder}, and they are made again"
        )
    return job


def _contents(folder: Path) -> list[Path]:
    """Return the files of a folder of shards; raise UserError when it, or anything in it, is not of our making."""
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder} exists and is no folder of predictions; choose another place, or move it away")
    files = sorted(folder.iterdir())
    foreign = [file for file in files if not OURS.fullmatch(file.name) or file.is_symlink() or not file.is_file()]
    if foreign:
        raise UserError(
            f"{folder} holds {foreign[0].name}, which is none of the predictions that are kept there; nothing was "
            "removed: choose another place, or move it away"
        )
    return files


def merge_shards(folder: Path, rows: Sequence[ImageRow]) -> list[dict[str, Any]]:
    """Return the lines of a finished run in the order of the rows; raise ValueError unless each row has one."""
    by_key = {_key(record): record for record in sorted(_records(folder), key=lambda one: "unread" not in one)}
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


def boxes_of(row: ImageRow, record: dict[str, Any], schema: Schema) -> list[BoxRow]:
    """Return the regions of a row's line as rows of boxes.csv, of no checkpoint yet."""
    return [
        BoxRow(
            row.image_id,
            schema.categories[region["category"]],
            np.array(region["box"]),
            region["box_score"],
            "image" if region["fallback"] else ORIGINS[region["origin"]],
            -1,
            "",
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
        with shard.open("rb") as lines:
            yield from filter(None, map(_record, lines))


def _key(record: dict[str, Any]) -> Key:
    return record["image_id"], record["instance"]


def _line(record: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(record, allow_nan=False).encode()
    except ValueError:
        raise UserError(
            f"{record['image_id']}: the networks give a box or point that is not finite; their weights are damaged, or the "
            "precision is too small for them: try --precision 32-true"
        ) from None
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    """Return what a whole line holds; None when it is not as it was written."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text)
