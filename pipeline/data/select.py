"""The rows of a run: read, checked as a whole before anything is trained, and put into folds, which the run keeps."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from garment_keypoints.pipeline.contract.boxes import BoxTable, matched
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.formats.boxed import read_boxed
from garment_keypoints.pipeline.contract.formats.pseudo_points import BOXED, read_pseudo_points
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, BoxedImage, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.fold_file import FOLDS, FoldAssignment, read_assignment, write_assignment
from garment_keypoints.pipeline.data.folds import assign_folds
from garment_keypoints.pipeline.data.survey import digest, image_sizes, progress, survey
from garment_keypoints.pipeline.learning import ranks

Row = TypeVar("Row", bound=ImageRow)


@dataclass(frozen=True, kw_only=True)
class RowSet:
    """Rows, with sizes_wh (N, 2) and the SHA-256 of their pictures."""

    rows: Sequence[ImageRow]
    sizes_wh: np.ndarray
    digests: list[str]

    @property
    def fingerprint(self) -> str:
        """Short hash of ids, instances, categories, answers or boxes, and the pictures' bytes."""
        everything = hashlib.sha256()
        for row, sha256 in zip(self.rows, self.digests, strict=True):
            everything.update(f"{row.image_id},{row.category},{sha256}".encode())
            if row.instance:
                everything.update(f",{row.instance}".encode())
            if isinstance(row, Annotation):
                everything.update(row.xy.tobytes() + row.visibility.tobytes())
            if isinstance(row, BoxedImage):
                everything.update(row.box.tobytes())
        return everything.hexdigest()[:12]

    @classmethod
    def by_headers(cls, rows: Sequence[ImageRow], pictures: PictureOptions | None = None) -> "RowSet":
        """Return rows with their pictures' sizes and hashes, without a look at the pixels; raises DataError naming the file."""
        sizes_wh = image_sizes(rows, pictures)
        return cls(rows=rows, sizes_wh=sizes_wh, digests=[digest(row.path) for row in rows])

    @classmethod
    def joined(cls, sets: "Sequence[RowSet]") -> "RowSet":
        """Return the rows of several sets, one after the other."""
        return cls(
            rows=[row for one in sets for row in one.rows],
            sizes_wh=np.concatenate([one.sizes_wh for one in sets]),
            digests=[digest for one in sets for digest in one.digests],
        )

    def take(self, chosen: Sequence[int] | np.ndarray) -> "RowSet":
        rows, digests = [self.rows[i] for i in chosen], [self.digests[i] for i in chosen]
        return RowSet(rows=rows, sizes_wh=self.sizes_wh[list(chosen)], digests=digests)


@dataclass(frozen=True, kw_only=True)
class TrainingSet(RowSet):
    """Annotated rows with the fold (N,) of each."""

    rows: Sequence[Annotation]
    folds: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PredictionSet(RowSet):
    """The rows of a test folder; `unread` says of those that are skipped why."""

    unread: dict[int, str]


def load_training_set(
    roots: Sequence[Path],
    schema: Schema,
    folds: int,
    run: Path,
    limit: int = 0,
    layout: str = "fashionai",
    pictures: PictureOptions | None = None,
) -> TrainingSet:
    """Read the train roots and deal folds. The first call decodes every picture and raises DataError with all faults.

    `run`/folds.csv keeps what it found, so that later calls, and other steps of the run, need no second look.
    """
    faults: list[Fault] = []
    rows = sample_rows(find_layout(layout).read_annotations(roots, schema, faults), limit)
    file = run / FOLDS
    if file.exists() and not faults:
        assignment = read_assignment(file, rows, folds)
    else:
        found = survey(rows, progress("looking at images"), pictures)
        if faults + found.faults:
            raise DataError(faults + found.faults)
        assignment = FoldAssignment(assign_folds(rows, folds, found.hashes), found.sizes_wh, found.digests)
        if ranks.is_zero() and not write_assignment(file, rows, assignment):
            assignment = read_assignment(file, rows, folds)
    return TrainingSet(rows=rows, folds=assignment.folds, sizes_wh=assignment.sizes_wh, digests=assignment.digests)


def load_boxed(
    file: Path,
    photos: Path,
    schema: Schema,
    limit: int = 0,
    pictures: PictureOptions | None = None,
    without: bool = False,
) -> RowSet:
    """Read garments that have a box and no points, and decode every photo; raises DataError with all faults.

    `without` allows photos without any garment.
    """
    rows = sample_rows(read_boxed(file, photos, schema, without), limit)
    found = survey(rows, progress("looking at photos"), pictures)
    if found.faults:
        raise DataError(found.faults)
    return RowSet(rows=rows, sizes_wh=found.sizes_wh, digests=found.digests)


def load_pseudo_points(
    folder: Path,
    photos: Path,
    schema: Schema,
    label_weight: float,
    limit: int = 0,
    pictures: PictureOptions | None = None,
) -> tuple[RowSet, BoxTable]:
    """Read garments whose points a network placed, and their boxes, and decode every photo; raises DataError with all faults."""
    rows, boxes = read_pseudo_points(folder, photos, schema, label_weight)
    rows = sample_rows(rows, limit)
    found = survey(rows, progress("looking at photos"), pictures)
    if found.faults:
        raise DataError(found.faults)
    table = matched(rows, boxes, folder / BOXED)
    return RowSet(rows=rows, sizes_wh=found.sizes_wh, digests=found.digests), table


def load_test_rows(
    folder: Path,
    schema: Schema,
    limit: int = 0,
    layout: str = "fashionai",
    pictures: PictureOptions | None = None,
    skip: bool = False,
) -> PredictionSet:
    """Read the rows of a test folder and look at every picture; raises DataError with all faults.

    With `skip`, a picture that cannot be read is none, as long as another one can.
    """
    faults: list[Fault] = []
    rows = sample_rows(find_layout(layout).read_test(folder, schema, faults), limit)
    found = survey(rows, progress("looking at images"), pictures)
    unread = found.faults_by_row if skip and len(found.faults_by_row) < len(rows) else {}
    faults += [] if unread else found.faults
    if faults:
        raise DataError(faults)
    reasons = {i: str(one[0]) for i, one in unread.items()}
    return PredictionSet(rows=rows, sizes_wh=found.sizes_wh, digests=found.digests, unread=reasons)


def sample_rows(rows: list[Row], limit: int) -> list[Row]:
    """Keep `limit` rows (0: all), chosen by hash of the file's name, in their order."""
    if limit < 0:
        raise UserError(f"--limit is {limit}; expected 0 (all images) or more")
    if limit == 0 or limit >= len(rows):
        return rows
    order = sorted(range(len(rows)), key=lambda i: hashlib.sha256(rows[i].path.name.encode()).digest())
    return [rows[i] for i in sorted(order[:limit])]
