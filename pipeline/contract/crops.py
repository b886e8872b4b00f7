"""What crops show of the garments that they are cut around: containment, zoom, and how boxes differ from the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.contract import geometry
from pipeline.contract.records import VISIBLE, Annotation

MEASURES = {
    "iou": "IoU with the true box",
    "shift_x": "centre shift across, in widths of the true box",
    "shift_y": "centre shift down, in heights of the true box",
    "log_scale": "log of the scale (0: as large as the true box)",
    "log_aspect": "log of width to height (0: as the true box)",
}


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
        crops = geometry.square_box(geometry.pad_box(torch.from_numpy(self.boxes), padding))
        xy = torch.from_numpy(np.stack([row.xy for row in self.rows]))
        visible = np.stack([row.visibility == VISIBLE for row in self.rows])
        return float(geometry.contains(crops, xy).numpy()[visible].mean())

    def zoom(self, padding: float) -> float:
        """Return the median share of the crop's side that the true box's longer side takes."""
        side = (self.boxes[:, 2:] - self.boxes[:, :2]).max(1) * (1 + 2 * padding)
        return float(np.median((self.truth[:, 2:] - self.truth[:, :2]).max(1) / side))
