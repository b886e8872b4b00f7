"""Where the error of submissions sits, side by side: by size and by kind of the points' errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.reporting.errors import KINDS, MEANING, UNCOUNTED
from garment_keypoints.pipeline.reporting.tables import as_table

EDGES = (0.0, 0.05, 0.1, 0.2, np.inf)
WORST = 0.1
"""Share of the images that are looked at as the worst."""


@dataclass(frozen=True)
class Scored:
    """Errors (N, K), in normalisers and NaN where they do not count, and kinds (N, K) of a submission's points."""

    errors: np.ndarray
    kinds: np.ndarray

    def __post_init__(self) -> None:
        if not (self.kinds != UNCOUNTED).any():
            raise UserError("no point counts: the answers have no visible point of the submission's images")

    @property
    def counted(self) -> np.ndarray:
        return self.errors[self.kinds != UNCOUNTED]

    def share(self, chosen: np.ndarray) -> tuple[float, float]:
        """Return which fraction of the points, and of the sum of their errors, the `chosen` of `counted` are."""
        return float(chosen.mean()), float(self.counted[chosen].sum() / (self.counted.sum() or 1.0))

    @property
    def of_the_worst(self) -> float:
        """The fraction of the sum that the worst images carry, by the mean error of their points."""
        known = np.isfinite(self.errors)
        sums, counts = np.where(known, self.errors, 0).sum(1), known.sum(1)
        sums, counts = sums[counts > 0], counts[counts > 0]
        worst = np.argsort(-sums / counts, kind="stable")[: max(1, round(WORST * len(sums)))]
        return float(sums[worst].sum() / (sums.sum() or 1.0))


def decomposition(submissions: Mapping[str, Scored]) -> str:
    """Write two Markdown tables, each submission by its name: figures of the whole, and what errors of each sort make up."""
    whole = [
        ["NE %", *(f"{100 * one.counted.mean():.3f}" for one in submissions.values())],
        ["median point %", *(f"{100 * np.median(one.counted):.2f}" for one in submissions.values())],
        [
            "share of the worst tenth of the images %",
            *(f"{100 * one.of_the_worst:.1f}" for one in submissions.values()),
        ],
    ]
    head = ["errors"]
    for name in submissions:
        head += [f"{name}: points %", "of the sum %"]
    rows = []
    for low, high in pairwise(EDGES):
        title = f"above {100 * low:g} %" if high == np.inf else f"{100 * low:g} to {100 * high:g} %"
        rows.append([title, *_cells(submissions, lambda one, low=low, high=high: _between(one.counted, low, high))])
    for kind, name in enumerate(KINDS):
        of_kind = _cells(submissions, lambda one, kind=kind: one.kinds[one.kinds != UNCOUNTED] == kind)
        rows.append([f"{name}: {MEANING[name]}", *of_kind])
    return as_table(["", *submissions], whole) + "\n" + as_table(head, rows)


def _between(errors: np.ndarray, low: float, high: float) -> np.ndarray:
    return (errors > low if low else errors >= low) & (errors <= high)


def _cells(submissions: Mapping[str, Scored], choose: Callable[[Scored], np.ndarray]) -> list[str]:
    return [f"{100 * part:.1f}" for one in submissions.values() for part in one.share(choose(one))]
