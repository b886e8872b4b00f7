"""boxed.csv: garments of photos by category and box, without points, and photos without any; for the detector alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.boxes import LARGEST
from garment_keypoints.pipeline.contract.formats.csv_files import NUMBER, has_columns, read_csv, wrong_id
from garment_keypoints.pipeline.contract.formats.fashionai import ID
from garment_keypoints.pipeline.contract.records import NOTHING, BoxedImage
from garment_keypoints.pipeline.contract.schema import Schema

PLACE = ["x0", "y0", "x1", "y1"]
COLUMNS = [ID, "category", *PLACE]
"""image_id is a path below the folder of the photos; the box is xyxy in pixels of the whole photo.

A photo without any garment has one row, of which all but image_id is empty.
"""


def write_boxed(file: Path, rows: Sequence[BoxedImage]) -> None:
    """Write the rows in their order."""
    cells = [(row.image_id, row.category, *([None] * 4 if row.category == NOTHING else row.box)) for row in rows]
    frame = pd.DataFrame(cells, columns=COLUMNS).astype(dict.fromkeys(PLACE, float))
    write_text(file, frame.to_csv(index=False, lineterminator="\n", float_format="%.2f"))


def read_boxed(file: Path, photos: Path, schema: Schema, without: bool = False) -> list[BoxedImage]:
    """Read the rows, several a photo too, whose pictures lie below the folder `photos`; with `without`, photos without garments.

    Raises DataError with every fault: columns, ids that leave the folder, unknown categories, boxes without area.
    """
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    rows: list[BoxedImage] = []
    seen: dict[str, int] = {}
    if frame is not None and has_columns(frame, COLUMNS, file, faults):
        for number, cells in enumerate(frame.to_dict("records"), start=2):
            fault = _fault(cells, schema, without)
            if fault:
                faults.append(Fault(str(file), fault[0], fault[1], number, value=cells[ID]))
                continue
            image_id = cells[ID]
            instance = seen[image_id] = seen.get(image_id, -1) + 1
            box = np.array([float(cells[name] or 0) for name in PLACE])
            rows.append(
                BoxedImage(
                    image_id, cells["category"], photos / image_id, box,
                    instance=instance, csv=str(file), csv_row=number,
                )
            )  # fmt: skip
    several = {row.image_id for row in rows if row.instance > 0}
    for row in rows:
        if row.category == NOTHING and row.image_id in several:
            remedy = "keep the others, or this one"
            problem = "photo without any garment that has other rows"
            faults.append(Fault(str(file), problem, remedy, row.csv_row, value=row.image_id))
    if faults:
        raise DataError(faults)
    return rows


def _fault(cells: dict[str, str], schema: Schema, without: bool) -> tuple[str, str] | None:
    """Say what is wrong with a row, and what was expected."""
    if wrong := wrong_id(cells[ID]):
        return wrong
    if without and not any(cells[name] for name in COLUMNS[1:]):
        return None
    if cells["category"] not in schema.categories:
        return f"category {cells['category']!r}", f"expected one of {', '.join(schema.categories)}"
    numbers = [cells[name] for name in PLACE]
    if not all(NUMBER.fullmatch(one) and abs(float(one)) <= LARGEST for one in numbers):
        return f"box {', '.join(numbers)}", "expected four numbers x0, y0, x1, y1 in pixels"
    x0, y0, x1, y1 = map(float, numbers)
    if x1 <= x0 or y1 <= y0:
        return f"box {', '.join(numbers)} without area", "expected x0 < x1 and y0 < y1"
    return None
