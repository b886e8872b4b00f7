"""RUN/folds.csv: the pictures of a run, as they were when it began, and the fold of each.

Later steps need no second look at them: a picture whose size and time are as they were is the same; any other one is known
by the hash of its bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.files import write_once
from garment_keypoints.pipeline.contract.formats.csv_files import has_columns, read_csv
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.data.survey import digest

FOLDS = "folds.csv"
NUMBERS = ["fold", "bytes", "mtime_ns", "width", "height"]
NUMBER = re.compile("[0-9]{1,19}")
COLUMNS = ["image_id", *NUMBERS, "sha256"]


@dataclass(frozen=True)
class FoldAssignment:
    """By row: the fold (N,), sizes_wh (N, 2) of the pictures, and the SHA-256 of their bytes."""

    folds: np.ndarray
    sizes_wh: np.ndarray
    digests: list[str]


def write_assignment(file: Path, rows: Sequence[ImageRow], assignment: FoldAssignment) -> bool:
    """Keep what a run begins with, unless another process has begun it meanwhile; tell whether it was kept."""
    table = [
        (row.image_id, fold, *_stamp(row.path), *size_wh, sha256)
        for row, fold, size_wh, sha256 in zip(
            rows, assignment.folds, assignment.sizes_wh, assignment.digests, strict=True
        )
    ]
    return write_once(file, pd.DataFrame(table, columns=COLUMNS).to_csv(index=False, lineterminator="\n"))


def read_assignment(file: Path, rows: Sequence[ImageRow], folds: int) -> FoldAssignment:
    """Return what a run began with. Raises DataError when the file is damaged or assigns others, and for changed pictures."""
    table = _read(file, folds)
    other = "choose another run folder (RUN=)"
    if list(table["image_id"]) != [row.image_id for row in rows]:
        raise DataError([Fault(str(file), "assigns other images to folds", other)])
    assignment = table["fold"].astype(int).to_numpy()
    if set(assignment) != set(range(folds)):
        raise DataError([Fault(str(file), f"assigns another number of folds than {folds}", other)])
    stamps = zip(table["bytes"].astype(int), table["mtime_ns"].astype(int), strict=True)
    changed = [
        Fault(row.csv or str(file), "picture that has changed since this run began", f"put it back, or {other}", row.csv_row,
              value=row.image_id)
        for row, stamp, sha256 in zip(rows, stamps, table["sha256"], strict=True)
        if _stamp(row.path) != stamp and digest(row.path) != sha256
    ]  # fmt: skip
    if changed:
        raise DataError(changed)
    return FoldAssignment(assignment, table[["width", "height"]].astype(int).to_numpy(), list(table["sha256"]))


def _read(file: Path, folds: int) -> pd.DataFrame:
    """Read folds.csv as text, with every number checked."""
    faults: list[Fault] = []
    table = read_csv(file, faults)
    remedy = "restore the file, or choose another run folder (RUN=)"
    if table is not None and has_columns(table, COLUMNS, file, faults):
        for column in NUMBERS:
            limit, expected = (folds, f"fold of 0 to {folds - 1}") if column == "fold" else (2**63, "whole number")
            for row, cell in enumerate(table[column], start=2):
                if not NUMBER.fullmatch(cell) or not int(cell) < limit:
                    faults.append(Fault(str(file), f"no {expected}", remedy, row, column, cell))
    if faults:
        raise DataError([replace(fault, remedy=remedy) for fault in faults])
    return table


def _stamp(path: Path) -> tuple[int, int]:
    """Return size and time of a picture's file, by which a change shows without reading it."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
