"""How rows of two runs are compared, by hand."""

from copy import deepcopy
from typing import Any

import pytest

from tests.scale.observed import compared

ROW = {"garment": 0, "category": "skirt", "error": None, "score": 0.5, "x0": 1.0, "y0": 2.0, "x1": 30.0, "y1": 40.0,
       "points": [{"keypoint": "hemline_left", "x": 3.0, "y": 39.0, "score": 0.3}]}  # fmt: skip
FAILED = ROW | dict.fromkeys(("x0", "y0", "x1", "y1", "category", "points"), None) | {"error": "it died"}
NOTHING = {"lost": 0, "twice": 0, "others": 0, "points": 0, "errors": 0}


def rows(*changed: tuple[str, Any]) -> dict[str, list[dict[str, Any]]]:
    made = {name: [deepcopy(ROW)] for name in "abc"}
    for name, value in changed:
        made["a"][0][name] = value
    return made


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ((), {}),
        ((("x1", 30.09), ("score", 0.5005)), {}),
        ((("score", 0.49),), {"others": 1}),
        ((("x1", 30.2),), {"others": 1}),
        ((("category", "dress"),), {"others": 1}),
        ((("points", [{"keypoint": "hemline_left", "x": 3.05, "y": 39.0, "score": 0.3}]),), {}),
        ((("points", [{"keypoint": "hemline_left", "x": 3.0, "y": 38.0, "score": 0.3}]),), {"points": 1}),
        (tuple(FAILED.items()), {"others": 1, "errors": 1}),
    ],
)
def test_one_row_differs(changed: tuple, counts: dict[str, int]) -> None:
    assert compared(rows(*changed), rows()) == {"ids": 3, **NOTHING, **counts}


def test_rows_are_lost_or_there_twice() -> None:
    found = rows()
    del found["a"]
    found["b"] *= 2
    found["c"] += [found["c"][0] | {"garment": 1}]
    assert compared(found, rows()) == {"ids": 2, **NOTHING, "lost": 1, "twice": 1, "others": 2}
