"""How far boxes are from the true ones, and how alike two sets of boxes are: what training crops and test crops differ in."""

from collections.abc import Mapping, Sequence

import numpy as np
from garment_keypoints.pipeline.contract.crops import MEASURES, BoxSet
from garment_keypoints.pipeline.lab.noise import Difference

PADDINGS = tuple(round(0.05 * i, 2) for i in range(9))
"""Fractions of a box's sides, added on each side, that containment is told of."""
RESAMPLES, BLOCK = 1000, 50
"""Resamplings of the images that intervals come from, and how many are held in memory at a time."""


def ks_distance(
    a: np.ndarray, b: np.ndarray, counts_a: np.ndarray | None = None, counts_b: np.ndarray | None = None
) -> np.ndarray:
    """Return the largest difference of the cumulative distributions of two samples (Kolmogorov 1933, Smirnov 1948).

    `counts_a` (..., N) and `counts_b` (..., M) say how often each value of `a` (N,) and `b` (M,) is drawn, once without them;
    returns (...).
    """
    drawn_a, drawn_b = (
        np.ones(len(one), int) if counts is None else counts for one, counts in ((a, counts_a), (b, counts_b))
    )
    values = np.concatenate([a, b])
    order = np.argsort(values)
    last = np.append(np.diff(values[order]) > 0, True)  # of equal values: all of them count as below it
    total_a, total_b = drawn_a.sum(-1, keepdims=True), drawn_b.sum(-1, keepdims=True)
    # Over one denominator the sums are whole numbers, and so exact: a sample's distance to itself is zero.
    steps = np.concatenate([drawn_a * total_b, -drawn_b * total_a], -1)[..., order]
    return np.abs(steps.cumsum(-1)[..., last]).max(-1) / (total_a * total_b)[..., 0]


def cumulative(values: np.ndarray, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return the cumulative distribution of a sample as x and y, at so many shares, without the outermost hundredths."""
    share = np.linspace(0.01, 0.99, points)
    return np.quantile(values, share), share


def summary(of: BoxSet, to: BoxSet, padding: float) -> dict[str, float]:
    """Return the figures of a set of boxes, and its distance to another set's by every measure and on average."""
    errors, expected = of.errors(), to.errors()
    distances = {f"ks_{name}": float(ks_distance(errors[name], expected[name])) for name in MEASURES}
    return {
        "boxes": len(of.boxes),
        "iou": float(errors["iou"].mean()),
        "iou_below_half": float((errors["iou"] < 0.5).mean()),
        "shift": float(np.hypot(errors["shift_x"], errors["shift_y"]).mean()),
        "log_scale": float(np.median(errors["log_scale"])),
        "log_scale_sd": float(errors["log_scale"].std()),
        "log_aspect_sd": float(errors["log_aspect"].std()),
        "contained": of.contained(padding),
        "zoom": of.zoom(padding),
        "fallback": float(of.fallback.mean()),
        **distances,
        "ks": float(np.mean(list(distances.values()))),
    }


def distances_above(sets: Sequence[BoxSet], to: BoxSet) -> dict[str, dict[str, Difference]]:
    """Return by how much each set's mean distance to another's boxes is above that of every set before it, by their names.

    The intervals come from resampling images (Efron 1979), the same ones for all sets of the same images. A resampling lengthens
    small distances more than large ones, so differences are rather too small in it than too large.
    """
    errors, expected = [one.errors() for one in sets], to.errors()
    found = [_mean_distance(one, expected) for one in errors]
    rng, blocks = np.random.default_rng(0), []
    for _ in range(RESAMPLES // BLOCK):
        drawn: dict[tuple[str, ...], np.ndarray] = {}
        counts = [_draw(one, rng, drawn) for one in (*sets, to)]
        own = zip(errors, counts[:-1], strict=True)
        blocks.append(np.stack([_mean_distance(one, expected, count, counts[-1]) for one, count in own]))
    distances = np.concatenate(blocks, 1)
    content: dict[str, dict[str, Difference]] = {}
    for i, row in enumerate(sets[1:], start=1):
        content[row.name] = {}
        for j, column in enumerate(sets[:i]):
            low, high = np.quantile(distances[i] - distances[j], (0.025, 0.975))
            content[row.name][column.name] = Difference(float(found[i] - found[j]), float(low), float(high))
    return content


def _mean_distance(
    errors: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    counts: np.ndarray | None = None,
    counts_to: np.ndarray | None = None,
) -> np.ndarray:
    return np.mean([ks_distance(errors[name], expected[name], counts, counts_to) for name in MEASURES], 0)


def _draw(of: BoxSet, rng: np.random.Generator, drawn: dict[tuple[str, ...], np.ndarray]) -> np.ndarray:
    """Return how often each box (BLOCK, N) is drawn, with the others of its image; sets of the same images share `drawn`."""
    names, image = np.unique([row.image_id for row in of.rows], return_inverse=True)
    key = tuple(names)
    if key not in drawn:
        drawn[key] = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), BLOCK)
    return drawn[key][:, image]


def jittered(boxes: np.ndarray, jitter: float) -> np.ndarray:
    """Move each side of boxes (N, 4) by up to a fraction of the box's width or height, as training does (seeded)."""
    moves = np.random.default_rng(0).uniform(-jitter, jitter, boxes.shape)
    return boxes + moves * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
