"""The layout `coco`: FOLDER/annotations.json, or all of FOLDER/annotations/*.json, and pictures in FOLDER or FOLDER/images.

An image id is the `file_name` of the picture, an instance the place of an annotation among those of its picture. Keypoints go by
the names that the file's categories list, or by their order where there are as many as the schema has. Every garment is expected
to have a label; crowds and what is marked `ignore` are left out.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.coco import CocoRecord, CocoTruth, read_coco
from garment_keypoints.pipeline.contract.formats.csv_files import wrong_id
from garment_keypoints.pipeline.contract.formats.labelled import rows_to_predict, rows_to_train
from garment_keypoints.pipeline.contract.records import ABSENT, Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema

ANNOTATIONS, FOLDER_OF_FILES = "annotations.json", "annotations"
PICTURES = ("", "images", "Images", "image")
"""Where pictures are looked for, below the folder."""


def read_annotations(roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None) -> list[Annotation]:
    """Read the garments with points of all folders; those without points are left out and counted in a message."""
    return rows_to_train(_of_folder, roots, schema, faults)


def read_test(folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
    """Return a row for each annotation; its picture is not looked for, and its points, if there are any, are not used."""
    return rows_to_predict(_of_folder, folder, schema, faults)


def read_answers(file: Path, schema: Schema) -> list[Annotation]:
    """Return the true points of a file, or of all files of a folder; garments may lack points, pictures are not looked for."""
    faults: list[Fault] = []
    files = sorted(file.glob("*.json")) if file.is_dir() else [file]
    root = file.parent.parent if file.parent.name == FOLDER_OF_FILES else file.parent
    rows = [row for one in files for row in _rows(one, root, schema, faults)]
    if faults:
        raise DataError(faults)
    return rows


def write_annotations(folder: Path, rows: Sequence[Annotation], sizes_wh: np.ndarray, schema: Schema) -> None:
    """Write FOLDER/annotations.json; boxes are the extents of the points, and categories list their own keypoints by name."""
    ids: dict[str, int] = {}
    images, annotations = [], []
    for number, (row, size_wh) in enumerate(zip(rows, sizes_wh.tolist(), strict=True), 1):
        if row.image_id not in ids:
            ids[row.image_id] = len(ids) + 1
            images.append(
                {"id": ids[row.image_id], "file_name": row.image_id, "width": size_wh[0], "height": size_wh[1]}
            )
        own = list(schema.members[row.category])
        seen = row.xy[row.present]
        low, size = seen.min(0), np.ptp(seen, 0)
        marks = row.visibility[own, None] + 1
        triplets = np.concatenate([np.where(marks > 0, row.xy[own], 0), marks], 1)
        annotations.append({
            "id": number, "image_id": ids[row.image_id], "category_id": schema.category_index(row.category) + 1,
            "keypoints": triplets.ravel().tolist(), "num_keypoints": int((marks > 0).sum()), "iscrowd": 0,
            "bbox": [*low.tolist(), *size.tolist()], "area": float(size.prod()),
        })  # fmt: skip
    categories = [
        {"id": n, "name": name, "keypoints": [schema.keypoints[k] for k in members], "skeleton": []}
        for n, (name, members) in enumerate(schema.members.items(), 1)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_text(Path(folder) / ANNOTATIONS, json.dumps(content) + "\n")


def _of_folder(root: Path, schema: Schema, faults: list[Fault]) -> Iterator[Annotation]:
    for file in _files(root, faults):
        yield from _rows(file, root, schema, faults)


def _files(root: Path, faults: list[Fault]) -> list[Path]:
    files = [root / ANNOTATIONS] if (root / ANNOTATIONS).is_file() else sorted((root / FOLDER_OF_FILES).glob("*.json"))
    if not files:
        remedy = f"expected {ANNOTATIONS}, or {FOLDER_OF_FILES}/*.json, as --layout coco reads them"
        faults.append(Fault(str(root), "no COCO file", remedy))
    return files


def _rows(file: Path, root: Path, schema: Schema, faults: list[Fault]) -> Iterator[Annotation]:
    """Yield the garments of a file whose annotations are right, and add what is wrong with the others to the faults."""
    try:
        truth = read_coco(file, faults)
    except DataError as error:
        faults.extend(error.faults)
        return
    columns = _columns_of(truth, schema, file, faults)
    images = {one["id"]: one for one in truth.images}
    number: Counter[str] = Counter()
    for one in truth.annotations:
        name = images[one["image_id"]].get("file_name")
        instance = number[str(name)]
        number[str(name)] += 1
        if one.get("iscrowd") or one.get("ignore") or one["category_id"] not in columns:
            continue
        place = f"{file}, annotation {one['id']}"
        wrong = wrong_id(name) if isinstance(name, str) else ("picture without a file_name", "give it one")
        if wrong:
            faults.append(Fault(place, wrong[0], wrong[1], value=str(name)))
            continue
        category, order = columns[one["category_id"]]
        points = _points(one, category, order, schema, place, faults)
        if points is not None:
            yield Annotation(name, category, _picture(root, name), *points, instance=instance, csv=str(file))


def _columns_of(truth: CocoTruth, schema: Schema, file: Path, faults: list[Fault]) -> dict[Any, tuple[str, list[int]]]:
    """Return, by id, the name of each category that is used, and the schema's keypoint of each of its triplets."""
    used = {one["category_id"] for one in truth.annotations}
    columns = {}
    for one in truth.categories:
        if one["id"] not in used:
            continue
        name, names = one.get("name"), one.get("keypoints") or []
        if name not in schema.categories:
            expected = f"expected one of {', '.join(schema.categories)}; rename it, or give a --schema that has it"
            faults.append(Fault(f"{file}, categories", "unknown category", expected, value=str(name)))
        elif set(names) <= set(schema.keypoints) and names:
            columns[one["id"]] = name, [schema.keypoints.index(point) for point in names]
        elif len(names) in (0, len(schema.keypoints)):
            columns[one["id"]] = name, list(range(len(schema.keypoints)))
        else:
            lone = next(point for point in names if point not in schema.keypoints)
            remedy = f"expected names of {schema.name}, or {len(schema.keypoints)} of them in its order"
            faults.append(Fault(f"{file}, category {name}", "unknown keypoint", remedy, value=str(lone)))
    return columns


