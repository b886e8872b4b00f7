"""Pseudo-labels: a folder of garments whose points a network placed, for another one to learn from, points.csv and boxed.csv.

points.csv is an annotation CSV (contract/formats/fashionai.py) in which a point that is not to be learned from is absent;
boxed.csv has the box of each of its rows (contract/formats/boxed.py). The ids are paths below a folder of photos.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.boxed import read_boxed, write_boxed
from garment_keypoints.pipeline.contract.formats.fashionai import ABSENT_CELL, CATEGORY, ID, read_rows
from garment_keypoints.pipeline.contract.records import Annotation, BoxedImage, BoxRow
from garment_keypoints.pipeline.contract.schema import Schema

POINTS, BOXED, RECORD = "points.csv", "boxed.csv", "points.json"
PSEUDO_POINTS = "pseudo_points"
"""What stands for the checkpoint that such a row's box comes from."""


def write_pseudo_points(
    folder: Path, rows: Sequence[BoxedImage], xy: np.ndarray, given: np.ndarray, sizes_wh: np.ndarray, schema: Schema
) -> None:
    """Write the rows with their points xy (N, K, 2) in image pixels, rounded and clipped to sizes_wh (N, 2), where `given`."""
    points = np.clip(np.rint(xy), 0, sizes_wh[:, None, :]).astype(int)
    lines = []
    for row, row_points, row_given in zip(rows, points, given, strict=True):
        cells = [f"{x}_{y}_1" if here else ABSENT_CELL for (x, y), here in zip(row_points, row_given, strict=True)]
        lines.append([row.image_id, row.category, *cells])
    frame = pd.DataFrame(lines, columns=[ID, CATEGORY, *schema.keypoints])
    write_boxed(folder / BOXED, rows)
    write_text(folder / POINTS, frame.to_csv(index=False, lineterminator="\n"))


def read_pseudo_points(
    folder: Path, photos: Path, schema: Schema, label_weight: float
) -> tuple[list[Annotation], list[BoxRow]]:
    """Read the rows, whose points weigh `label_weight`, and the box of each. Raises DataError with all faults of both files."""
    faults: list[Fault] = []
    file = folder / POINTS
    rows = [replace(row, label_weight=label_weight) for row in read_rows(file, photos, schema, faults)]
    if faults:
        raise DataError(faults)
    boxes = {row.key: row for row in read_boxed(folder / BOXED, photos, schema)}
    for row in rows:
        box = boxes.get(row.key)
        if box is None or box.category != row.category:
            problem = "row without a box" if box is None else f"category that is {box.category!r} in {BOXED}"
            remedy = "write both files again with the pseudo-points command"
            faults.append(Fault(str(file), problem, remedy, row.csv_row, value=row.image_id))
    if faults:
        raise DataError(faults)
    found = [
        BoxRow(row.image_id, row.category, boxes[row.key].box, 1.0, "detector", -1, PSEUDO_POINTS, False)
        for row in rows
    ]
    return rows, found
