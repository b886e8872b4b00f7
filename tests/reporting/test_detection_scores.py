"""Finds against labels and garments, worked by hand."""

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.reporting.detection_scores import against_annotated, against_garments, against_labels

NOTHING = np.full((24, 2), np.nan)


def find(category: str, score: float, *box: float) -> Garment:
    return Garment(category, score, np.array(box or (0, 0, 10, 10), dtype=float), NOTHING, NOTHING[:, 0])


def photo(*finds: Garment, error: str = "") -> PhotoResult:
    return PhotoResult("a.jpg", (100, 100), list(finds), error)


def test_the_surest_find_is_held_against_the_label() -> None:
    results = [
        photo(find("skirt", 0.5), find("dress", 0.9)),  # a dress, as labelled
        photo(find("skirt", 0.8)),  # labelled a dress
        photo(find("skirt", 0.3)),  # below the threshold
        photo(error="damaged"),
    ]
    figures = against_labels(results, ["dress", "dress", "skirt", "skirt"], 0.4)
    assert figures == {
        "threshold": 0.4,
        "photos": 4,
        "finds_a_photo": 0.75,
        "correct": 0.25,
        "correct_by_class": {"dress": 0.5, "skirt": 0.0},
        "taken_for": {"dress": {"dress": 1, "skirt": 1}, "skirt": {"none": 1, "unreadable": 1}},
    }


def test_nothing_is_right_where_there_is_no_garment() -> None:
    results = [photo(), photo(find("skirt", 0.9)), photo(find("skirt", 0.3)), photo(error="damaged")]
    figures = against_labels(results, ["none"] * 4, 0.4)
    assert figures["correct_by_class"] == {"none": 0.5}
    assert figures["taken_for"] == {"none": {"none": 2, "skirt": 1, "unreadable": 1}}


def truth(category: str, *box: float) -> dict:
    return {"category": category, "box": list(box)}


def test_every_garment_is_found_once() -> None:
    """Two skirts side by side, a blouse; both finds of skirts lie on the first, one of a dress on the second."""
    garments = [truth("skirt", 0, 0, 10, 10), truth("skirt", 20, 0, 30, 10), truth("blouse", 0, 20, 10, 30)]
    results = [
        photo(
            find("skirt", 0.9, 0, 0, 10, 10),
            find("skirt", 0.8, 1, 0, 10, 10),
            find("dress", 0.7, 20, 0, 30, 10),
            find("blouse", 0.6, 0, 20, 10, 24.9),  # an IoU of 0.49
        ),
        photo(find("blouse", 0.2, 0, 0, 9, 9)),
    ]
    figures = against_garments(results, [garments, [truth("blouse", 0, 0, 10, 10)]], 0.4)
    assert figures["recall_by_category"] == {"blouse": 0, "skirt": 0.5}
    assert (figures["recall"], figures["precision"]) == (0.25, 0.25)
    assert (figures["garments"], figures["finds_a_photo"]) == (4, 2)
    low = against_garments(results, [garments, [truth("blouse", 0, 0, 10, 10)]], 0.1)
    assert (low["recall"], low["precision"]) == (0.5, pytest.approx(0.4))
    assert against_garments(results, [garments, []], 0.95)["precision"] is None


def test_one_garment_is_annotated_and_others_are_not_judged() -> None:
    """A skirt found as such below a surer dress, one found as a dress alone, one missed, one in a photo that is damaged."""
    results = [
        photo(find("dress", 0.9), find("skirt", 0.5), find("blouse", 0.8, 50, 50, 90, 90)),
        photo(find("dress", 0.7, 0, 0, 10, 10.5), find("skirt", 0.3)),  # the skirt below the threshold
        photo(find("skirt", 0.9, 50, 50, 90, 90)),
        PhotoResult("a.jpg", (0, 0), [], "damaged"),
    ]
    figures = against_annotated(results, [truth("skirt", 0, 0, 10, 10)] * 4, 0.4)
    assert figures == {
        "threshold": 0.4,
        "photos": 4,
        "garments": 4,
        "finds_a_photo": 1.25,
        "recall": 0.25,
        "recall_by_category": {"skirt": 0.25},
        "found": 0.5,
        "taken_for": {"skirt": {"dress": 2, "none": 2}},
    }
    assert against_annotated(results, [truth("skirt", 0, 0, 10, 10)] * 4, 0.1)["recall"] == 0.5


def test_the_annotated_garment_ends_where_the_photo_does() -> None:
    result = photo(find("skirt", 0.9, 80, 0, 100, 100))
    assert against_annotated([result], [truth("skirt", 80, -40, 130, 140)], 0.4)["recall"] == 1
