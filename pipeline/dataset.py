"""The rows of a run: read, checked as a whole before anything is trained, and dealt into folds, which the run keeps."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track

from pipeline.contract import tables
from pipeline.contract.faults import DataError, Fault
from pipeline.contract.records import ABSENT, OCCLUDED, VISIBLE, Annotation, ImageRow
from pipeline.contract.schema import Schema
from pipeline.contract.splits import assign_folds, near_duplicates, survey

FOLDS = "folds.csv"
ORIENTATION = 0x0112  # the EXIF tag; values from 5 on turn by 90 degrees
Row = TypeVar("Row", bound=ImageRow)


@dataclass(frozen=True)
class TrainingSet:
    """Annotated rows with the fold (N,) of each; `fingerprint` stands for images and answers."""

    rows: list[Annotation]
    folds: np.ndarray
    fingerprint: str


def load_training_set(roots: Sequence[Path], schema: Schema, folds: int, run: Path, limit: int = 0) -> TrainingSet:
    """Read the train roots and deal folds. The first call decodes every picture and raises DataError with all faults.

    `run`/folds.csv keeps the folds, so that later calls, and other steps of the run, need no second look.
    """
    faults: list[Fault] = []
    rows = sample_rows(tables.read_annotations(roots, schema, faults), limit)
    file = run / FOLDS
    ids = [row.image_id for row in rows]
    if file.exists() and not faults:
        known = pd.read_csv(file, dtype={"image_id": str})
        if list(known["image_id"]) != ids or known["fold"].max() + 1 != folds:
            raise ValueError(f"{file} deals other images or another number of folds; choose another run folder (RUN=)")
        dealt = known["fold"].to_numpy()
    else:
        found = survey(rows, _progress("looking at images"))
        if faults + found.faults:
            raise DataError(faults + found.faults)
        dealt = assign_folds(rows, folds, found.hashes)
        tables.write_text(file, pd.DataFrame({"image_id": ids, "fold": dealt}).to_csv(index=False))
    return TrainingSet(rows, dealt, fingerprint(rows))


def load_test_rows(folder: Path, schema: Schema, limit: int = 0) -> list[ImageRow]:
    """Read FOLDER/test.csv and look at every picture; raises DataError with all faults."""
    faults: list[Fault] = []
    rows = sample_rows(tables.read_test(folder, schema, faults), limit)
    faults += survey(rows, _progress("looking at images")).faults
    if faults:
        raise DataError(faults)
    return rows


def sample_rows(rows: list[Row], limit: int) -> list[Row]:
    """Keep `limit` rows (0: all), chosen by hash of the file's name, in their order."""
    if limit <= 0 or limit >= len(rows):
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


def check(
    roots: Sequence[Path], test: Path | None, answers: Path | None, schema: Schema
) -> tuple[list[str], list[Fault]]:
    """Look at everything a dataset consists of; return lines that describe it, and all faults."""
    lines: list[str] = []
    faults: list[Fault] = []
    if roots:
        rows = tables.read_annotations(roots, schema, faults)
        lines += _describe(rows, ", ".join(map(str, roots)), schema, faults)
    if test is not None:
        lines += _describe(tables.read_test(test, schema, faults), str(test), schema, faults)
    if answers is not None:
        try:
            lines.append(f"{answers}: {len(tables.read_answers(answers, schema))} answers")
        except DataError as error:
            faults.extend(error.faults)
    return lines, faults


def _describe(rows: Sequence[ImageRow], name: str, schema: Schema, faults: list[Fault]) -> list[str]:
    if not rows:
        return [f"{name}: no readable row"]
    found = survey(rows, _progress("looking at images"))
    faults.extend(found.faults)
    categories = Counter(row.category for row in rows)
    lines = [f"{name}: {len(rows)} images, " + ", ".join(f"{c} {categories[c]}" for c in schema.categories)]
    groups = len(set(near_duplicates(found.hashes).tolist()))
    (w0, h0), (w1, h1) = found.sizes_wh.min(0), found.sizes_wh.max(0)
    lines.append(f"  sizes {w0}x{h0} to {w1}x{h1} pixels, {len(rows) - groups} near-duplicates of others")
    annotated = [row for row in rows if isinstance(row, Annotation)]
    if annotated:
        visibility = np.stack([row.visibility for row in annotated])
        possible = sum(len(schema.members[row.category]) for row in annotated)
        absent = possible - int((visibility != ABSENT).sum())
        counts = (visibility == VISIBLE).sum(), (visibility == OCCLUDED).sum()
        lines.append(f"  points: {counts[0]} visible, {counts[1]} occluded, {absent} of the category absent")
    return lines


def _progress(description: str) -> Callable[[Iterable, int], Iterable]:
    return lambda items, total: track(items, description, total)


def image_sizes(rows: Sequence[ImageRow]) -> np.ndarray:
    """Return the sizes_wh (N, 2) of the rows' pictures as EXIF turns them, from their headers alone."""
    sizes = []
    for row in rows:
        with Image.open(row.path) as image:
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            sizes.append(image.size[::-1] if turned else image.size)
    return np.array(sizes)
