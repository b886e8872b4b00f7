"""What kind of error each point is, and where the kinds come from: by category, keypoint, box, size and turn of the garment.

The kinds are those of Ronchi and Perona (2017, 1707.05388), with distances in normalisers of NE instead of OKS: a point is
judged by which true point of its garment it is nearest to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from garment_keypoints.pipeline.contract.metrics import normalised_distances
from garment_keypoints.pipeline.contract.records import ABSENT, Annotation
from garment_keypoints.pipeline.contract.schema import Schema

KINDS = ("good", "jitter", "swap", "neighbour", "miss")
MEANING = {
    "good": "at most 0.05 from its true point",
    "jitter": "nearest to its own true point, 0.05 to 0.2 from it",
    "swap": "nearest to the true point of the other side, at most 0.2 from that",
    "neighbour": "nearest to another true point of its garment, at most 0.2 from that",
    "miss": "more than 0.2 from the nearest true point",
}
GOOD, NEAR = 0.05, 0.2
UNCOUNTED = -1


@dataclass(frozen=True)
class Facet:
    """A way to look at the points: what each is, as a name of the facet's; uncounted points have any."""

    title: str
    names: Sequence[str]
    index: np.ndarray


@dataclass(frozen=True)
class Share:
    """Points of one name of a facet: how many, their NE, and the fraction of each kind among them and in their NE."""

    name: str
    points: int
    ne: float
    kinds: tuple[float, ...]
    of_ne: tuple[float, ...]


def kinds_of(
    answers: Sequence[Annotation], xy: np.ndarray, given: np.ndarray, errors: np.ndarray, schema: Schema
) -> np.ndarray:
    """Return the kind (N, K), an index of KINDS, of points xy (N, K, 2); UNCOUNTED where `errors` (N, K), of NE, is NaN.

    What is not given (N, K) is a miss.
    """
    counted = np.isfinite(errors)
    present = np.stack([answer.visibility != ABSENT for answer in answers])
    distances = normalised_distances(answers, xy, schema)  # (N, K predicted, K true)
    distances = np.where(present[:, None, :], distances, np.inf)
    nearest = distances.argmin(-1)
    own = np.arange(len(schema.keypoints))
    # Of equals, the own point is the nearest.
    own_distance = np.take_along_axis(distances, own[None, :, None].repeat(len(answers), 0), -1)[..., 0]
    nearest = np.where(own_distance <= distances.min(-1), own, nearest)
    reach = distances.min(-1)
    kind = np.full(errors.shape, KINDS.index("miss"))
    kind[reach <= NEAR] = KINDS.index("neighbour")
    kind[(reach <= NEAR) & (nearest == np.array(schema.flip_index))] = KINDS.index("swap")
    kind[(reach <= NEAR) & (nearest == own)] = KINDS.index("jitter")
    kind[own_distance <= GOOD] = KINDS.index("good")
    kind[~given] = KINDS.index("miss")
    return np.where(counted, kind, UNCOUNTED)


def shares(facet: Facet, errors: np.ndarray, kinds: np.ndarray) -> list[Share]:
    """Return the share of each name of the facet that has points, and of all points first."""
    counted = kinds != UNCOUNTED
    found = []
    for name, chosen in [
        ("all", counted),
        *((name, counted & (facet.index == i)) for i, name in enumerate(facet.names)),
    ]:
        if chosen.any():
            kind, error = kinds[chosen], errors[chosen]
            masks = [kind == k for k in range(len(KINDS))]
            total = error.sum() or 1.0
            found.append(
                Share(
                    name, int(chosen.sum()), float(error.mean()),
                    tuple(float(mask.mean()) for mask in masks), tuple(float(error[mask].sum() / total) for mask in masks),
                )
            )  # fmt: skip
    return found


def binned(title: str, values: np.ndarray, edges: Sequence[float], unit: str, keypoints: int) -> Facet:
    """Make a facet of a value (N,) an image, cut at the edges; NaN belongs to none."""
    names = [f"below {edges[0]:g}{unit}"]
    names += [f"{low:g} to {high:g}{unit}" for low, high in pairwise(edges)]
    names.append(f"{edges[-1]:g}{unit} or more")
    index = np.where(np.isfinite(values), np.digitize(np.nan_to_num(values), edges), len(names))
    return Facet(title, names, index[:, None].repeat(keypoints, 1))


def facets(answers: Sequence[Annotation], sizes_wh: np.ndarray, iou: np.ndarray | None, schema: Schema) -> list[Facet]:
    """Return the facets of answers whose pictures have sizes_wh (N, 2); with `iou` (N,) of the boxes, that of box quality."""
    count = len(schema.keypoints)
    category = np.array([schema.category_index(one.category) for one in answers])[:, None].repeat(count, 1)
    keypoint = np.arange(count)[None].repeat(len(answers), 0)
    extent, turn = np.full(len(answers), np.nan), np.full(len(answers), np.nan)
    for i, one in enumerate(answers):
        xy = one.xy[one.present]
        if len(xy) > 1:
            extent[i] = 100 * np.ptp(xy, axis=0).max() / sizes_wh[i].max()
        pair = schema.reference[one.category]
        if pair and one.present[list(pair)].all():
            across = one.xy[pair[1]] - one.xy[pair[0]]
            turn[i] = abs(np.degrees(np.arctan2(across[1], across[0])))
    every = [
        Facet("category", schema.categories, category),
        Facet("keypoint", schema.keypoints, keypoint),
        binned("size of the garment, of the picture's longer side", extent, (25, 50, 75), " %", count),
        binned("turn of the shoulders or waist from upright", turn, (5, 15, 45), "°", count),
    ]
    if iou is not None:
        every.append(binned("box, IoU with the true one", iou, (0.5, 0.7, 0.8, 0.9), "", count))
    return every
