"""Boxes, 2x3 affines and the one warp, in torch, batched, on whatever device and dtype the tensors have.

Frame: continuous pixel coordinates, pixel i covers [i, i + 1), its centre is i + 0.5, a mirrored image maps x to W - x
(Heckbert 1990; detectron2's structures/keypoints.py states the same). Everything is written as multiply-adds: as a
matmul, TF32 and bf16 would move points by whole pixels.
"""

import math

import torch
from torch import Tensor


def box_from_points(xy: Tensor, present: Tensor) -> Tensor:
    """Return the extent (..., 4) of the present points: xy (..., K, 2), present (..., K) bool, at least one each."""
    if not bool(present.any(-1).all()):
        raise ValueError("a row without any present point has no box")
    low = torch.where(present[..., None], xy, math.inf).amin(-2)
    high = torch.where(present[..., None], xy, -math.inf).amax(-2)
    return torch.cat([low, high], -1)


def pad_box(box: Tensor, fraction: float) -> Tensor:
    """Grow boxes (..., 4) on each side by a fraction of their own width and height."""
    margin = (box[..., 2:] - box[..., :2]) * fraction
    return torch.cat([box[..., :2] - margin, box[..., 2:] + margin], -1)


def square_box(box: Tensor) -> Tensor:
    """Grow the shorter side of boxes (..., 4) about the centre until they are square."""
    centre = (box[..., :2] + box[..., 2:]) / 2
    half = (box[..., 2:] - box[..., :2]).amax(-1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], -1)


def clip_box(box: Tensor, size_wh: Tensor) -> Tensor:
    """Clip boxes (..., 4) to images of size_wh (..., 2)."""
    limit = size_wh.to(box)
    low = torch.minimum(box[..., :2].clamp(min=0), limit)
    high = torch.minimum(box[..., 2:].clamp(min=0), limit)
    return torch.cat([low, high], -1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union (N,) of boxes a (N, 4) and b (N, 4), pair by pair; 0 where both are empty."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - overlap
    return torch.where(union > 0, overlap / union, 0.0)


def contains(box: Tensor, xy: Tensor) -> Tensor:
    """Tell for points xy (N, K, 2) whether they lie in boxes (N, 4), borders included: (N, K) bool."""
    return ((xy >= box[:, None, :2]) & (xy <= box[:, None, 2:])).all(-1)


def crop_from_image(
    boxes: Tensor,
    size_wh: tuple[int, int],
    padding: float = 0.0,
    angle_deg: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    flip: Tensor | None = None,
) -> Tensor:
    """Build the affines (N, 2, 3) that map image pixels to pixels of a crop of size_wh, for boxes (N, 4).

    The padded box (fraction of its width and height on each side) is fitted into the crop about its centre without
    stretching. Then, about the centre: scale (N,) > 1 enlarges the garment, angle_deg (N,) > 0 turns the picture
    counter-clockwise as seen, shift (N, 2) moves it by fractions of the crop's sides, flip (N,) bool mirrors the crop
    last. The caller permutes keypoints with `Schema.flip_index`.
    """
    crop = boxes.new_tensor(size_wh)
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (1 + 2 * padding)
    if not bool((extent > 0).all()):
        raise ValueError("a box without area cannot be cropped")
    zoom = (crop / extent).amin(-1)
    if scale is not None:
        zoom = zoom * scale.to(zoom)
    angle = torch.zeros_like(zoom) if angle_deg is None else torch.deg2rad(angle_deg.to(zoom))
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    target = crop / 2 if shift is None else crop / 2 + crop * shift.to(zoom)
    target = target.expand(len(boxes), 2)
    tx = target[:, 0] - (cos * centre[:, 0] + sin * centre[:, 1])
    ty = target[:, 1] - (cos * centre[:, 1] - sin * centre[:, 0])
    affine = torch.stack([torch.stack([cos, sin, tx], -1), torch.stack([-sin, cos, ty], -1)], -2)
    return affine if flip is None else torch.where(flip[:, None, None], mirror(affine, size_wh[0]), affine)


def mirror(affine: Tensor, width: int) -> Tensor:
    """Follow affines (N, 2, 3) by the mirroring x -> width - x of the frame that they map to."""
    x_row = -affine[:, 0]
    x_row = torch.cat([x_row[:, :2], x_row[:, 2:] + width], -1)
    return torch.stack([x_row, affine[:, 1]], 1)


def invert(affine: Tensor) -> Tensor:
    """Invert affines (N, 2, 3)."""
    (a, b, tx), (c, d, ty) = (affine[:, i].unbind(-1) for i in range(2))
    det = a * d - b * c
    ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
    first = torch.stack([ia, ib, -(ia * tx + ib * ty)], -1)
    second = torch.stack([ic, id_, -(ic * tx + id_ * ty)], -1)
    return torch.stack([first, second], -2)


def apply(affine: Tensor, xy: Tensor) -> Tensor:
    """Map points xy (N, K, 2) by affines (N, 2, 3)."""
    x, y = xy.unbind(-1)
    m = affine[:, :, :, None]
    return torch.stack([m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2], m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]], -1)


def transform_box(affine: Tensor, box: Tensor) -> Tensor:
    """Map boxes (N, 4) by affines (N, 2, 3) and return the upright boxes (N, 4) around the results."""
    x0, y0, x1, y1 = box.unbind(-1)
    corners = torch.stack([torch.stack(c, -1) for c in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], 1)
    corners = apply(affine, corners)
    return torch.cat([corners.amin(1), corners.amax(1)], -1)
