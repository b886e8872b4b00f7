"""The collapse alarm: stops a training that ended up answering much the same whatever it is shown.

Regression and heatmap networks both fall into that hole (docs/writeup.md, docs/collapse.md). It shows
in two ways: an NE not better than that of the best constant in the same crops, and points that hardly vary. A training whose
NE still falls is in no hole, however bad it is: slow ones pass for long what collapsed ones end at.
"""

from collections.abc import Sequence

import numpy as np
import torch
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.metrics import normalized_error, stack_answers
from garment_keypoints.pipeline.contract.records import ABSENT, Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from torch import Tensor

SPREAD_SHARE = 0.1
GAIN = 0.005
"""Fraction by which NE falls below the best so far where a training still gets better."""
ROUNDING = 1e-6
PATIENCE = 2
FEWEST_ROWS = 8
REMEDY = (
    "Lower the learning rate (--keypoints.train.lr), lengthen the warm-up, use pretrained weights, or look at the crops "
    "(python -m pipeline look --stage keypoints); then start in a new run folder"
)


class CollapseError(UserError):
    """Training has collapsed; the message says how it shows and what to change."""


class CollapseAlarm:
    """Watches the predictions for fixed rows in fixed crops.

    `crop_from_image` (N, 2, 3) are the crops' affines; the best constant is the mean, in crop pixels, of each
    keypoint of a category.
    """

    def __init__(self, rows: Sequence[Annotation], crop_from_image: Tensor, schema: Schema) -> None:
        self.rows, self.schema = rows, schema
        self.image_from_crop = geometry.invert(crop_from_image.cpu().double())
        truth, visibility, self.category = stack_answers(rows, schema)
        self.present = visibility != ABSENT
        self.truth = geometry.apply(crop_from_image.cpu().double(), torch.from_numpy(truth)).numpy()
        constant = np.zeros_like(self.truth)
        for c in np.unique(self.category):
            members = self.category == c
            counted = self.present[members][..., None]
            mean = (self.truth[members] * counted).sum(0) / counted.sum(0).clip(1)
            constant[members] = mean
        self.constant_ne = self._ne(constant)
        self.best_ne = np.inf
        self.signs: list[str] = []
        self.strikes = 0

    def check(self, xy: np.ndarray, watching: bool = True) -> float:
        """Return the NE of points xy (N, K, 2) in crop pixels; raise CollapseError at the second bad look in a row.

        A look is bad when it shows signs of a collapse and NE does not fall any more. Points that are not finite end it at
        once, watching or not: nothing leads back from there.
        """
        if not np.isfinite(xy).all():
            raise CollapseError(f"training has diverged: its points are not finite. {REMEDY}")
        ne = self._ne(xy)
        better = ne < (1 - GAIN) * self.best_ne
        self.best_ne = min(self.best_ne, ne)
        self.signs = self._signs(xy, ne) if watching and not better else []
        self.strikes = self.strikes + 1 if self.signs else 0
        if self.strikes >= PATIENCE:
            self.end()
        return ne

    def end(self) -> None:
        """Raise CollapseError when the last look was a bad one: there is none to come that could be better."""
        if self.signs:
            raise CollapseError(f"training has collapsed: {'; '.join(self.signs)}. {REMEDY}")

    def _ne(self, xy: np.ndarray) -> float:
        points = geometry.apply(self.image_from_crop, torch.tensor(xy, dtype=torch.float64)).numpy()
        return normalized_error(self.rows, points, np.ones(xy.shape[:2], dtype=bool), self.schema).value

    def _signs(self, xy: np.ndarray, ne: float) -> list[str]:
        signs = []
        # Rounding aside: a constant answer has its NE exactly.
        if ne > (1 - ROUNDING) * self.constant_ne:
            signs.append(f"NE is {ne:.1%}, the best constant in these crops has {self.constant_ne:.1%}")
        for c, name in enumerate(self.schema.categories):
            members = self.category == c
            counted = self.present[members]
            if members.sum() >= FEWEST_ROWS:
                spread, truth = (_spread(values[members], counted) for values in (xy, self.truth))
                if spread < SPREAD_SHARE * truth:
                    signs.append(f"points of {name} vary by {spread:.1f} crop pixels, the true ones by {truth:.1f}")
        return signs


def _spread(xy: np.ndarray, counted: np.ndarray) -> float:
    """Return the root mean square distance of the counted points (N, K) from their keypoint's mean."""
    weight = counted[..., None]
    mean = (xy * weight).sum(0) / weight.sum(0).clip(1)
    return float(np.sqrt((((xy - mean) ** 2) * weight).sum() / max(1, counted.sum())))
