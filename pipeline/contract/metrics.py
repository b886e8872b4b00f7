"""NE of FashionAI, PCK and OKS, in numpy float64: written once, for validation, reports and the leaderboard.

NE pools d_k / s over all counted points of all images, d_k the distance in pixels, s the normaliser: the distance of the
category's reference pair in the answers, or, where the schema gives the category none, the diagonal of the box of the
garment's annotated points. Variant `default` is the published formula (visible points); `round1` is what the round-1
leaderboard computed, known from submissions whose scores are public (docs/writeup.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.records import ABSENT, VISIBLE, Annotation
from garment_keypoints.pipeline.contract.schema import Schema

VARIANTS = ("default", "round1")
MISSING_COST = 1.0
PCK_THRESHOLDS = (0.05, 0.1, 0.2)
UNIFORM_SIGMA = 0.05
"""OKS where nobody measured how far annotators differ; COCO's own are 0.026 (nose) to 0.107 (hips)."""


@dataclass(frozen=True)
class NormalizedError:
    """NE as fractions (1.0 is the normaliser): pooled, by category and by keypoint (None where nothing counts).

    `errors` (N, K) holds d / s of the counted points and NaN elsewhere.
    """

    value: float
    points: int
    skipped: int
    missing: int
    by_category: dict[str, float | None]
    by_keypoint: dict[str, float | None]
    errors: np.ndarray

    def per_image(self) -> np.ndarray:
        """(N,) mean error of each image's counted points, NaN where none counts."""
        counted = np.isfinite(self.errors)
        total = np.where(counted, self.errors, 0).sum(1)
        return np.divide(total, counted.sum(1), out=np.full(len(total), np.nan), where=counted.any(1))


def normalized_error(
    answers: Sequence[Annotation], xy: np.ndarray, given: np.ndarray, schema: Schema, variant: str = "default"
) -> NormalizedError:
    """Score points xy (N, K, 2) in image pixels, in the order of the answers; given (N, K) bool, False costs 1.0 a point.

    Raises ValueError when no point counts: there is no error of nothing.
    """
    if variant not in VARIANTS:
        raise UserError(f"variant {variant!r}; expected one of {', '.join(VARIANTS)}")
    truth, visibility, category = stack_answers(answers, schema)
    if np.shape(xy) != truth.shape or np.shape(given) != visibility.shape:
        raise ValueError(f"points {np.shape(xy)} and given {np.shape(given)} do not fit answers {truth.shape}")
    scale, usable = _normaliser(truth, visibility, category, schema, variant)
    counted = (visibility == VISIBLE) if variant == "default" else (visibility != ABSENT)
    counted &= schema.mask.numpy()[category] & usable[:, None]
    if not counted.any():
        raise UserError("no point counts: no visible point in any image whose normaliser is known")
    distance = np.linalg.norm(np.asarray(xy, dtype=np.float64) - truth, axis=-1)
    errors = np.where(given, distance / np.where(usable, scale, 1.0)[:, None], MISSING_COST)
    if not np.isfinite(errors[counted]).all():
        raise ValueError("a predicted point is not a finite number")
    errors = np.where(counted, errors, np.nan)
    return NormalizedError(
        value=float(errors[counted].mean()),
        points=int(counted.sum()),
        skipped=int((~usable).sum()),
        missing=int((counted & ~given).sum()),
        by_category={name: _mean(errors[category == c]) for c, name in enumerate(schema.categories)},
        by_keypoint={name: _mean(errors[:, k]) for k, name in enumerate(schema.keypoints)},
        errors=errors,
    )


def pck(errors: np.ndarray, threshold: float) -> float:
    """Percentage of correct keypoints, as a fraction: counted errors (N, K) of at most `threshold` normalisers."""
    counted = errors[np.isfinite(errors)]
    if not len(counted):
        raise UserError("no point counts")
    return float((counted <= threshold).mean())