def _points(
    one: CocoRecord, category: str, order: Sequence[int], schema: Schema, place: str, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return xy (K, 2) and visibility (K,) of an annotation; None when its points are wrong, which becomes a fault."""
    values = one.get("keypoints") or [0] * (3 * len(order))
    if not isinstance(values, list) or len(values) != 3 * len(order):
        remedy = f"expected {3 * len(order)}, three for each keypoint of {category}"
        faults.append(Fault(place, "keypoints of another number", remedy, value=str(len(values))))
        return None
    try:
        triplets = np.array(values, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        triplets = np.full((len(order), 3), np.nan)
    if not np.isfinite(triplets).all() or not np.isin(triplets[:, 2], (0, 1, 2)).all():
        remedy = "expected finite x, y and a visibility of 0 (none), 1 (occluded) or 2 (visible)"
        faults.append(Fault(place, "keypoints that are none", remedy))
        return None
    xy, visibility = np.zeros((len(schema.keypoints), 2)), np.full(len(schema.keypoints), ABSENT, np.int8)
    visibility[list(order)] = (
        triplets[:, 2].astype(np.int8) - 1
    )  # COCO's 2, 1, 0 are our 1 visible, 0 occluded, -1 absent
    xy[list(order)] = triplets[:, :2]
    foreign = np.flatnonzero((visibility != ABSENT) & ~schema.mask[schema.category_index(category)].numpy())
    if len(foreign):
        remedy = f"give them 0 0 0, or correct the category; a {category} has none of that name"
        faults.append(Fault(place, "a keypoint of another category", remedy, value=schema.keypoints[foreign[0]]))
        return None
    return xy, visibility


def _picture(root: Path, name: str) -> Path:
    places = [root / folder / name for folder in PICTURES]
    return next((place for place in places if place.is_file()), places[0])
