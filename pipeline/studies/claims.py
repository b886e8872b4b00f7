"""What the write-up blamed for its failures, as geometry: crops that lose a point, and crops that others' clothes invade.

Its claims (shared notes, seed.md): one lost point makes the network misplace all the others, and a crop of one garment often
holds another.
"""

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.contract import geometry

POSITIONS = 33
"""Places, evenly spread over four fifths of a box's side, to which a side is moved to lose a point."""
RESAMPLES = 2000


def crops_of(boxes: np.ndarray, padding: float) -> np.ndarray:
    """Return what the crops of boxes (N, 4) show, squares (N, 4) in image pixels."""
    return geometry.square_box(geometry.pad_box(torch.from_numpy(boxes), padding)).numpy()


def losing_one(box: np.ndarray, xy: np.ndarray, counted: np.ndarray, padding: float) -> tuple[np.ndarray, int] | None:
    """Move one side of a box (4,) so that its crop loses exactly one of the counted points xy (K, 2), and little else.

    Returns the box and the lost point's number; None where no side can lose a single point.
    """
    candidates = []
    for side in range(4):
        opposite = box[(side + 2) % 4]
        moved = np.repeat(box[None], POSITIONS, 0)
        moved[:, side] = box[side] + (opposite - box[side]) * np.linspace(0, 0.8, POSITIONS)
        candidates.append(moved)
    boxes = np.concatenate(candidates)
    inside = geometry.contains(torch.from_numpy(crops_of(boxes, padding)), torch.from_numpy(xy)[None]).numpy()
    one = (~inside & counted).sum(1) == 1
    if not one.any():
        return None
    area = np.where(one, (boxes[:, 2:] - boxes[:, :2]).prod(1), -1)
    best = int(area.argmax())
    return boxes[best], int((~inside[best] & counted).argmax())


def interval(differences: Sequence[float] | np.ndarray, weights: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the weighted mean of these differences (N,), by resampling the images (seeded)."""
    values, share = np.asarray(differences, dtype=float), np.asarray(weights, dtype=float)
    chosen = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    means = (values * share)[chosen].sum(1) / share[chosen].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def invaded(crop: np.ndarray, others: Sequence[np.ndarray], points: Sequence[np.ndarray]) -> tuple[float, int]:
    """Return the largest share of a crop (4,) that another garment's box (4,) covers, and how many of their points it holds."""
    x0, y0, x1, y1 = crop
    shares = [0.0]
    for box in others:
        width, height = min(x1, box[2]) - max(x0, box[0]), min(y1, box[3]) - max(y0, box[1])
        shares.append(max(width, 0) * max(height, 0) / ((x1 - x0) * (y1 - y0)))
    held = sum(int(((xy >= crop[:2]) & (xy <= crop[2:])).all(-1).sum()) for xy in points)
    return max(shares), held