def oks(
    answers: Sequence[Annotation],
    xy: np.ndarray,
    given: np.ndarray,
    schema: Schema,
    sigmas: np.ndarray | float = UNIFORM_SIGMA,
) -> np.ndarray:
    """Return COCO's object keypoint similarity (N,) of points xy (N, K, 2) in image pixels to the answers, 0 to 1.

    The mean of exp(-d^2 / (2 s^2 (2 sigma)^2)) over the annotated points, visible or not; s^2 is the area of the box of
    the annotated points, `sigmas` (K,) or one for all. Points not `given` (N, K) count 0; NaN where none is annotated.
    """
    truth, visibility, category = stack_answers(answers, schema)
    spread = np.broadcast_to(np.asarray(sigmas, dtype=np.float64), visibility.shape[1:])
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        raise UserError(f"sigmas {sigmas}; expected numbers above 0")
    counted = (visibility != ABSENT) & schema.mask.numpy()[category]
    squared = ((np.asarray(xy, dtype=np.float64) - truth) ** 2).sum(-1)
    # COCO adds the smallest step above 1, so that a box of no area divides by something.
    area = _extent(truth, counted).prod(-1) + np.spacing(1)
    similarity = np.exp(-squared / (2 * area[:, None] * (2 * spread) ** 2)) * (given & counted)
    points = counted.sum(1)
    return np.divide(similarity.sum(1), points, out=np.full(len(points), np.nan), where=points > 0)


def stack_answers(answers: Sequence[Annotation], schema: Schema) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth (N, K, 2) float64 in image pixels, visibility (N, K) and category indices (N,)."""
    if not answers:
        raise UserError("there are no answers to score against")
    category = np.array([schema.category_index(a.category) for a in answers])
    return np.stack([a.xy for a in answers]).astype(np.float64), np.stack([a.visibility for a in answers]), category


def normalisers(answers: Sequence[Annotation], schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return what normalises the errors of each image in variant `default`, in pixels (N,), and whether it is usable (N,)."""
    return _normaliser(*stack_answers(answers, schema), schema, "default")


def normalised_distances(answers: Sequence[Annotation], xy: np.ndarray, schema: Schema) -> np.ndarray:
    """Return how far each point of xy (N, K, 2) is from each true point (N, K, K), in normalisers; NaN where none is usable."""
    truth, visibility, category = stack_answers(answers, schema)
    scale, usable = _normaliser(truth, visibility, category, schema, "default")
    distance = np.linalg.norm(np.asarray(xy, dtype=np.float64)[:, :, None] - truth[:, None], axis=-1)
    return distance / np.where(usable, scale, np.nan)[:, None, None]


def _normaliser(
    truth: np.ndarray, visibility: np.ndarray, category: np.ndarray, schema: Schema, variant: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return what normalises the errors of each image, in pixels (N,), and whether it is usable (N,) bool."""
    references = [schema.reference[name] for name in schema.categories]
    pairs = np.array([pair or (0, 0) for pair in references])[category]
    rows = np.arange(len(truth))
    ends, seen = truth[rows[:, None], pairs], visibility[rows[:, None], pairs]
    if variant == "round1":
        # The leaderboard took an absent point at (-1, -1) as written, and skipped only where both coincide.
        ends = np.where(seen[..., None] == ABSENT, -1.0, ends)
    distance = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
    known = np.ones(len(truth), dtype=bool) if variant == "round1" else (seen != ABSENT).all(-1)
    by_box = np.array([pair is None for pair in references])[category]
    present = (visibility != ABSENT) & schema.mask.numpy()[category]
    scale = np.where(by_box, np.linalg.norm(_extent(truth, present), axis=-1), distance)
    return scale, (scale > 0) & (known | by_box)


def _extent(xy: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return width and height (N, 2) of the box of the counted (N, K) points xy (N, K, 2), 0 where none counts."""
    low = np.where(counted[..., None], xy, np.inf).min(1)
    high = np.where(counted[..., None], xy, -np.inf).max(1)
    return np.maximum(high - low, 0)


def _mean(errors: np.ndarray) -> float | None:
    counted = errors[np.isfinite(errors)]
    return float(counted.mean()) if len(counted) else None
