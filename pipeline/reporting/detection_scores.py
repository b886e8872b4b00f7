"""How good the finds in photos are: against class labels, every garment of each photo, or the one that is annotated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.contract.geometry import box_iou, clip_box

HIT_IOU = 0.5
NOTHING_FOUND = "none"
"""Instead of a category; as a class, that of photos without garments."""
UNREADABLE = "unreadable"
"""Instead of a category, of a photo that could not be read: right for no class."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def against_labels(results: Sequence[PhotoResult], labels: Sequence[str], threshold: float) -> dict[str, Any]:
    """Compare the surest find of each photo, of at least `threshold`, with the photo's class.

    Shares are fractions of 1, by class and as a whole; `taken_for` counts what the classes were taken for (none: nothing was
    found, which is right for the class none; unreadable: the photo could not be read, which is right for no class).
    """
    best = [_best(result, threshold) for result in results]
    correct = np.array([found == label for found, label in zip(best, labels, strict=True)])
    each = np.array(labels)
    return {
        "threshold": threshold,
        "photos": len(results),
        "finds_a_photo": _finds(results, threshold),
        "correct": float(correct.mean()),
        "correct_by_class": {str(name): float(correct[each == name].mean()) for name in np.unique(each)},
        "taken_for": {
            str(name): dict(Counter(found for found, label in zip(best, labels, strict=True) if label == name))
            for name in np.unique(each)
        },
    }


def against_garments(
    results: Sequence[PhotoResult], truth: Sequence[Sequence[Mapping[str, Any]]], threshold: float
) -> dict[str, Any]:
    """Compare the finds of each photo, of at least `threshold`, with all its garments (`category`, `box` xyxy in pixels).

    A garment is found by the surest find of its category that is not another's, with an IoU of HIT_IOU. Recall is by category
    and as a whole, precision the share of finds that are a garment; fractions of 1.
    """
    found: Counter[str] = Counter()
    for result, garments in zip(results, truth, strict=True):
        found.update(_hits([one for one in result.garments if one.score >= threshold], garments))
    there = Counter(str(one["category"]) for garments in truth for one in garments)
    finds = _finds(results, threshold) * len(results)
    return {
        "threshold": threshold,
        "photos": len(results),
        "garments": there.total(),
        "finds_a_photo": _finds(results, threshold),
        "recall": found.total() / there.total(),
        "recall_by_category": {name: found[name] / count for name, count in sorted(there.items())},
        "precision": found.total() / finds if finds else None,
    }


def against_annotated(
    results: Sequence[PhotoResult], truth: Sequence[Mapping[str, Any]], threshold: float
) -> dict[str, Any]:
    """Compare the finds of each photo, of at least `threshold`, with the one garment that is annotated (`category`, `box`).

    Other garments may be there, so there is no precision. `recall` is the share of garments on which a find of their category
    lies (IoU of HIT_IOU), `found` that on which any lies; `taken_for` counts the category of the surest of these (none: there is
    no such find). Fractions of 1; boxes end where the photo does.
    """
    on_it = [_lying_on(one, garment["box"], threshold) for one, garment in zip(results, truth, strict=True)]
    wanted = np.array([str(garment["category"]) for garment in truth])
    right = np.array([name in {one.category for one in finds} for name, finds in zip(wanted, on_it, strict=True)])
    surest = np.array([finds[0].category if finds else NOTHING_FOUND for finds in on_it])
    names = [str(name) for name in np.unique(wanted)]
    return {
        "threshold": threshold,
        "photos": len(results),
        "garments": len(truth),
        "finds_a_photo": _finds(results, threshold),
        "recall": float(right.mean()),
        "recall_by_category": {name: float(right[wanted == name].mean()) for name in names},
        "found": float(np.mean([bool(finds) for finds in on_it])),
        "taken_for": {name: dict(Counter(surest[wanted == name].tolist())) for name in names},
    }


def _lying_on(result: PhotoResult, box: Sequence[float], threshold: float) -> list[Garment]:
    """Return the finds on a garment's box, the surest first."""
    finds = sorted((one for one in result.garments if one.score >= threshold), key=lambda one: -one.score)
    if not finds:
        return []
    garment = clip_box(torch.tensor(box, dtype=torch.float64), torch.tensor(result.size_wh))
    boxes = torch.stack([torch.as_tensor(one.box, dtype=torch.float64) for one in finds])
    hits = (box_iou(boxes, garment.expand(len(finds), 4)) >= HIT_IOU).tolist()
    return [one for one, hit in zip(finds, hits, strict=True) if hit]


def _hits(finds: Sequence[Garment], garments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the categories of the garments that are found."""
    left, hits = list(garments), []
    for find in sorted(finds, key=lambda one: -one.score):
        alike = [one for one in left if one["category"] == find.category]
        if not alike:
            continue
        boxes = torch.tensor([one["box"] for one in alike], dtype=torch.float64)
        iou = box_iou(torch.as_tensor(find.box, dtype=torch.float64).expand(len(alike), 4), boxes)
        if iou.max() >= HIT_IOU:
            taken = alike[int(iou.argmax())]
            left = [one for one in left if one is not taken]
            hits.append(find.category)
    return hits


def _best(result: PhotoResult, threshold: float) -> str:
    if result.error:
        return UNREADABLE
    sure = [one for one in result.garments if one.score >= threshold]
    return max(sure, key=lambda one: one.score).category if sure else NOTHING_FOUND


def _finds(results: Sequence[PhotoResult], threshold: float) -> float:
    return sum(one.score >= threshold for result in results for one in result.garments) / len(results)
