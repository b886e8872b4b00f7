"""COCO keypoint files: the truth of a data set, and results as its evaluation takes them (cocodataset.org, Data format)."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.schema import Schema

SECTIONS = ("images", "annotations", "categories")
HIDDEN, VISIBLE = 1, 2
"""How COCO marks annotated keypoints; 0 is one that is not annotated."""
CocoRecord = dict[str, Any]


@dataclass(frozen=True)
class CocoTruth:
    """Images, categories and annotations of a COCO file, as pycocotools takes them; boxes are xywh in image pixels."""

    images: list[CocoRecord]
    categories: list[CocoRecord]
    annotations: list[CocoRecord]

    @property
    def image_ids(self) -> set[Any]:
        return {one["id"] for one in self.images}

    @property
    def category_ids(self) -> set[Any]:
        return {one["id"] for one in self.categories}

    def visible(self) -> "CocoTruth":
        """Return the truth without occluded keypoints; a garment that has no others is not counted."""
        return CocoTruth(self.images, self.categories, [_without_hidden(one) for one in self.annotations])


def read_coco_truth(file: Path, schema: Schema) -> CocoTruth:
    """Read a COCO keypoint file whose annotations have a triplet x, y, v for each keypoint of the schema.

    `area` is that of the box and `num_keypoints` that of the annotated keypoints where the file does not say. Raises
    DataError, which names file, annotation, value and remedy.
    """
    faults: list[Fault] = []
    truth = read_coco(file, faults)
    for one in truth.annotations:
        problems = [*_wrong_keypoints(one, schema, (0, HIDDEN, VISIBLE)), *_wrong_box(one)]
        faults += [Fault(_place(file, one), problem, remedy, value=value) for problem, value, remedy in problems]
    if faults:
        raise DataError(faults)
    return CocoTruth(truth.images, truth.categories, [_completed(one) for one in truth.annotations])


def read_coco(file: Path, faults: list[Fault]) -> CocoTruth:
    """Read a COCO file as it is: ids are unique and known, the rest of its records is not looked at.

    Annotations of unknown images or categories become faults and are left out. Raises DataError for what is no COCO file.
    """
    content = _loaded(file)
    if not isinstance(content, dict) or any(not isinstance(content.get(name), list) for name in SECTIONS):
        _refuse(file, "not a COCO file", f"expected an object with the lists {', '.join(SECTIONS)}")
    images, categories, annotations = (
        _with_ids(content[name], name, file, faults) for name in ("images", "categories", "annotations")
    )
    known = {"image_id": {one["id"] for one in images}, "category_id": {one["id"] for one in categories}}
    kept = []
    for one in annotations:
        problems = list(_unknown(one, known))
        faults += [Fault(_place(file, one), problem, remedy, value=value) for problem, value, remedy in problems]
        kept += [] if problems else [one]
    return CocoTruth(images, categories, kept)


def read_coco_results(file: Path, schema: Schema) -> list[CocoRecord]:
    """Read a COCO results file of keypoints: a list of image_id, category_id, keypoints (x, y and a third each) and score.

    Raises DataError, which names file, result (from 1), value and remedy.
    """
    content = _loaded(file)
    if not isinstance(content, list) or any(not isinstance(one, dict) for one in content):
        _refuse(
            file,
            "not a COCO results file",
            "expected a list of objects with image_id, category_id, keypoints and score",
        )
    faults: list[Fault] = []
    for number, one in enumerate(content, 1):
        problems = [*_missing(one), *_wrong_keypoints(one, schema), *_wrong_box(one, required=False)]
        if not _is_number(one.get("score")):
            problems.append(("score is no finite number", repr(one.get("score")), "correct it"))
        faults += [
            Fault(f"{file}, result {number}", problem, remedy, value=value) for problem, value, remedy in problems
        ]
    if faults:
        raise DataError(faults)
    return content


Problem = tuple[str, str, str]


def _loaded(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None


def _refuse(file: Path, problem: str, remedy: str) -> None:
    raise DataError([Fault(str(file), problem, remedy)])


def _place(file: Path, one: CocoRecord) -> str:
    return f"{file}, annotation {one['id']}"


def _with_ids(records: Sequence[Any], section: str, file: Path, faults: list[Fault]) -> list[CocoRecord]:
    """Return the records that have an id of their own; the others become faults."""
    kept: dict[Any, CocoRecord] = {}
    for number, one in enumerate(records, 1):
        name = one.get("id") if isinstance(one, dict) else None
        if not _is_id(name):
            faults.append(
                Fault(f"{file}, {section}", f"number {number} has no id", "give it a whole number", value=repr(name))
            )
        elif name in kept:
            faults.append(Fault(f"{file}, {section}", "an id stands twice", "give each its own", value=repr(name)))
        else:
            kept[name] = one
    return list(kept.values())


def _unknown(one: CocoRecord, known: dict[str, Collection[Any]]) -> Iterator[Problem]:
    for key, ids in known.items():
        value = one.get(key)
        if not _is_id(value) or value not in ids:
            yield f"{key} is none of the file's", repr(value), "correct it, or add what it names"


def _missing(one: CocoRecord) -> list[Problem]:
    lacks = [key for key in ("image_id", "category_id") if not _is_id(one.get(key))]
    return [(f"{key} is no id", repr(one.get(key)), "give it that of the answers") for key in lacks]


def _wrong_keypoints(one: CocoRecord, schema: Schema, marks: Sequence[int] | None = None) -> list[Problem]:
    """Tell what is wrong with the triplets; `marks` are the values that the third may have, None any finite number."""
    values, expected = one.get("keypoints"), 3 * len(schema.keypoints)
    if not isinstance(values, list) or len(values) != expected:
        count = len(values) if isinstance(values, list) else 0
        remedy = f"expected {expected}, three for each keypoint of {schema.name}; give the --schema of these data"
        return [(f"keypoints holds {count} numbers", str(count), remedy)]
    wrong = [value for value in values if not _is_number(value)]
    if wrong:
        return [("keypoints holds what is no finite number", repr(wrong[0]), "correct it")]
    odd = [value for value in values[2::3] if marks is not None and value not in marks]
    if odd:
        return [("a keypoint's visibility is unknown", repr(odd[0]), "expected 0 (none), 1 (occluded) or 2 (visible)")]
    return []


def _wrong_box(one: CocoRecord, required: bool = True) -> list[Problem]:
    box = one.get("bbox")
    if box in (None, []) and not required:
        return []
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and min(box[2:]) >= 0):
        return [("bbox is no box", repr(box), "expected [x, y, width, height] in pixels")]
    return []


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _completed(one: CocoRecord) -> CocoRecord:
    count = sum(mark > 0 for mark in one["keypoints"][2::3])
    return {"area": one["bbox"][2] * one["bbox"][3], "iscrowd": 0, "num_keypoints": count} | one


def _without_hidden(one: CocoRecord) -> CocoRecord:
    triplets = list(one["keypoints"])
    for start in range(0, len(triplets), 3):
        if triplets[start + 2] == HIDDEN:
            triplets[start : start + 3] = [0, 0, 0]
    return one | {"keypoints": triplets, "num_keypoints": sum(mark > 0 for mark in triplets[2::3])}
