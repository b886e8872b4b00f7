"""RUN/folds.csv: the pictures of a run, as they were when it began, and the fold of each.

Later steps need no second look at them: a picture whose size and time are as they were is the same; any other one is known
by the hash of its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.contract.faults import DataError, Fault, UserError
from pipeline.contract.files import write_text
from pipeline.contract.formats.csv_files import has_columns, read_csv
from pipeline.contract.records import ImageRow
from pipeline.data.survey import digest

FOLDS = "folds.csv"
NUMBERS = ["fold", "bytes", "mtime_ns", "width", "height"]
COLUMNS = ["image_id", *NUMBERS, "sha256"]


@dataclass(frozen=True)
class Dealt:
    """By row: the fold (N,), sizes_wh (N, 2) of the pictures, and the SHA-256 of their bytes."""

    folds: np.ndarray
    sizes_wh: np.ndarray
    digests: list[str]


def write_dealt(file: Path, rows: Sequence[ImageRow], dealt: Dealt) -> None:
    """Keep what a run begins with."""
    table = [
        (row.image_id, fold, *_stamp(row.path), *size_wh, sha256)
        for row, fold, size_wh, sha256 in zip(rows, dealt.folds, dealt.sizes_wh, dealt.digests, strict=True)
    ]
    write_text(file, pd.DataFrame(table, columns=COLUMNS).to_csv(index=False, lineterminator="\n"))


def read_dealt(file: Path, rows: Sequence[ImageRow], folds: int) -> Dealt:
    """Return what a run began with. Raises UserError for other rows, another number of folds, and pictures that changed."""
    table = _read(file)
    dealt = table["fold"].astype(int).to_numpy()
    if list(table["image_id"]) != [row.image_id for row in rows] or set(dealt) != set(range(folds)):
        raise UserError(f"{file} deals other images or another number of folds; choose another run folder (RUN=)")
    stamps = zip(table["bytes"].astype(int), table["mtime_ns"].astype(int), strict=True)
    changed = [
        row.image_id
        for row, stamp, sha256 in zip(rows, stamps, table["sha256"], strict=True)
        if _stamp(row.path) != stamp and digest(row.path) != sha256
    ]
    if changed:
        raise UserError(
            f"{file}: {len(changed)} pictures have changed since this run began, first {changed[0]}; put them back, or "
            "choose another run folder (RUN=)"
        )
    return Dealt(dealt, table[["width", "height"]].astype(int).to_numpy(), list(table["sha256"]))


def _read(file: Path) -> pd.DataFrame:
    faults: list[Fault] = []
    table = read_csv(file, faults)
    if table is not None and has_columns(table, COLUMNS, file, faults):
        for column in NUMBERS:
            wrong = ~table[column].str.fullmatch("[0-9]{1,19}")
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                faults.append(Fault(str(file), "no number", "", row + 2, column, table[column][row]))
    if faults:
        remedy = "it was damaged, or an older version wrote it; choose another run folder (RUN=), or remove this one"
        raise DataError([Fault(f.file, f.problem, remedy, f.row, f.column, f.value) for f in faults])
    return table


def _stamp(path: Path) -> tuple[int, int]:
    """Return size and time of a picture's file, by which a change shows without reading it."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
