"""How good boxes are: AP by pycocotools, and what bounds the second stage (recall, IoU, containment, fallback)."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.data import target_boxes, true_extents
from detector.out_of_fold import Found
from pipeline.contract import geometry
from pipeline.contract.records import VISIBLE, Annotation, Detection
from pipeline.contract.schema import Schema


def detector_report(
    rows: Sequence[Annotation],
    sizes_wh: np.ndarray,
    boxes: Sequence[Detection],
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
    boxes = [boxes[i] for i in known]
    truth = target_boxes(true_extents(rows), torch.tensor(sizes_wh), margin)
    precision = average_precision(rows, truth.numpy(), [found[i] for i in known], schema) if found is not None else {}
    return (
        precision
        | localisation(truth, boxes)
        | containment(rows, boxes, padding)
        | {"fallback": float(np.mean([box.fallback for box in boxes])), "images": len(rows)}
        | {f"box_{name}": value for name, value in box_statistics(boxes, rows).items()}
    )


def average_precision(
    rows: Sequence[Annotation], truth: np.ndarray, found: Sequence[Found], schema: Schema
) -> dict[str, float]:
    """Return COCO's AP and AP50, keeping only detections of each image's annotated category.

    A skirt that is found and was not labelled is no false positive: nobody knows whether it is one.
    """
    category = [schema.category_index(row.category) for row in rows]
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(len(rows))],
        "categories": [{"id": c} for c in range(len(schema.categories))],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i,
                "category_id": category[i],
                "bbox": _xywh(box),
                "area": _area(box),
                "iscrowd": 0,
            }
            for i, box in enumerate(truth)
        ],
    }
    results = [
        {"image_id": i, "category_id": c, "bbox": _xywh(np.array(box)), "score": score}
        for i, one in enumerate(found)
        for box, score, c in zip(one["boxes"], one["scores"], one["category"], strict=True)
        if c == category[i]
    ]
    if not results:
        return {"ap": 0.0, "ap50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        scored = COCOeval(coco, coco.loadRes(results), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return {"ap": float(scored.stats[0]), "ap50": float(scored.stats[1])}


def localisation(truth: torch.Tensor, boxes: Sequence[Detection]) -> dict[str, float]:
    """Return how the chosen boxes overlap the true ones (N, 4)."""
    iou = geometry.box_iou(torch.tensor(np.stack([box.box for box in boxes])), truth)
    return {
        "recall50": float((iou >= 0.5).double().mean()),
        "recall75": float((iou >= 0.75).double().mean()),
        "iou": float(iou.mean()),
    }


def containment(rows: Sequence[Annotation], boxes: Sequence[Detection], padding: float) -> dict[str, float]:
    """Return the share of true visible points inside the padded box and inside the squared crop."""
    padded = geometry.pad_box(torch.tensor(np.stack([box.box for box in boxes])), padding)
    xy = torch.tensor(np.stack([row.xy for row in rows]))
    visible = torch.tensor(np.stack([row.visibility == VISIBLE for row in rows]))
    inside = {"padded": padded, "square": geometry.square_box(padded)}
    return {
        f"contained_in_{name}": float(geometry.contains(area, xy)[visible].double().mean())
        for name, area in inside.items()
    }


def box_statistics(boxes: Sequence[Detection], rows: Sequence[Annotation]) -> dict[str, float]:
    """Describe a set of boxes beside their true extents, to compare those of training with those of testing."""
    array = np.stack([box.box for box in boxes])
    extents = true_extents(rows).numpy()
    size, true_size = array[:, 2:] - array[:, :2], extents[:, 2:] - extents[:, :2]
    offset = ((array[:, :2] + array[:, 2:]) - (extents[:, :2] + extents[:, 2:])) / 2 / true_size.clip(1)
    return {
        "width": float(size[:, 0].mean()),
        "height": float(size[:, 1].mean()),
        "score": float(np.mean([box.score for box in boxes])),
        "width_ratio": float(np.median(size[:, 0] / true_size[:, 0].clip(1))),
        "height_ratio": float(np.median(size[:, 1] / true_size[:, 1].clip(1))),
        "centre_offset": float(np.linalg.norm(offset, axis=1).mean()),
        "iou": float(geometry.box_iou(torch.tensor(array), torch.tensor(extents)).mean()),
    }


def _xywh(box: np.ndarray) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
