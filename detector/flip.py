"""What a detector finds in a picture and in its mirror image, joined.

Weighted boxes fusion (Solovyev et al. 2021, 1910.13302).
"""

import torch
from torchvision.ops import box_iou

from pipeline.contract.records import Detections

SAME_IOU = 0.5


def joined(here: Detections, mirrored: Detections) -> Detections:
    """Return what was found here and in the mirror image, both in the frame of the picture, image by image and best first.

    Two that are each other's nearest, of one category and with an IoU of SAME_IOU, are one: the mean box by their scores, and
    the mean score. What only one of the looks finds has half its score.
    """
    near = box_iou(here.boxes, mirrored.boxes)
    alike = (here.image[:, None] == mirrored.image) & (here.category[:, None] == mirrored.category)
    near = torch.where(alike & (near >= SAME_IOU), near, 0.0)
    if not near.numel():
        both = near.new_zeros(len(here.score), dtype=torch.bool)
        partner = both.long()
        alone = torch.ones_like(mirrored.score, dtype=torch.bool)
    else:
        best, partner = near.max(1)
        both = (best > 0) & (near.argmax(0)[partner] == torch.arange(len(partner), device=partner.device))
        alone = torch.ones_like(mirrored.score, dtype=torch.bool)
        alone[partner[both]] = False
    own, other = here.score[both, None], mirrored.score[partner[both], None]
    boxes, score = here.boxes.clone(), here.score / 2
    boxes[both] = (here.boxes[both] * own + mirrored.boxes[partner[both]] * other) / (own + other).clamp(min=1e-9)
    score[both] = (own + other)[:, 0] / 2
    every = Detections(
        torch.cat([boxes, mirrored.boxes[alone]]),
        torch.cat([here.image, mirrored.image[alone]]),
        torch.cat([here.category, mirrored.category[alone]]),
        torch.cat([score, mirrored.score[alone] / 2]),
    )
    order = every.score.argsort(descending=True, stable=True)
    return every[order[every.image[order].argsort(stable=True)]]
