"""Annotation, boxes and submission CSV: the only parsing, the only rounding, the only "-1_-1_-1".

A cell is x_y_v with integers: v is 1 visible, 0 occluded, -1 absent. The integer is the continuous coordinate itself (the
data's range is 0 to 512 inclusive on pictures of 512 pixels); the writer rounds, and clips to the picture. FashionAI has one
garment a picture; where there are several, a column `instance` numbers them, after image_category.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.csv_files import (
    INSTANCE,
    duplicates,
    has_columns,
    read_csv,
    read_instances,
    wrong_id,
)
from garment_keypoints.pipeline.contract.records import ABSENT, Annotation, ImageRow, Key
from garment_keypoints.pipeline.contract.schema import Schema

ID, CATEGORY = "image_id", "image_category"
ABSENT_CELL = "-1_-1_-1"
CELL = re.compile(r"(-?[0-9]{1,9})_(-?[0-9]{1,9})_(-1|0|1)")

log = logging.getLogger(__name__)


def read_annotations(roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None) -> list[Annotation]:
    """Read every Annotations/*.csv of the train roots; a picture that stands in several of them is taken once.

    Raises DataError with all faults of all files: headers, cells, ids, categories, duplicates, missing images, no points.
    With a list of `faults` they are added to it instead, and the rows without faults returned.
    """
    raised, faults = faults is None, [] if faults is None else faults
    kept: dict[Key, Annotation] = {}
    repeated = 0
    for root in roots:
        files = sorted((Path(root) / "Annotations").glob("*.csv"))
        if not files:
            faults.append(Fault(f"{root}/Annotations", "no annotation CSV", "name a folder that has Annotations/*.csv"))
        for file in files:
            own = {row.key: row for row in read_rows(file, Path(root), schema, faults)}
            repeated += len(kept.keys() & own.keys())
            kept = kept | own | kept  # the first row of a garment counts, the order is that of the roots
    if raised and faults:
        raise DataError(faults)
    if repeated:
        log.warning("%d images stand in several annotation files; one row of each is used", repeated)
    return list(kept.values())


def read_answers(file: Path, schema: Schema, root: Path | None = None) -> list[Annotation]:
    """Read an answer CSV; images are not looked for, and rows may lack points."""
    faults: list[Fault] = []
    rows = read_rows(file, root or file.parent, schema, faults, answers=True)
    if faults:
        raise DataError(faults)
    return rows


def write_annotations(folder: Path, rows: Sequence[Annotation], sizes_wh: np.ndarray, schema: Schema) -> None:
    """Write FOLDER/Annotations/annotations.csv; coordinates are rounded to whole pixels, which is all that the form takes."""
    several = any(row.instance for row in rows)
    lines = [",".join(columns(schema, several))]
    for row in rows:
        points = np.concatenate([np.rint(row.xy).astype(int), row.visibility[:, None]], 1)
        cells = ["_".join(map(str, point)) if point[2] != ABSENT else ABSENT_CELL for point in points.tolist()]
        lines.append(",".join([row.image_id, row.category, *([str(row.instance)] if several else []), *cells]))
    write_text(Path(folder) / "Annotations" / "annotations.csv", "\n".join(lines) + "\n")


def read_test(folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
    """Read FOLDER/test.csv, whose images lie beside it; they are not looked for. Faults as in `read_annotations`."""
    raised, faults = faults is None, [] if faults is None else faults
    file = Path(folder) / "test.csv"
    rows: list[ImageRow] = []
    frame = read_csv(
        file, faults, "name a folder that has test.csv and Images/; for photos without a CSV there is `predict`"
    )
    if frame is not None and has_columns(frame, [ID, CATEGORY], file, faults, exact=False):
        instances = read_instances(frame, file, faults)
        lines = zip(frame[ID], frame[CATEGORY], instances, strict=True)
        for row, (image_id, category, instance) in enumerate(lines, start=2):
            found = check_row(file, row, image_id, category, schema)
            faults.extend(found)
            if not found:
                path, where = Path(folder) / image_id, {"csv": str(file), "csv_row": row}
                rows.append(ImageRow(image_id, category, path, instance=instance, **where))
        faults.extend(duplicates(file, list(frame[ID]), instances))
    if raised and faults:
        raise DataError(faults)
    return rows


def read_rows(file: Path, root: Path, schema: Schema, faults: list[Fault], answers: bool = False) -> list[Annotation]:
    """Read one CSV whose pictures lie below `root`, and add its faults to the list; of answers, pictures are not looked for."""
    frame = read_csv(file, faults)
    if frame is None or not has_columns(frame, columns(schema, INSTANCE in frame.columns), file, faults):
        return []
    instances = read_instances(frame, file, faults)
    faults.extend(duplicates(file, list(frame[ID]), instances))
    rows = []
    lines = zip(frame[ID], frame[CATEGORY], instances, frame[list(schema.keypoints)].to_numpy(), strict=True)
    for row, (image_id, category, instance, row_cells) in enumerate(lines, start=2):
        found = check_row(file, row, image_id, category, schema, None if answers else root)
        points = parse_cells(file, row, row_cells, schema, found)
        if not found:
            # Cells of other categories do not count, whatever they hold.
            points[~schema.mask[schema.category_index(category)].numpy()] = -1
            if not answers and (points[:, 2] == ABSENT).all():
                remedy = "annotate the picture, or drop the row"
                found.append(Fault(str(file), "row with no points", remedy, row, value=image_id))
        faults.extend(found)
        if not found:
            xy, visibility = points[:, :2].astype(float), points[:, 2].astype(np.int8)
            where = {"instance": instance, "csv": str(file), "csv_row": row}
            rows.append(Annotation(image_id, category, root / image_id, xy, visibility, **where))
    return rows


def columns(schema: Schema, several: bool) -> list[str]:
    """Return the columns of a CSV of points; with `several` garments a picture, one of them says which."""
    return [ID, CATEGORY, *([INSTANCE] if several else []), *schema.keypoints]


def check_row(
    file: Path, row: int, image_id: str, category: str, schema: Schema, root: Path | None = None
) -> list[Fault]:
    """Return the faults of a row's category and id; with a `root` the picture must be there."""
    faults = []
    if category not in schema.categories:
        expected = f"expected one of {', '.join(schema.categories)}"
        faults.append(Fault(str(file), "unknown category", expected, row, CATEGORY, category))
    if wrong := wrong_id(image_id):
        faults.append(Fault(str(file), wrong[0], wrong[1], row, ID, image_id))
    elif root is not None and not _is_file(root / image_id):
        faults.append(Fault(str(file), "missing image", f"expected the file below {root}", row, ID, image_id))
    return faults


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that this file system does not take, a folder that may not be read
        return False


def parse_cells(file: Path, row: int, cells: np.ndarray, schema: Schema, faults: list[Fault]) -> np.ndarray:
    """Return x, y, v (K, 3) of a row; faulty cells are reported and stand as absent."""
    points = np.full((len(schema.keypoints), 3), -1, dtype=int)
    for k, cell in enumerate(cells):
        match = CELL.fullmatch(cell)
        if match:
            points[k] = [int(group) for group in match.groups()]
        else:
            remedy = f"expected x_y_v, integers with v 1, 0 or -1, such as 120_88_1, or {ABSENT_CELL}"
            faults.append(Fault(str(file), "malformed cell", remedy, row, schema.keypoints[k], cell))
    return points
