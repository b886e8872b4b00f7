"""Contact sheets of what the loaders really yield. Takes arrays; knows no stage."""

from collections.abc import Sequence

import numpy as np
import torch
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.crops import crop_areas
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.pictures import (
    BOX,
    CROP,
    TRUE_BOX,
    as_picture,
    contact_sheet,
    draw_box,
    draw_points,
    drawable,
    overlay_heatmaps,
)
from PIL import Image
from torch import Tensor


def inputs_sheet(inputs: Tensor, boxes: Tensor, category: Tensor, schema: Schema) -> Image.Image:
    """Draw detector inputs (B, 3, h, w) of 0..255 with their target boxes (B, G, 4) of `category` (B, G), -1 none."""
    tiles = []
    for one, of_one, labels in zip(inputs, boxes, category, strict=True):
        picture = as_picture(one)
        for box in of_one[labels >= 0]:
            draw_box(picture, box.tolist(), TRUE_BOX)
        tiles.append((picture, [", ".join(schema.categories[k] for k in labels[labels >= 0].tolist())]))
    return contact_sheet(tiles, columns=6)


def boxes_sheet(
    rows: Sequence[Annotation],
    truth: Tensor,
    boxes: BoxTable,
    padding: float,
    schema: Schema,
    each: int = 12,
) -> Image.Image:
    """Draw the worst, median and best boxes by IoU: true (N, 4) green, predicted yellow, the squared crop violet."""
    iou = geometry.box_iou(torch.tensor(boxes.boxes), truth.double()).numpy()
    order = np.argsort(iou)
    middle = max(0, len(order) // 2 - each // 2)
    chosen = dict.fromkeys([*order[:each], *order[middle : middle + each], *order[-each:]])
    tiles, squares = [], crop_areas(torch.tensor(boxes.boxes), padding)
    for i in chosen:
        picture, scale = drawable(rows[i].path)
        draw_box(picture, (squares[i] * scale).tolist(), CROP, 1)
        draw_box(picture, (truth[i] * scale).tolist(), TRUE_BOX, 2)
        draw_box(picture, boxes.boxes[i] * scale, BOX, 3)
        draw_points(picture, rows[i].xy * scale, rows[i].present, schema, radius=3)
        found = "whole image" if boxes.fallback[i] else f"score {boxes.score[i]:.2f}"
        tiles.append((picture, [f"IoU {iou[i]:.2f}, {found}", f"{rows[i].category}, fold {boxes.fold[i]}"]))
    return contact_sheet(tiles, columns=6)


def crops_sheet(
    crops: Tensor, xy: Tensor, weight: Tensor, targets: Tensor | None, captions: Sequence[str], schema: Schema
) -> Image.Image:
    """Draw crops (N, 3, h, w) with their points (N, K, 2), hollow where the weight (N, K) is below 1.

    Target maps (N, K, h, w), where a codec has such, are drawn beside them.
    """
    tiles = []
    for i, caption in enumerate(captions):
        picture = as_picture(crops[i])
        whole, part = (weight[i] >= 1).numpy(), ((weight[i] > 0) & (weight[i] < 1)).numpy()
        draw_points(picture, xy[i].numpy(), whole, schema, radius=3)
        draw_points(picture, xy[i].numpy(), part, schema, filled=False, radius=3)
        tiles.append((picture, [caption]))
        if targets is not None:
            shown = targets[i] * (weight[i] > 0)[:, None, None]
            tiles.append((overlay_heatmaps(as_picture(crops[i]), shown, schema), ["targets"]))
    return contact_sheet(tiles, columns=8)


def points_sheet(
    crops: Tensor, truth: Tensor, seen: Tensor, xy: Tensor, maps: Tensor | None, captions: Sequence[str], schema: Schema
) -> Image.Image:
    """Draw crops (N, 3, h, w) with the predicted points xy (N, K, 2), filled, and the true ones, hollow, that are `seen` (N, K).

    The network's maps (N, K, h, w) of 0..1, where it has such, are drawn beside them.
    """
    tiles = []
    for i, caption in enumerate(captions):
        picture = as_picture(crops[i])
        draw_points(picture, truth[i].numpy(), seen[i].numpy(), schema, filled=False, radius=3)
        draw_points(picture, xy[i].numpy(), seen[i].numpy(), schema, radius=3)
        tiles.append((picture, [caption]))
        if maps is not None:
            shown = maps[i] * seen[i][:, None, None]
            tiles.append((overlay_heatmaps(as_picture(crops[i]), shown, schema), ["maps"]))
    return contact_sheet(tiles, columns=8)
