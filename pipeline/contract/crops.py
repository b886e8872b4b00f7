"""Crops: cut out of the pictures of a batch, and their points taken back; what they show of the garments.

That is containment, zoom, and how boxes differ from the true ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from garment_keypoints.pipeline.contract import geometry, warp
from garment_keypoints.pipeline.contract.records import VISIBLE, Annotation, ImageBatch, Points, PointView
from torch import Tensor

MEASURES = {
    "iou": "IoU with the true box",
    "shift_x": "centre shift across, in widths of the true box",
    "shift_y": "centre shift down, in heights of the true box",
    "log_scale": "log of the scale (0: as large as the true box)",
    "log_aspect": "log of width to height (0: as the true box)",
}


def cut(batch: ImageBatch, crop_from_image: Tensor, size_wh: tuple[int, int], image: Tensor | None = None) -> Tensor:
    """Cut crops float32 (M, 3, h, w) of 0..255 by affines (M, 2, 3); image (M,) is the picture of each (None: one a picture)."""
    with torch.autocast(batch.images.device.type, enabled=False):
        return warp.crop(batch.images, crop_from_image, size_wh, batch.sizes_wh, source=image, reduced=batch.reduced)


def cut_boxes(
    batch: ImageBatch, boxes: Tensor, size_wh: tuple[int, int], padding: float, image: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Cut the crops (M, 3, h, w) that predictions are made from, around boxes (M, 4); return them and crop_from_image (M, 2, 3).

    `padding` is a fraction of the box's sides on each side, `image` as for `cut`.
    """
    with torch.autocast(batch.images.device.type, enabled=False):
        crop_from_image = geometry.crop_from_image(boxes.float(), size_wh, padding)
    return cut(batch, crop_from_image, size_wh, image), crop_from_image


def in_image(points: Points, crop_from_image: Tensor) -> PointView:
    """Take the points of crops back to their pictures, through the affines (M, 2, 3) that the crops were cut by."""
    with torch.autocast(crop_from_image.device.type, enabled=False):
        return PointView(geometry.apply(geometry.invert(crop_from_image), points.xy.float()), points.score.float())


def whole_images(sizes_wh: Tensor) -> Tensor:
    """Return the boxes (N, 4) that show pictures of sizes_wh (N, 2) as a whole."""
    return torch.cat([torch.zeros_like(sizes_wh), sizes_wh], -1)


def contained(boxes: Tensor, rows: Sequence[Annotation]) -> float:
    """Return the share of the rows' visible points that lie in their boxes (N, 4), borders included."""
    xy = torch.from_numpy(np.stack([row.xy for row in rows]))
    visible = torch.from_numpy(np.stack([row.visibility == VISIBLE for row in rows]))
    return float(geometry.contains(boxes, xy)[visible].double().mean())


def crop_areas(boxes: Tensor, padding: float) -> Tensor:
    """Return what the crops of boxes (N, 4) show (N, 4): each padded by a fraction of its sides, and then squared."""
    return geometry.square_box(geometry.pad_box(boxes, padding))


@dataclass(frozen=True)
class BoxSet:
    """Boxes (N, 4) of a source beside the true ones (N, 4) of their rows; `fallback` (N,) tells whole images that stand in."""

    name: str
    rows: Sequence[Annotation]
    boxes: np.ndarray
    truth: np.ndarray
    fallback: np.ndarray

    def errors(self) -> dict[str, np.ndarray]:
        """Return MEASURES by name, each (N,)."""
        size, true_size = self.boxes[:, 2:] - self.boxes[:, :2], self.truth[:, 2:] - self.truth[:, :2]
        centre, true_centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2, (self.truth[:, :2] + self.truth[:, 2:]) / 2
        shift, ratio = (centre - true_centre) / true_size, np.log(size / true_size)
        iou = geometry.box_iou(torch.from_numpy(self.boxes), torch.from_numpy(self.truth)).numpy()
        scale, aspect = ratio.mean(1), ratio[:, 0] - ratio[:, 1]
        return dict(zip(MEASURES, (iou, shift[:, 0], shift[:, 1], scale, aspect), strict=True))

    def contained(self, padding: float) -> float:
        """Return the share of the visible points that the squared crop shows."""
        return contained(crop_areas(torch.from_numpy(self.boxes), padding), self.rows)

    def zoom(self, padding: float) -> float:
        """Return the median share of the crop's side that the true box's longer side takes."""
        side = (self.boxes[:, 2:] - self.boxes[:, :2]).max(1) * (1 + 2 * padding)
        return float(np.median((self.truth[:, 2:] - self.truth[:, :2]).max(1) / side))
