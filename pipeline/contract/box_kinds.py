"""What the second stage's crops are cut around in training, by name, and the boxes that need no detector.

A true box is the extent of the annotated points, grown on each side by the detector's margin: what the detector is to find.
"""

from collections.abc import Sequence

import numpy as np
import torch
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.crops import whole_images
from garment_keypoints.pipeline.contract.records import Annotation
from torch import Tensor

OUT_OF_FOLD, TRUTH, IMAGE = "out_of_fold", "truth", "image"
BOX_KINDS = (OUT_OF_FOLD, TRUTH, IMAGE)
"""Boxes of a detector that had not seen the image, the true ones, and whole images."""


def boxes_of_kind(
    kind: str, found: np.ndarray, rows: Sequence[Annotation], sizes_wh: np.ndarray, margin: float
) -> np.ndarray:
    """Return the box (N, 4) of each row: of `found` (N, 4), those out of fold, or the one that takes their place.

    sizes_wh (N, 2) are those of the rows' pictures; true boxes get the detector's `margin`.
    """
    if kind == TRUTH:
        return true_boxes(rows, torch.tensor(sizes_wh), margin).numpy()
    return whole_images(torch.tensor(sizes_wh)).double().numpy() if kind == IMAGE else found


def true_extents(rows: Sequence[Annotation]) -> Tensor:
    """Return the extents (N, 4) in image pixels of each row's annotated points; every row has some."""
    xy = torch.tensor(np.stack([row.xy for row in rows]))
    return geometry.box_from_points(xy, torch.tensor(np.stack([row.present for row in rows])))


def true_boxes(rows: Sequence[Annotation], sizes_wh: Tensor, margin: float) -> Tensor:
    """Return the target boxes (N, 4) of answers, in pictures of sizes_wh (N, 2).

    An answer without points says nothing of a box: the whole picture stands in, and no point of it is scored.
    """
    boxes = whole_images(sizes_wh).double()
    known = torch.tensor([bool(row.present.any()) for row in rows])
    if known.any():
        extents = true_extents([row for row in rows if row.present.any()])
        boxes[known] = target_boxes(extents, sizes_wh[known], margin)
    return boxes


def target_boxes(extents: Tensor, sizes_wh: Tensor, margin: float) -> Tensor:
    """Return what the detector should find (N, 4): the extents with their margin, clipped to the images."""
    boxes = geometry.clip_box(geometry.pad_box(extents, margin), sizes_wh)
    # Points on one line, or cut off by the border, still need a box with an area.
    thin = boxes[:, 2:] - boxes[:, :2] < 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.where(thin.repeat(1, 2), torch.cat([centre - 2, centre + 2], -1), boxes)
