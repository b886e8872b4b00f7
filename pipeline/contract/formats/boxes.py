"""boxes.csv: the file through which the second stage depends on the first."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.contract.faults import DataError, Fault
from pipeline.contract.files import write_text
from pipeline.contract.formats.csv_files import duplicates, has_columns, read_csv
from pipeline.contract.formats.fashionai import ID
from pipeline.contract.records import Detection
from pipeline.contract.schema import Schema

BOX_COLUMNS = ["image_id", "category", "x0", "y0", "x1", "y1", "score", "source", "fold", "checkpoint", "fallback"]


def write_boxes(path: Path, boxes: Sequence[Detection]) -> None:
    """Write boxes.csv, in the order given."""
    frame = pd.DataFrame(
        [(b.image_id, b.category, *b.box, b.score, b.source, b.fold, b.checkpoint, int(b.fallback)) for b in boxes],
        columns=BOX_COLUMNS,
    )
    write_text(path, frame.to_csv(index=False, float_format="%.3f"))


def read_boxes(file: Path, schema: Schema) -> list[Detection]:
    """Read boxes.csv; raises DataError for missing columns, NaN, boxes without area, unknown categories and sources."""
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    boxes: list[Detection] = []
    if frame is not None and has_columns(frame, BOX_COLUMNS, file, faults):
        faults.extend(duplicates(file, list(frame[ID])))
        for row, record in enumerate(frame.to_dict("records"), start=2):
            try:
                boxes.append(_parse_box(record, schema))
            except ValueError as error:
                remedy = "write the file again with the boxes command"
                faults.append(Fault(str(file), f"bad box ({error})", remedy, row, value=record[ID]))
    if faults:
        raise DataError(faults)
    return boxes


def _parse_box(record: dict[str, str], schema: Schema) -> Detection:
    """Return the box of a row of boxes.csv; raises ValueError naming the column."""
    schema.category_index(record["category"])
    number = {}
    for column in ("x0", "y0", "x1", "y1", "score", "fold", "fallback"):
        try:
            number[column] = float(record[column])
        except ValueError:
            number[column] = np.nan
        if not np.isfinite(number[column]):
            raise ValueError(f"{column} is {record[column]!r}, expected a number")
    box = np.array([number[c] for c in ("x0", "y0", "x1", "y1")])
    fold, fallback = int(number["fold"]), bool(number["fallback"])
    names = record[ID], record["category"]
    return Detection(*names, box, number["score"], record["source"], fold, record["checkpoint"], fallback)
