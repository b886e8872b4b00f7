"""The decomposition of errors, on a hand-worked case."""

import numpy as np
import pytest
from garment_keypoints.pipeline.reporting.decomposition import Scored, decomposition
from garment_keypoints.pipeline.reporting.errors import KINDS, UNCOUNTED

GOOD, JITTER, MISS = (KINDS.index(name) for name in ("good", "jitter", "miss"))
ONE = Scored(
    np.array([[0.01, 0.05, np.nan], [0.08, 0.36, 0.10]]),
    np.array([[GOOD, GOOD, UNCOUNTED], [JITTER, MISS, JITTER]]),
)
"""Five points, of 0.6 in sum; the second image has 0.54 of it."""


def cells(text: str, title: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_shares_of_the_points_and_of_the_sum() -> None:
    text = decomposition({"mine": ONE})
    assert cells(text, "NE %") == ["12.000"]
    assert cells(text, "median point %") == ["8.00"]
    assert cells(text, "share of the worst tenth") == ["90.0"]
    # An edge belongs to the smaller errors, as a point at 0.05 is good.
    assert cells(text, "0 to 5 %") == ["40.0", "10.0"]
    assert cells(text, "5 to 10 %") == ["40.0", "30.0"]
    assert cells(text, "10 to 20 %") == ["0.0", "0.0"]
    assert cells(text, "above 20 %") == ["20.0", "60.0"]
    assert cells(text, "good: ") == ["40.0", "10.0"]
    assert cells(text, "jitter: ") == ["40.0", "30.0"]
    assert cells(text, "miss: ") == ["20.0", "60.0"]
    assert cells(text, "swap: ") == ["0.0", "0.0"]


def test_submissions_stand_side_by_side() -> None:
    half = Scored(ONE.errors / 2, np.where(ONE.kinds == UNCOUNTED, UNCOUNTED, GOOD))
    text = decomposition({"before": ONE, "now": half})
    assert cells(text, "NE %") == ["12.000", "6.000"]
    assert cells(text, "above 20 %") == ["20.0", "60.0", "0.0", "0.0"]
    assert cells(text, "good: ") == ["40.0", "10.0", "100.0", "100.0"]
    assert "| before: points % | of the sum % | now: points % | of the sum % |" in text


def test_the_worst_images_are_those_of_the_largest_mean() -> None:
    errors = np.full((20, 2), 0.1)
    errors[3] = [0.5, np.nan]
    errors[4] = [0.4, 0.4]
    one = Scored(errors, np.where(np.isfinite(errors), GOOD, UNCOUNTED))
    assert one.of_the_worst == pytest.approx(1.3 / (18 * 0.2 + 1.3))


def test_nothing_to_decompose() -> None:
    with pytest.raises(ValueError, match="no point counts"):
        Scored(np.full((1, 2), np.nan), np.full((1, 2), UNCOUNTED))
