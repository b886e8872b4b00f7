"""The verb that scores what `predict` found in photos: against class labels, every garment's box, or one annotated garment."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.box_kinds import true_extents
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, json_object, refuse_foreign
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.geometry import pad_box
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.class_labels import read_class_labels
from garment_keypoints.pipeline.engine.predictor import DetectionOptions
from garment_keypoints.pipeline.reporting.detection_scores import (
    NOTHING_FOUND,
    THRESHOLDS,
    against_annotated,
    against_garments,
    against_labels,
)
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.provenance import provenance


def evaluate_photos(
    predictions: Path,
    photos: Path,
    labels: Path | None = None,
    names: Sequence[str] = (),
    garments: Path | None = None,
    answers: Path | None = None,
    margin: float = 0.05,
    threshold: float = DetectionOptions.threshold,
    json: Path | None = None,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> None:
    """Score what `predict` found in photos, at several thresholds: predict with a low one (--threshold 0.1) to see them all.

    Args:
        predictions: predictions.jsonl of `predict`
        photos: folder of the photos, as it was named to `predict`
        labels: CSV with the columns file and label, a class a photo: is the surest find of that category?
        names: what labels mean, such as Shirt=blouse, or Landscape=none where there is no garment; photos with other labels that
            are no category are left out
        garments: every garment of each photo, as a sample's all_garments.json: which are found, and what else is?
        answers: key points of one garment a photo, an answer CSV whose pictures lie below --photos: is it found, under its
            category or another one? What else is found is not judged
        margin: with answers: by how much of its sides the detector grows the extent of the points (its detector.margin)
        threshold: least score of a find, of what is told by category
        json: write the figures there as well
        schema: packaged schema, or a YAML file of your own
        layout: how the answers lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
    """
    given = [file for file in (labels, garments, answers) if file is not None]
    if len(given) != 1:
        raise UserError(
            "expected one of --labels (a class a photo), --garments (every garment of each) and --answers (one garment of each)"
        )
    if json is not None:
        refuse_foreign(
            json, lambda file: holds(file, "figures", "inputs"), "what this command wrote", "choose another --json"
        )
    loaded = load_schema(schema)
    results = _read(predictions, loaded)
    truth: dict[str, Any]
    compare: Callable[..., dict[str, Any]]
    if labels is not None:
        rows, _ = read_class_labels(labels, photos, names, loaded, further=(NOTHING_FOUND,))
        truth, compare = {row.image_id: row.category for row in rows}, against_labels
    elif garments is not None:
        truth, compare = _read_garments(garments, loaded), against_garments
    else:
        truth, compare = (
            _annotated(find_layout(layout).read_answers(given[0], loaded), margin, given[0]),
            against_annotated,
        )
    found = [_of(results, photos / name, predictions) for name in truth]
    figures = [compare(found, list(truth.values()), least) for least in sorted({*THRESHOLDS, threshold})]
    _print(figures, next(one for one in figures if one["threshold"] == threshold))
    if json is not None:
        inputs = {"predictions": file_hash(predictions), "truth": file_hash(given[0])}
        write_json(json, {"provenance": provenance(), "inputs": inputs, "figures": figures})


def _print(figures: Sequence[dict[str, Any]], chosen: dict[str, Any]) -> None:
    """Print a line a threshold, then the chosen one by category."""
    shares = [name for name in ("correct", "recall", "found", "precision") if name in chosen]
    head = ["threshold", "finds a photo", *(f"{name} %" for name in shares)]
    print(as_table(head, [[f"{one['threshold']:g}", _number(one["finds_a_photo"], 1, 2),
                           *(_number(one[name], 100, 1) for name in shares)] for one in figures]))  # fmt: skip
    print(f"at {chosen['threshold']:g}, {chosen['photos']} photos:")
    for name, share in (chosen.get("correct_by_class") or chosen["recall_by_category"]).items():
        taken = ", ".join(f"{other} {count}" for other, count in chosen.get("taken_for", {}).get(name, {}).items())
        print(f"  {name} {100 * share:.1f} %" + (f" (taken for: {taken})" if taken else ""))


def _annotated(rows: Sequence[Annotation], margin: float, file: Path) -> dict[str, dict[str, Any]]:
    """Return the garment of each photo by its name: the category, and the box around its points as a detector is to give it."""
    chosen = [row for row in rows if row.present.any()]
    twice = [name for name, count in Counter(row.image_id for row in chosen).items() if count > 1]
    if twice or not chosen:
        at_fault = f"{twice[0]} has several garments" if twice else "no garment has a point"
        raise UserError(f"{file}: {at_fault}; expected the key points of one garment a photo")
    boxes = pad_box(true_extents(chosen), margin).tolist()
    return {row.image_id: {"category": row.category, "box": box} for row, box in zip(chosen, boxes, strict=True)}


def _number(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{factor * value:.{digits}f}"


def _read(file: Path, schema: Schema) -> dict[str, PhotoResult]:
    """Return the results by the photo's name; of one that was predicted again the last."""
    results = {}
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            result = PhotoResult.from_dict(loads(line), schema)
        except (
            JSONDecodeError,
            UnicodeDecodeError,
            RecursionError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise UserError(
                f"{file}, line {number}: no result of `predict` ({error!r}); expected its predictions.jsonl"
            ) from None
        results[result.photo] = result
    return results


def _of(results: Mapping[str, PhotoResult], photo: Path, file: Path) -> PhotoResult:
    if photo.as_posix() not in results:
        raise UserError(f"{file}: nothing of {photo}; predict that folder, and name it --photos in the same way")
    return results[photo.as_posix()]


def _read_garments(file: Path, schema: Schema) -> dict[str, list[dict[str, Any]]]:
    content = json_object(file)
    remedy = (
        "expected a list of garments by photo, each with category and box [x0, y0, x1, y1], as all_garments.json has"
    )
    if not content:
        raise UserError(f"{file}: {remedy}")
    for photo, garments in content.items():
        for one in garments if isinstance(garments, list) else [None]:
            box = one.get("box") if isinstance(one, dict) else None
            numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
            if not numbers or one.get("category") not in schema.categories:
                raise UserError(f"{file}: {photo}: {one!r}; {remedy}")
    if not any(content.values()):
        raise UserError(f"{file}: no garment in any photo; {remedy}")
    return content
