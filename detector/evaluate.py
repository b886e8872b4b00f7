"""How good boxes are: AP by pycocotools, and what bounds the second stage (recall, IoU, containment, fallback)."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import torch
from garment_keypoints.detector.out_of_fold import Found
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.box_kinds import target_boxes, true_extents
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.crops import contained, crop_areas
from garment_keypoints.pipeline.contract.records import Annotation, EveryGarment
from garment_keypoints.pipeline.contract.schema import Schema
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def detector_report(
    rows: Sequence[Annotation],
    sizes_wh: np.ndarray,
    boxes: BoxTable,
    found: Sequence[Found] | None,
    schema: Schema,
    margin: float,
    padding: float,
) -> dict[str, float]:
    """Measure chosen boxes and all detections against the rows' true boxes (extents with `margin`).

    sizes_wh (N, 2); `padding` is the fraction that the second stage adds on each side. Returns fractions of 1 by name:
    ap, ap50, recall50, recall75, iou, contained_in_padded, contained_in_square, fallback; and `box_statistics` as box_... .
    Rows without points have no true box and are left out; `images` counts the others. Boxes that no detector found, `found`
    None, have no AP.
    """
    known = [i for i, row in enumerate(rows) if row.present.any()]
    rows, sizes_wh = [rows[i] for i in known], np.asarray(sizes_wh)[known]
    boxes = boxes.take(known)
    truth = target_boxes(true_extents(rows), torch.tensor(sizes_wh), margin)
    precision = average_precision(rows, truth.numpy(), [found[i] for i in known], schema) if found is not None else {}
    return (
        precision
        | localisation(truth, boxes)
        | containment(rows, boxes, padding)
        | {"fallback": float(boxes.fallback.mean()), "images": len(rows)}
        | {f"box_{name}": value for name, value in box_statistics(boxes, rows).items()}
    )


def average_precision(
    rows: Sequence[Annotation], truth: np.ndarray, found: Sequence[Found], schema: Schema
) -> dict[str, float]:
    """Return COCO's AP and AP50, keeping only detections of each image's annotated category, or categories.

    A skirt that is found and was not labelled is no false positive: nobody knows whether it is one.
    """
    number: dict[str, int] = {}
    image = [number.setdefault(row.image_id, len(number)) for row in rows]
    category = [schema.category_index(row.category) for row in rows]
    annotated = set(zip(image, category, strict=True))
    results = [
        (i, c, np.array(box), score)
        for i, one in dict(zip(image, found, strict=True)).items()
        for box, score, c in zip(one["boxes"], one["scores"], one["category"], strict=True)
        if (i, c) in annotated
    ]
    return _coco(len(number), len(schema.categories), list(zip(image, category, truth, strict=True)), results)


def _coco(
    images: int,
    categories: int,
    truth: Sequence[tuple[int, int, np.ndarray]],
    results: Sequence[tuple[int, int, Sequence[float], float]],
) -> dict[str, float]:
    """Return COCO's AP and AP50 of results (image, category, box, score) against a truth of (image, category, box)."""
    if not results or not truth:
        return {"ap": 0.0, "ap50": 0.0}
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": c} for c in range(categories)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": _xywh(box), "area": _area(box), "iscrowd": 0}
            for n, (i, c, box) in enumerate(truth, start=1)
        ],
    }
    found = [
        {"image_id": i, "category_id": c, "bbox": _xywh(np.array(box)), "score": score} for i, c, box, score in results
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        scored = COCOeval(coco, coco.loadRes(found), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return {"ap": float(scored.stats[0]), "ap50": float(scored.stats[1])}


def unlabelled_report(
    sizes_wh: np.ndarray,
    found: Sequence[Found],
    every: Sequence[Sequence[EveryGarment]],
    schema: Schema,
    margin: float,
) -> dict[str, float]:
    """Measure detections against all garments of the rows' pictures: AP50 of COCO, and recall of those without a label.

    A garment is found by any detection of its category with an IoU of 0.5; its box grows by `margin`, as targets do. Where
    all have a label there is no such recall.
    """
    boxes = [_grown(garments, size_wh, margin) for garments, size_wh in zip(every, sizes_wh, strict=True)]
    category = [[schema.category_index(one.category) for one in garments] for garments in every]
    hits = [
        _found(box, of, one)
        for pairs, of_all, one, garments in zip(boxes, category, found, every, strict=True)
        for box, of, garment in zip(pairs, of_all, garments, strict=True)
        if not garment.labelled
    ]
    results = [
        (i, c, box, score)
        for i, one in enumerate(found)
        for box, score, c in zip(one["boxes"], one["scores"], one["category"], strict=True)
    ]
    truth = [(i, c, box) for i, pairs in enumerate(boxes) for box, c in zip(pairs, category[i], strict=True)]
    every_ap = _coco(len(found), len(schema.categories), truth, results)["ap50"]
    return {"ap50_every_garment": every_ap} | ({"recall_unlabelled": float(np.mean(hits))} if hits else {})


def _grown(garments: Sequence[EveryGarment], size_wh: np.ndarray, margin: float) -> np.ndarray:
    boxes = torch.tensor(np.array([one.box for one in garments], dtype=float).reshape(-1, 4))
    return target_boxes(boxes, torch.tensor(size_wh).expand(len(boxes), 2), margin).numpy()


def _found(box: np.ndarray, category: int, one: Found) -> bool:
    alike = [b for b, c in zip(one["boxes"], one["category"], strict=True) if c == category]
    if not alike:
        return False
    own = torch.tensor(box).expand(len(alike), 4)
    return bool((geometry.box_iou(torch.tensor(np.array(alike, dtype=float)), own) >= 0.5).any())


def localisation(truth: torch.Tensor, boxes: BoxTable) -> dict[str, float]:
    """Return how the chosen boxes overlap the true ones (N, 4)."""
    iou = geometry.box_iou(torch.tensor(boxes.boxes), truth)
    return {
        "recall50": float((iou >= 0.5).double().mean()),
        "recall75": float((iou >= 0.75).double().mean()),
        "iou": float(iou.mean()),
    }


def containment(rows: Sequence[Annotation], boxes: BoxTable, padding: float) -> dict[str, float]:
    """Return the share of true visible points inside the padded box and inside the squared crop."""
    given = torch.tensor(boxes.boxes)
    areas = {"padded": geometry.pad_box(given, padding), "square": crop_areas(given, padding)}
    return {f"contained_in_{name}": contained(area, rows) for name, area in areas.items()}


def box_statistics(boxes: BoxTable, rows: Sequence[Annotation]) -> dict[str, float]:
    """Describe a set of boxes beside their true extents, to compare those of training with those of testing."""
    array = boxes.boxes
    extents = true_extents(rows).numpy()
    size, true_size = array[:, 2:] - array[:, :2], extents[:, 2:] - extents[:, :2]
    offset = ((array[:, :2] + array[:, 2:]) - (extents[:, :2] + extents[:, 2:])) / 2 / true_size.clip(1)
    return {
        "width": float(size[:, 0].mean()),
        "height": float(size[:, 1].mean()),
        "score": float(boxes.score.mean()),
        "width_ratio": float(np.median(size[:, 0] / true_size[:, 0].clip(1))),
        "height_ratio": float(np.median(size[:, 1] / true_size[:, 1].clip(1))),
        "centre_offset": float(np.linalg.norm(offset, axis=1).mean()),
        "iou": float(geometry.box_iou(torch.tensor(array), torch.tensor(extents)).mean()),
    }


def _xywh(box: np.ndarray) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
