"""Submission CSV: the only rounding. A cell is x_y_1, or -1_-1_-1 for keypoints that the category does not have."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.contract.faults import DataError, Fault
from pipeline.contract.files import write_text
from pipeline.contract.formats.csv_files import duplicates, has_columns, read_csv
from pipeline.contract.formats.fashionai import ABSENT_CELL, CATEGORY, ID, parse_cells
from pipeline.contract.records import ImageRow
from pipeline.contract.schema import Schema


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
    lines = []
    for row, row_points, predicted in zip(rows, points, given, strict=True):
        members = schema.members[row.category] if predicted else ()
        cells = [f"{x}_{y}_1" if k in members else ABSENT_CELL for k, (x, y) in enumerate(row_points)]
        lines.append([row.image_id, row.category, *cells])
    write_text(
        path, pd.DataFrame(lines, columns=[ID, CATEGORY, *schema.keypoints]).to_csv(index=False, lineterminator="\n")
    )


def read_submission(file: Path, schema: Schema) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read predictions by image id: xy (K, 2) in image pixels and given (K,) bool, False for -1_-1_-1."""
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    predictions = {}
    if frame is not None and has_columns(frame, [ID, CATEGORY, *schema.keypoints], file, faults):
        faults.extend(duplicates(file, list(frame[ID])))
        cells = frame[list(schema.keypoints)].to_numpy()
        for row, (image_id, row_cells) in enumerate(zip(frame[ID], cells, strict=True), start=2):
            points = parse_cells(file, row, row_cells, schema, faults)
            given = np.array([cell != ABSENT_CELL for cell in row_cells])
            predictions[image_id] = (points[:, :2].astype(float), given)
    if faults:
        raise DataError(faults)
    return predictions
