"""How much a figure says: the spread of a mean over seeds, and whether the difference of two is more than noise."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SURE = 2.0
"""Standard errors of a difference below which it is noise."""


@dataclass(frozen=True)
class Mean:
    """The mean of a figure over n seeds, with their standard deviation (of a sample, n - 1; None of a single seed)."""

    value: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """By how much one figure is above another, with the ends of the 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Tell whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def as_cell(self, digits: int = 2) -> str:
        """Return it as a cell of a Markdown table, bold where it is sure."""
        value, low, high = (f"{one:+.{digits}f}" for one in (self.value, self.low, self.high))
        text = f"{value} ({low} to {high})"
        return f"**{text}**" if self.sure else text


def mean(values: Sequence[float]) -> Mean | None:
    """Return the mean of these values; None of none."""
    if not values:
        return None
    return Mean(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def within_noise(a: Mean, b: Mean) -> bool | None:
    """Tell whether two means differ by less than SURE standard errors of their difference; None: too few seeds to tell."""
    if a.sd is None or b.sd is None:
        return None
    return abs(a.value - b.value) < SURE * math.sqrt(a.sd**2 / a.n + b.sd**2 / b.n)
