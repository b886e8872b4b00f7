"""Where the limits lie: how far outside its picture a point may be, and how alike two pictures are the same."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.data.folds import near_duplicates
from garment_keypoints.pipeline.data.survey import survey
from PIL import Image


@pytest.mark.parametrize(
    ("point", "faulty"),
    [
        ((120, 90), False),
        ((131, 20), False),  # a tenth of the longer side, 12 pixels, may be outside, on any side
        ((133, 20), True),
        ((20, 101), False),
        ((20, 103), True),
        ((-11, 20), False),
        ((-13, 20), True),
        ((20, -13), True),
    ],
)
def test_a_point_may_lie_outside_by_a_tenth_of_the_longer_side(tmp_path: Path, point: tuple, faulty: bool) -> None:
    Image.new("RGB", (120, 90)).save(tmp_path / "a.png")
    row = Annotation("a.png", "skirt", tmp_path / "a.png", np.array([point, (5.0, 5.0)]), np.array([1, 1]))
    assert len(survey([row]).faults) == faulty


@pytest.mark.parametrize(("differing", "same"), [(0, True), (5, True), (6, True), (7, False), (9, False)])
def test_pictures_up_to_six_of_64_bits_apart_are_the_same(differing: int, same: bool) -> None:
    rng = np.random.default_rng(1)
    first = rng.random(64) < 0.5
    second = first.copy()
    second[rng.choice(64, differing, replace=False)] ^= True
    groups = near_duplicates(np.stack([first, second]))
    assert (groups[0] == groups[1]) == same
