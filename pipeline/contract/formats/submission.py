"""Submission CSV: the only rounding. A cell is x_y_1, or -1_-1_-1 for keypoints that the category does not have.

Where a picture has several garments, a column `instance` says which one a row is of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.csv_files import (
    INSTANCE,
    duplicates,
    has_columns,
    read_csv,
    read_instances,
)
from garment_keypoints.pipeline.contract.formats.fashionai import (
    ABSENT_CELL,
    CATEGORY,
    ID,
    check_row,
    columns,
    parse_cells,
)
from garment_keypoints.pipeline.contract.records import ABSENT, ImageRow, Key
from garment_keypoints.pipeline.contract.schema import Schema


def write_submission(
    path: Path,
    rows: Sequence[ImageRow],
    xy: np.ndarray,
    sizes_wh: np.ndarray,
    schema: Schema,
    given: np.ndarray | None = None,
) -> None:
    """Write points xy (N, K, 2) in image pixels, rounded and clipped to sizes_wh (N, 2), in the order of the rows.

    A row that is not `given` (N,) has no prediction: all its cells say so.
    """
    given = np.ones(len(rows), dtype=bool) if given is None else given
    xy = np.where(given[:, None, None], xy, 0)
    if xy.shape != (len(rows), len(schema.keypoints), 2) or not np.isfinite(xy).all():
        raise ValueError(f"{path}: {len(rows)} rows need finite points {(len(rows), len(schema.keypoints), 2)}")
    points = np.clip(np.rint(xy), 0, sizes_wh[:, None, :]).astype(int)
    lines, several = [], any(row.instance for row in rows)
    for row, row_points, predicted in zip(rows, points, given, strict=True):
        members = schema.members[row.category] if predicted else ()
        cells = [f"{x}_{y}_1" if k in members else ABSENT_CELL for k, (x, y) in enumerate(row_points)]
        lines.append([row.image_id, row.category, *([row.instance] if several else []), *cells])
    frame = pd.DataFrame(lines, columns=columns(schema, several))
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


@dataclass(frozen=True, eq=False)
class SubmittedRow:
    """A row of a submission: xy (K, 2) in image pixels, given (K,) bool (False for -1_-1_-1), its category and row."""

    xy: np.ndarray
    given: np.ndarray
    category: str
    csv_row: int


def read_submission(file: Path, schema: Schema) -> dict[Key, SubmittedRow]:
    """Read predictions by image id and instance. Raises DataError with all faults.

    Any cell but -1_-1_-1 is a prediction, whatever its v and wherever it lies; only a cell that takes itself back, such as
    0_0_-1, is refused: nobody can tell whether it is one. Cells of other categories do not count, whatever they hold.
    """
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    predictions = {}
    if frame is not None and has_columns(frame, columns(schema, INSTANCE in frame.columns), file, faults):
        instances = read_instances(frame, file, faults)
        faults.extend(duplicates(file, list(frame[ID]), instances))
        lines = zip(frame[ID], frame[CATEGORY], instances, frame[list(schema.keypoints)].to_numpy(), strict=True)
        for row, (image_id, category, instance, row_cells) in enumerate(lines, start=2):
            found = check_row(file, row, image_id, category, schema)
            points = parse_cells(file, row, row_cells, schema, found)
            given = np.array([cell != ABSENT_CELL for cell in row_cells])
            if not found:
                found += _taken_back(file, row, row_cells, points, given, schema, category)
            faults.extend(found)
            predictions[image_id, instance] = SubmittedRow(points[:, :2].astype(float), given, category, row)
    if faults:
        raise DataError(faults)
    return predictions


def _taken_back(
    file: Path, row: int, cells: np.ndarray, points: np.ndarray, given: np.ndarray, schema: Schema, category: str
) -> list[Fault]:
    """Return a fault for each point of the category that is absent by its v and has a position all the same."""
    odd = given & (points[:, 2] == ABSENT) & schema.mask[schema.category_index(category)].numpy()
    remedy = f"write x_y_1 for a prediction, {ABSENT_CELL} for none"
    problem = "cell that is absent by its v and has a position"
    return [Fault(str(file), problem, remedy, row, schema.keypoints[k], cells[k]) for k in np.flatnonzero(odd)]
