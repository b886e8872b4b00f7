"""The layout `deepfashion2`: FOLDER/annos/*.json and FOLDER/image/*.jpg, as released (github.com/switchablenorms/DeepFashion2).

A file of `annos` holds a picture's garments as item1, item2, ..., each with the landmarks of its own category. An image id is
image/NAME.jpg, an instance the item's number from 0. Every garment has a label; some have no landmarks.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.contract.formats.labelled import rows_to_predict, rows_to_train
from garment_keypoints.pipeline.contract.records import ABSENT, Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from rich.progress import track

ANNOS, PICTURES = "annos", "image"
ITEM = re.compile(r"item([1-9][0-9]{0,4})")
CATEGORIES, LANDMARKS = 13, 294
MANY = 1000
"""Files from which on a bar shows how far reading them is."""


def read_annotations(roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None) -> list[Annotation]:
    """Read the garments with landmarks of all folders; those without are left out and counted in a message."""
    return rows_to_train(_of_folder, roots, schema, faults)


def read_test(folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
    """Return a row for each item; its picture is not looked for, and its landmarks are not used."""
    return rows_to_predict(_of_folder, folder, schema, faults)


def read_answers(file: Path, schema: Schema) -> list[Annotation]:
    """Return the true points of a folder `annos`, or of one file of it; garments may lack points."""
    faults: list[Fault] = []
    folder = file if file.is_dir() else file.parent
    rows = list(_rows(_files(file, faults) if file.is_dir() else [file], folder.parent, schema, faults))
    if faults:
        raise DataError(faults)
    return rows


def write_annotations(folder: Path, rows: Sequence[Annotation], sizes_wh: np.ndarray, schema: Schema) -> None:
    """Write FOLDER/annos, a file a picture; what the other layouts do not know (style, occlusion, shapes) is left out."""
    check_schema(schema)
    pictures: dict[str, dict[str, Any]] = {}
    for row in rows:
        own = list(schema.members[row.category])
        low, high = row.xy[row.present].min(0), row.xy[row.present].max(0)
        marks = row.visibility[own, None] + 1
        content = {
            "category_id": schema.category_index(row.category) + 1,
            "category_name": row.category.replace("_", " "),
            "bounding_box": [*low.tolist(), *high.tolist()],
            "landmarks": np.concatenate([np.where(marks > 0, row.xy[own], 0), marks], 1).ravel().tolist(),
        }
        pictures.setdefault(Path(row.image_id).stem, {})[f"item{row.instance + 1}"] = content
    for stem, items in pictures.items():
        write_text(Path(folder) / ANNOS / f"{stem}.json", json.dumps(items) + "\n")


def check_schema(schema: Schema) -> None:
    """Raise UserError unless the schema has the data set's landmarks, by number."""
    sizes = [len(members) for members in schema.members.values()]
    if len(sizes) != CATEGORIES or sum(sizes) != LANDMARKS or len(schema.keypoints) != LANDMARKS:
        raise UserError(
            f"layout deepfashion2 has {LANDMARKS} landmarks, schema {schema.name} has {len(schema.keypoints)}; "
            "give --schema deepfashion2, or a corrected copy of it"
        )


def _of_folder(root: Path, schema: Schema, faults: list[Fault]) -> Iterator[Annotation]:
    return _rows(_files(root / ANNOS, faults), root, schema, faults)


def _files(folder: Path, faults: list[Fault]) -> list[Path]:
    files = sorted(folder.glob("*.json"))
    if not files:
        faults.append(
            Fault(str(folder), "no annotation file", f"expected {ANNOS}/*.json beside {PICTURES}/, as released")
        )
    return files


def _rows(files: Sequence[Path], root: Path, schema: Schema, faults: list[Fault]) -> Iterator[Annotation]:
    """Yield the garments whose items are right, and add what is wrong with the others to the faults."""
    check_schema(schema)
    for file in track(files, "reading annotations", disable=len(files) < MANY):
        content = json_object(file)
        items = {int(found[1]): one for name, one in (content or {}).items() if (found := ITEM.fullmatch(name))}
        if not items and (content is None or "pair_id" not in content):
            faults.append(
                Fault(str(file), "no annotation of DeepFashion2", "expected an object with item1, item2, ...")
            )
        for number, one in sorted(items.items()):
            row = _row(one, number, file, root, schema)
            if isinstance(row, Fault):
                faults.append(row)
            else:
                yield row


def _row(one: Any, number: int, file: Path, root: Path, schema: Schema) -> Annotation | Fault:
    place = f"{file}, item{number}"
    category = one.get("category_id") if isinstance(one, dict) else None
    if not isinstance(category, int) or isinstance(category, bool) or not 1 <= category <= CATEGORIES:
        return Fault(place, "unknown category_id", f"expected 1 to {CATEGORIES}", value=repr(category))
    name = schema.categories[category - 1]
    members = list(schema.members[name])
    values = one.get("landmarks") or [0] * (3 * len(members))
    try:
        triplets = np.array(values, dtype=np.float64).reshape(len(members), 3)
    except (TypeError, ValueError):
        count = len(values) if isinstance(values, list) else 0
        return Fault(
            place, "landmarks of another number", f"expected {3 * len(members)}, x y v of a {name}", value=str(count)
        )
    if not np.isfinite(triplets).all() or not np.isin(triplets[:, 2], (0, 1, 2)).all():
        return Fault(
            place, "landmarks that are none", "expected finite x, y and a v of 0 (none), 1 (occluded) or 2 (visible)"
        )
    xy, visibility = np.zeros((LANDMARKS, 2)), np.full(LANDMARKS, ABSENT, np.int8)
    xy[members], visibility[members] = triplets[:, :2], triplets[:, 2].astype(np.int8) - 1
    image_id = f"{PICTURES}/{file.stem}.jpg"
    return Annotation(image_id, name, root / image_id, xy, visibility, instance=number - 1, csv=str(file))
