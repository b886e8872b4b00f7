"""COCO's average precision of keypoints and boxes, by pycocotools: that of DeepFashion2's evaluation with its sigmas."""

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.coco import CocoRecord, CocoTruth, read_coco_results, read_coco_truth
from garment_keypoints.pipeline.contract.metrics import UNIFORM_SIGMA
from garment_keypoints.pipeline.contract.schema import Schema
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

log = logging.getLogger("garment_keypoints")
THRESHOLDS = {"ap": None, "ap50": 0.5, "ap75": 0.75}
KEYPOINTS, BOXES = "keypoints", "bbox"


def coco_score(submission: Path, answers: Path, schema: Schema, visible: bool) -> dict[str, Any]:
    """Score a file of keypoint results against a COCO file; fractions of 1, None where no garment of a category counts.

    `visible` counts visible landmarks alone, else occluded ones as well. Raises DataError for files that do not fit.
    """
    truth = read_coco_truth(answers, schema)
    found = _counted(read_coco_results(submission, schema), truth, submission)
    asked = truth.visible() if visible else truth
    figures = {"schema": schema.name, "visible": visible, "garments": len(truth.annotations), "results": len(found)}
    figures |= {"keypoints": average_precision(asked, found, KEYPOINTS, schema)}
    if found and all(one.get("bbox") for one in found):
        figures["boxes"] = average_precision(truth, found, BOXES, schema)
    return figures


def average_precision(truth: CocoTruth, found: Sequence[CocoRecord], kind: str, schema: Schema) -> dict[str, Any]:
    """Return COCO's ap, ap50 and ap75 over all categories, and `by_category` for each: of keypoints (at most 20 results an
    image) or boxes (at most 100). Keypoints are compared by OKS with the schema's sigmas.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        scored = COCOeval(_indexed(truth, truth.annotations), _indexed(truth, _numbered(found)), kind)
        if kind == KEYPOINTS:
            scored.params.kpt_oks_sigmas = np.broadcast_to(schema.sigmas or UNIFORM_SIGMA, len(schema.keypoints))
        scored.evaluate()
        scored.accumulate()
    precision = scored.eval["precision"][..., 0, -1]  # thresholds, recalls, categories; of garments of every size
    names = {one["id"]: str(one.get("name", one["id"])) for one in truth.categories}
    each = {names[of]: _at(precision[:, :, k], scored) for k, of in enumerate(scored.params.catIds)}
    return {**_at(precision, scored), "by_category": each}


def coco_lines(figures: dict[str, Any]) -> list[str]:
    """Describe a score: by category, boxes, and in the last line the whole."""
    points = figures["keypoints"]
    lines = ["by category"]
    lines += [f"  {name:24s} {_line(one)}" for name, one in points["by_category"].items() if one["ap"] is not None]
    lines += [f"boxes {_line(figures['boxes'])}"] if "boxes" in figures else []
    return [*lines, f"{_line(points)} ({'visible' if figures['visible'] else 'visible and occluded'})"]


def _counted(found: Sequence[CocoRecord], truth: CocoTruth, file: Path) -> list[CocoRecord]:
    """Return the results whose image and category the answers know; others are told, and all of them refused."""
    known, kinds = truth.image_ids, truth.category_ids
    counted = [one for one in found if one["image_id"] in known and one["category_id"] in kinds]
    if found and not counted:
        raise UserError(
            f"{file}: no image and category of its {len(found)} results is in the answers; are they of others?"
        )
    if len(counted) < len(found):
        others = len(found) - len(counted)
        log.warning("%s: %d results are of images or categories that the answers lack, and do not count", file, others)
    return counted


def _numbered(found: Sequence[CocoRecord]) -> list[CocoRecord]:
    """Return results as annotations, each with an id and an area: that of its box, or of its points' extent without one."""
    return [
        one | {"id": number, "iscrowd": 0, "bbox": (box := _box(one)), "area": box[2] * box[3]}
        for number, one in enumerate(found, 1)
    ]


def _box(one: CocoRecord) -> list[float]:
    if one.get("bbox"):
        return one["bbox"]
    x, y = one["keypoints"][0::3], one["keypoints"][1::3]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def _indexed(truth: CocoTruth, annotations: Sequence[CocoRecord]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": truth.images, "categories": truth.categories, "annotations": list(map(dict, annotations))}
    coco.createIndex()
    return coco


def _at(precision: np.ndarray, scored: COCOeval) -> dict[str, float | None]:
    """Return the means of the precisions (thresholds, recalls, ...) that are known, over all thresholds and at single ones."""
    thresholds = scored.params.iouThrs
    chosen = {
        name: precision if at is None else precision[np.isclose(thresholds, at)] for name, at in THRESHOLDS.items()
    }
    known = {name: values[values > -1] for name, values in chosen.items()}
    return {name: float(values.mean()) if values.size else None for name, values in known.items()}


def _line(one: dict[str, Any]) -> str:
    return " ".join(f"{name.upper()} {'-' if one[name] is None else format(one[name], '.4f')}" for name in THRESHOLDS)
