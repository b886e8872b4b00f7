"""How good the finds in photos are: against class labels, or against every garment of each photo."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.contract.garments import Garment, PhotoResult
from pipeline.contract.geometry import box_iou

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
