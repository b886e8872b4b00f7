"""The rows of a run: read, checked as a whole before anything is trained, and dealt into folds, which the run keeps."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from pipeline.contract.faults import DataError, Fault, UserError
from pipeline.contract.files import write_text
from pipeline.contract.formats.registry import find_layout
from pipeline.contract.records import Annotation, ImageRow
from pipeline.contract.schema import Schema
from pipeline.data.folds import assign_folds, read_folds
from pipeline.data.survey import progress, survey
from pipeline.learning import ranks

FOLDS = "folds.csv"
Row = TypeVar("Row", bound=ImageRow)


@dataclass(frozen=True)
class TrainingSet:
    """Annotated rows with the fold (N,) of each; `fingerprint` stands for images and answers."""

    rows: list[Annotation]
    folds: np.ndarray
    fingerprint: str


def load_training_set(
    roots: Sequence[Path], schema: Schema, folds: int, run: Path, limit: int = 0, layout: str = "fashionai"
) -> TrainingSet:
    """Read the train roots and deal folds. The first call decodes every picture and raises DataError with all faults.

    `run`/folds.csv keeps the folds, so that later calls, and other steps of the run, need no second look.
    """
    faults: list[Fault] = []
    rows = sample_rows(find_layout(layout).read_annotations(roots, schema, faults), limit)
    file = run / FOLDS
    ids = [row.image_id for row in rows]
    if file.exists() and not faults:
        dealt = read_folds(file, ids, folds)
    else:
        found = survey(rows, progress("looking at images"))
        if faults + found.faults:
            raise DataError(faults + found.faults)
        dealt = assign_folds(rows, folds, found.hashes)
        if ranks.is_zero():
            write_text(file, pd.DataFrame({"image_id": ids, "fold": dealt}).to_csv(index=False, lineterminator="\n"))
    return TrainingSet(rows, dealt, fingerprint(rows))


def load_test_rows(folder: Path, schema: Schema, limit: int = 0, layout: str = "fashionai") -> list[ImageRow]:
    """Read the rows of a test folder and look at every picture; raises DataError with all faults."""
    faults: list[Fault] = []
    rows = sample_rows(find_layout(layout).read_test(folder, schema, faults), limit)
    faults += survey(rows, progress("looking at images")).faults
    if faults:
        raise DataError(faults)
    return rows


def sample_rows(rows: list[Row], limit: int) -> list[Row]:
    """Keep `limit` rows (0: all), chosen by hash of the file's name, in their order."""
    if limit < 0:
        raise UserError(f"--limit is {limit}; expected 0 (all images) or more")
    if limit == 0 or limit >= len(rows):
        return rows
    order = sorted(range(len(rows)), key=lambda i: hashlib.sha256(rows[i].path.name.encode()).digest())
    return [rows[i] for i in sorted(order[:limit])]


def fingerprint(rows: Sequence[ImageRow]) -> str:
    """Short hash of ids, categories and answers."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.image_id},{row.category}".encode())
        if isinstance(row, Annotation):
            digest.update(row.xy.tobytes() + row.visibility.tobytes())
    return digest.hexdigest()[:12]
