"""Kinds of errors, each by hand."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.errors import KINDS, UNCOUNTED, Facet, binned, facets, kinds_of, shares

BAND_LEFT, BAND_RIGHT, HEM_LEFT, HEM_RIGHT = 15, 16, 17, 18


def skirt(**points: tuple[float, float, int]) -> Annotation:
    """A skirt, its waistband 100 pixels wide at height 0, its hems 200 apart at height 300."""
    places = {BAND_LEFT: (0, 0, 1), BAND_RIGHT: (100, 0, 1), HEM_LEFT: (-50, 300, 1), HEM_RIGHT: (150, 300, 1)}
    places |= {{"hem_left": HEM_LEFT, "hem_right": HEM_RIGHT}[name]: point for name, point in points.items()}
    xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
    for k, (x, y, v) in places.items():
        xy[k], visibility[k] = (x, y), v
    return Annotation("a", "skirt", Path("a"), xy, visibility)


def kinds(schema: Schema, answer: Annotation, given: bool = True, **moved: tuple[float, float]) -> dict[int, str]:
    xy = answer.xy.copy()
    for name, place in moved.items():
        xy[{"band_left": BAND_LEFT, "hem_left": HEM_LEFT}[name]] = place
    all_given = np.ones((1, 24), dtype=bool)
    all_given[0, HEM_LEFT] = given
    errors = normalized_error([answer], xy[None], all_given, schema).errors
    found = kinds_of([answer], xy[None], all_given, errors, schema)[0]
    return {k: KINDS[kind] for k, kind in enumerate(found) if kind != UNCOUNTED}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ((-50, 305), "good"),  # exactly 0.05
        ((-50, 306), "jitter"),
        ((-50, 320), "jitter"),  # exactly 0.2
        ((-50, 321), "miss"),
        ((150, 300), "swap"),
        ((150, 319), "swap"),
        ((150, 321), "miss"),  # nearest to the other side, but far from it too
        ((1, 10), "neighbour"),
        ((50, 300), "miss"),  # between both sides
    ],
)
def test_a_point_is_judged_by_the_true_point_it_is_nearest_to(schema: Schema, place, kind: str) -> None:
    found = kinds(schema, skirt(), hem_left=place)
    assert found == {BAND_LEFT: "good", BAND_RIGHT: "good", HEM_LEFT: kind, HEM_RIGHT: "good"}


def test_occluded_points_attract_but_do_not_count(schema: Schema) -> None:
    found = kinds(schema, skirt(hem_right=(150, 300, 0)), hem_left=(150, 300))
    assert found == {BAND_LEFT: "good", BAND_RIGHT: "good", HEM_LEFT: "swap"}
    # An absent one does not.
    assert kinds(schema, skirt(hem_right=(-1, -1, -1)), hem_left=(-1, -1))[HEM_LEFT] == "neighbour"


def test_what_is_not_given_is_a_miss(schema: Schema) -> None:
    assert kinds(schema, skirt(), given=False)[HEM_LEFT] == "miss"


def test_shares_of_points_and_of_ne(schema: Schema) -> None:
    errors = np.array([[0.0, 0.1, 0.3, np.nan]])
    found = np.array([[0, 1, 4, UNCOUNTED]])
    facet = Facet("half", ("first", "second", "none"), np.array([[0, 0, 1, 1]]))
    all_points, first, second = shares(facet, errors, found)
    assert (all_points.name, all_points.points, all_points.ne) == ("all", 3, pytest.approx(0.4 / 3))
    assert all_points.of_ne == pytest.approx((0, 0.25, 0, 0, 0.75))
    assert first.kinds == (0.5, 0.5, 0, 0, 0)
    assert (second.name, second.points, second.kinds[4]) == ("second", 1, 1.0)


def test_bins_and_facets(schema: Schema) -> None:
    facet = binned("x", np.array([0.0, 5, 9.9, 10, np.nan]), (5, 10), " px", 2)
    assert facet.names == ["below 5 px", "5 to 10 px", "10 px or more"]
    assert facet.index[:, 0].tolist() == [0, 1, 1, 2, 3]
    answer = skirt()
    category, keypoint, size, turn, box = facets([answer], np.array([[400, 600]]), np.array([0.75]), schema)
    assert category.names[category.index[0, 0]] == "skirt"
    assert keypoint.names[keypoint.index[0, HEM_LEFT]] == "hemline_left"
    assert size.names[size.index[0, 0]] == "50 to 75 %"  # 300 of 600
    assert turn.names[turn.index[0, 0]] == "below 5°"
    assert box.names[box.index[0, 0]] == "0.7 to 0.8"
    assert len(facets([answer], np.array([[400, 600]]), None, schema)) == 4
