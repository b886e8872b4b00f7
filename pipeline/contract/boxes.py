"""Boxes of a run's rows, one a row: read from a file and matched once, then a table beside the rows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.records import BoxRow, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema


@dataclass(frozen=True, eq=False)
class BoxTable:
    """A box for each of N rows: `boxes` (N, 4) float64 xyxy in image pixels, and by row (N,) where it came from.

    `score` of the detector; `fold` that it had not seen (-1: not out of fold); `fallback` tells that the whole image stands in
    for a box that was not found; `source` and `checkpoint` are texts.
    """

    boxes: np.ndarray
    score: np.ndarray
    fold: np.ndarray
    fallback: np.ndarray
    source: np.ndarray
    checkpoint: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[BoxRow]) -> "BoxTable":
        """Return rows of boxes.csv as a table, in their order."""
        boxes = np.array([row.box for row in rows], dtype=np.float64).reshape(-1, 4)
        others = [field.name for field in fields(cls)[1:]]
        return cls(boxes, *(np.array([getattr(row, name) for row in rows]) for name in others))

    @classmethod
    def joined(cls, tables: "Sequence[BoxTable]") -> "BoxTable":
        """Return the boxes of several tables, one after the other."""
        return cls(*(np.concatenate([getattr(one, field.name) for one in tables]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, chosen: Sequence[int] | np.ndarray) -> "BoxTable":
        """Return the boxes of the chosen rows, by position."""
        return BoxTable(*(getattr(self, field.name)[np.asarray(chosen, dtype=np.int64)] for field in fields(self)))

    def moved(self, boxes: np.ndarray) -> "BoxTable":
        """Return the same rows with other boxes (N, 4): the fold of a row does not hang on its box."""
        return replace(self, boxes=np.asarray(boxes, dtype=np.float64))


def read_matched(file: Path, rows: Sequence[ImageRow], schema: Schema) -> BoxTable:
    """Read a file of boxes and return each row's; raises DataError, which names the file, where rows have none."""
    return matched(rows, read_boxes(file, schema), file)


def matched(rows: Sequence[ImageRow], found: Sequence[BoxRow], file: Path) -> BoxTable:
    """Return each row's box among those `found`, by image and instance.

    Raises DataError, which names the boxes' `file`, when rows have none or the categories differ.
    """
    by_key = {box.key: box for box in found}
    missing = [row.named for row in rows if row.key not in by_key]
    if missing:
        what = "garments" if any(row.instance for row in rows) else "images"
        problem = f"no box for {len(missing)} of {len(rows)} {what}"
        remedy = "write the boxes of this data set with the boxes command"
        raise DataError([Fault(str(file), problem, remedy, value=", ".join(missing[:3]))])
    other = [row.named for row in rows if by_key[row.key].category != row.category]
    if other:
        problem = f"the category of {len(other)} boxes is not their image's"
        raise DataError([Fault(str(file), problem, "write the boxes again", value=", ".join(other[:3]))])
    return BoxTable.of([by_key[row.key] for row in rows])
