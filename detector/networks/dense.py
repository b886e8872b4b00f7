"""From what a RetinaNet says of each anchor to detections, for a whole batch at once, without a loop over its images.

The rules are torchvision's: of each level of the pyramid the best candidates, then non-maximum suppression by category.
"""

from collections.abc import Sequence

import torch
from garment_keypoints.detector.networks.suppression import nms
from torch import Tensor

CANDIDATES = 200
"""Of each level and image."""
NMS_IOU = 0.5
KEPT = 50
"""Detections an image; enough for ten of each of five categories."""
LOWEST_SCORE = 0.01


def select(logits: Tensor, boxes: Tensor, levels: Sequence[int], size: int) -> list[dict[str, Tensor]]:
    """Return for each image boxes (D, 4) inside the input of size x size pixels, scores (D,) and category (D,), best first.

    logits (B, A, C) and boxes (B, A, 4) in input pixels are those of A anchors, of which `levels` counts how many each
    level of the pyramid has, finest first.
    """
    batch, _, categories = logits.shape
    scores, places = [], []
    first = 0
    for count in levels:
        level = logits[:, first : first + count].float().sigmoid().flatten(1)
        best = level.topk(min(CANDIDATES, level.shape[1]), dim=1)
        scores.append(best.values)
        places.append(best.indices + first * categories)
        first += count
    score, place = torch.cat(scores, 1), torch.cat(places, 1)
    anchor = place // categories
    box = boxes.float().gather(1, anchor[..., None].expand(-1, -1, 4)).clamp(0, size)
    kept = (score > LOWEST_SCORE).nonzero()
    image, position = kept.unbind(1)
    score, box, category = score[image, position], box[image, position], (place % categories)[image, position]
    # Best first, and of these the images one after the other.
    chosen = suppressed(box, score, image * categories + category, size)
    chosen = chosen[image[chosen].argsort(stable=True)]
    counts = image[chosen].bincount(minlength=batch)
    rank = torch.arange(len(chosen), device=chosen.device) - (counts.cumsum(0) - counts)[image[chosen]]
    chosen = chosen[rank < KEPT]
    lengths = counts.clamp(max=KEPT).tolist()
    parts = zip(*(values[chosen].split(lengths) for values in (box, score, category)), strict=True)
    return [{"boxes": b, "scores": s, "category": c} for b, s, c in parts]


def suppressed(box: Tensor, score: Tensor, group: Tensor, size: int) -> Tensor:
    """Return which boxes (D, 4) non-maximum suppression within each group (D,) keeps, best first."""
    if box.device.type != "cpu":
        # Going through the groups one by one would wait for the device in each.
        return suppressed_at_once(box, score, group, size)
    kept = torch.zeros_like(score, dtype=torch.bool)
    for one in group.unique():
        members = (group == one).nonzero()[:, 0]
        kept[members[nms(box[members], score[members], NMS_IOU)]] = True
    chosen = kept.nonzero()[:, 0]
    return chosen[score[chosen].argsort(descending=True, stable=True)]


def suppressed_at_once(box: Tensor, score: Tensor, group: Tensor, size: int) -> Tensor:
    """Do the same for boxes inside an input of size x size pixels by moving the groups apart, so that none overlaps another."""
    return nms(box + (group * (size + 1)).to(box)[:, None], score, NMS_IOU)
