"""Annotation, boxes and submission CSV: the only parsing, the only rounding, the only "-1_-1_-1".

A cell is x_y_v with integers: v is 1 visible, 0 occluded, -1 absent. The integer is the continuous coordinate itself (the
data's range is 0 to 512 inclusive on pictures of 512 pixels); the writer rounds, and clips to the picture.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from pipeline.contract.csv_files import duplicates, has_columns, read_csv, write_text
from pipeline.contract.faults import DataError, Fault
from pipeline.contract.records import ABSENT, Annotation, Detection, ImageRow
from pipeline.contract.schema import Schema

ID, CATEGORY = "image_id", "image_category"
ABSENT_CELL = "-1_-1_-1"
CELL = re.compile(r"(-?\d{1,9})_(-?\d{1,9})_(-1|0|1)")
BOX_COLUMNS = ["image_id", "category", "x0", "y0", "x1", "y1", "score", "source", "fold", "checkpoint", "fallback"]

log = logging.getLogger(__name__)


def read_annotations(roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None) -> list[Annotation]:
    """Read every Annotations/*.csv of the train roots; a picture that stands in several of them is taken once.

    Raises DataError with all faults of all files: headers, cells, ids, categories, duplicates, missing images, no points.
    With a list of `faults` they are added to it instead, and the rows without faults returned.
    """
    raised, faults = faults is None, [] if faults is None else faults
    kept: dict[str, Annotation] = {}
    repeated = 0
    for root in roots:
        files = sorted((Path(root) / "Annotations").glob("*.csv"))
        if not files:
            faults.append(Fault(f"{root}/Annotations", "no annotation CSV", "name a folder that has Annotations/*.csv"))
        for file in files:
            own = {row.image_id: row for row in _read_rows(file, Path(root), schema, faults)}
            repeated += len(kept.keys() & own.keys())
            kept = kept | own | kept  # the first row of a picture counts, the order is that of the roots
    if raised and faults:
        raise DataError(faults)
    if repeated:
        log.warning("%d images stand in several annotation files; one row of each is used", repeated)
    return list(kept.values())


def read_answers(file: Path, schema: Schema, root: Path | None = None) -> list[Annotation]:
    """Read an answer CSV; images are not looked for, and rows may lack points."""
    faults: list[Fault] = []
    rows = _read_rows(file, root or file.parent, schema, faults, answers=True)
    if faults:
        raise DataError(faults)
    return rows


def read_test(folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
    """Read FOLDER/test.csv, whose images lie beside it. Faults as in `read_annotations`."""
    raised, faults = faults is None, [] if faults is None else faults
    file = Path(folder) / "test.csv"
    rows: list[ImageRow] = []
    frame = read_csv(file, faults)
    if frame is not None and has_columns(frame, [ID, CATEGORY], file, faults, exact=False):
        for row, (image_id, category) in enumerate(zip(frame[ID], frame[CATEGORY], strict=True), start=2):
            found = _check_row(file, row, image_id, category, Path(folder), schema, seek_image=True)
            faults.extend(found)
            if not found:
                rows.append(ImageRow(image_id, category, Path(folder) / image_id, csv=str(file), csv_row=row))
        faults.extend(duplicates(file, list(frame[ID])))
    if raised and faults:
        raise DataError(faults)
    return rows


def write_submission(
    path: Path, rows: Sequence[ImageRow], xy: np.ndarray, sizes_wh: np.ndarray, schema: Schema
) -> None:
    """Write points xy (N, K, 2) in image pixels, rounded and clipped to sizes_wh (N, 2), in the order of the rows."""
    if xy.shape != (len(rows), len(schema.keypoints), 2) or not np.isfinite(xy).all():
        raise ValueError(f"{path}: {len(rows)} rows need finite points {(len(rows), len(schema.keypoints), 2)}")
    points = np.clip(np.rint(xy), 0, sizes_wh[:, None, :]).astype(int)
    lines = []
    for row, row_points in zip(rows, points, strict=True):
        members = schema.members[row.category]
        cells = [f"{x}_{y}_1" if k in members else ABSENT_CELL for k, (x, y) in enumerate(row_points)]
        lines.append([row.image_id, row.category, *cells])
    write_text(path, pd.DataFrame(lines, columns=[ID, CATEGORY, *schema.keypoints]).to_csv(index=False))


def read_submission(file: Path, schema: Schema) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read predictions by image id: xy (K, 2) in image pixels and given (K,) bool, False for -1_-1_-1."""
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    predictions = {}
    if frame is not None and has_columns(frame, [ID, CATEGORY, *schema.keypoints], file, faults):
        faults.extend(duplicates(file, list(frame[ID])))
        cells = frame[list(schema.keypoints)].to_numpy()
        for row, (image_id, row_cells) in enumerate(zip(frame[ID], cells, strict=True), start=2):
            points = _parse_cells(file, row, row_cells, schema, faults)
            given = np.array([cell != ABSENT_CELL for cell in row_cells])
            predictions[image_id] = (points[:, :2].astype(float), given)
    if faults:
        raise DataError(faults)
    return predictions


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


def _read_rows(file: Path, root: Path, schema: Schema, faults: list[Fault], answers: bool = False) -> list[Annotation]:
    frame = read_csv(file, faults)
    if frame is None or not has_columns(frame, [ID, CATEGORY, *schema.keypoints], file, faults):
        return []
    faults.extend(duplicates(file, list(frame[ID])))
    rows = []
    cells = frame[list(schema.keypoints)].to_numpy()
    for row, (image_id, category, row_cells) in enumerate(zip(frame[ID], frame[CATEGORY], cells, strict=True), start=2):
        found = _check_row(file, row, image_id, category, root, schema, seek_image=not answers)
        points = _parse_cells(file, row, row_cells, schema, found)
        if not found:
            # Cells of other categories do not count, whatever they hold.
            points[~schema.mask[schema.category_index(category)].numpy()] = -1
            if not answers and (points[:, 2] == ABSENT).all():
                remedy = "annotate the picture, or drop the row"
                found.append(Fault(str(file), "row with no points", remedy, row, value=image_id))
        faults.extend(found)
        if not found:
            xy, visibility = points[:, :2].astype(float), points[:, 2].astype(np.int8)
            rows.append(Annotation(image_id, category, root / image_id, xy, visibility, csv=str(file), csv_row=row))
    return rows


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


def _check_row(
    file: Path, row: int, image_id: str, category: str, root: Path, schema: Schema, seek_image: bool
) -> list[Fault]:
    faults = []
    if category not in schema.categories:
        expected = f"expected one of {', '.join(schema.categories)}"
        faults.append(Fault(str(file), "unknown category", expected, row, CATEGORY, category))
    parts = PurePosixPath(image_id).parts
    if not parts or parts[0] == "/" or ".." in parts or PureWindowsPath(image_id).drive or "\\" in image_id:
        remedy = "expected a path below the data folder, such as Images/dress/1.jpg"
        faults.append(Fault(str(file), "image id that leaves the data folder", remedy, row, ID, image_id))
    elif seek_image and not (root / image_id).is_file():
        remedy = f"expected the file below {root}"
        faults.append(Fault(str(file), "missing image", remedy, row, ID, image_id))
    return faults


def _parse_cells(file: Path, row: int, cells: np.ndarray, schema: Schema, faults: list[Fault]) -> np.ndarray:
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
