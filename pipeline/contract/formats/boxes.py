"""boxes.csv: the file through which the second stage depends on the first.

A box is keyed by image_id and instance; files from before there were several garments a picture lack the column. The record
beside it, boxes.json, says the margin of the detector whose boxes they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.contract.formats.csv_files import (
    INSTANCE,
    NUMBER,
    WHOLE,
    duplicates,
    has_columns,
    read_csv,
    read_instances,
    wrong_id,
)
from garment_keypoints.pipeline.contract.formats.fashionai import ID
from garment_keypoints.pipeline.contract.records import BoxRow
from garment_keypoints.pipeline.contract.schema import Schema

PLACE = ["x0", "y0", "x1", "y1", "score"]
BOX_COLUMNS = [ID, INSTANCE, "category", *PLACE, "source", "fold", "checkpoint", "fallback"]

MARGIN = "margin"
"""In the record: by how much of its sides a true box was grown, for the detector to find it so."""
LARGEST = 1e9
"""Beyond any picture, and exact enough in float32 to have an area."""


def write_boxes(path: Path, boxes: Sequence[BoxRow]) -> None:
    """Write boxes.csv, in the order given."""
    frame = pd.DataFrame(
        [(*b.key, b.category, *b.box, b.score, b.source, b.fold, b.checkpoint, int(b.fallback)) for b in boxes],
        columns=BOX_COLUMNS,
    )
    write_text(path, frame.to_csv(index=False, lineterminator="\n", float_format="%.3f"))


def read_boxes(file: Path, schema: Schema) -> list[BoxRow]:
    """Read boxes.csv; raises DataError for missing columns, NaN, boxes without area, unknown categories and sources.

    Without the column `instance` every box is of instance 0.
    """
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    boxes: list[BoxRow] = []
    if frame is not None and INSTANCE not in frame.columns:
        frame.insert(1, INSTANCE, "0")
    if frame is not None and has_columns(frame, BOX_COLUMNS, file, faults):
        faults.extend(duplicates(file, list(frame[ID]), read_instances(frame, file, [])))
        for row, record in enumerate(frame.to_dict("records"), start=2):
            try:
                boxes.append(_parse_box(record, schema))
            except ValueError as error:
                remedy = "write the file again with the boxes command"
                faults.append(Fault(str(file), f"bad box ({error})", remedy, row, value=record[ID]))
    if faults:
        raise DataError(faults)
    return boxes


def read_margin(file: Path, otherwise: float | None = None) -> float:
    """Return the margin of the detector whose boxes are in a file: what the record beside it says.

    Records from before it was named there say it among the settings. Where nothing does, it is `otherwise`; without that
    UserError is raised.
    """
    record = file.with_suffix(".json")
    content: Any = json_object(record) if record.is_file() else {}
    old = content
    for name in ("settings", "detector", MARGIN):
        old = old.get(name) if isinstance(old, dict) else None
    margin = content.get(MARGIN, old) if isinstance(content, dict) else None
    margin = otherwise if margin is None else margin
    if type(margin) not in (int, float) or not 0 <= margin <= 1:
        raise UserError(
            f"{record}: expected {MARGIN}, the detector.margin of the boxes in {file.name}; write it there, such as "
            f'{{"{MARGIN}": 0.05}}'
        )
    return float(margin)


def _parse_box(record: dict[str, str], schema: Schema) -> BoxRow:
    """Return the box of a row of boxes.csv; raises ValueError naming the column."""
    schema.category_index(record["category"])
    if wrong := wrong_id(record[ID]):
        raise UserError(wrong[0])
    numbers = [_number(record, column) for column in PLACE]
    instance, fold = _whole(record, INSTANCE, 0, "0, 1, 2 ..."), _whole(record, "fold", -1, "-1, 0, 1 ...")
    if record["fallback"] not in ("0", "1"):
        raise UserError(f"fallback is {record['fallback']!r}, expected 0 or 1")
    made = record["source"], fold, record["checkpoint"], record["fallback"] == "1"
    box = np.array(numbers[:4])
    return BoxRow(record[ID], record["category"], box, numbers[4], *made, instance=instance)


def _number(record: dict[str, str], column: str) -> float:
    if not NUMBER.fullmatch(record[column]) or abs(float(record[column])) > LARGEST:
        raise UserError(f"{column} is {record[column]!r}, expected a number")
    return float(record[column])


def _whole(record: dict[str, str], column: str, least: int, expected: str) -> int:
    if not WHOLE.fullmatch(record[column]) or int(record[column]) < least:
        raise UserError(f"{column} is {record[column]!r}, expected {expected}")
    return int(record[column])
