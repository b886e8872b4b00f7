"""Box sources: which regions each takes from what a detector found, and that a further one is a class and a line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract.records import ORIGINS, Detections, ImageBatch, ImageRow, Regions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine import box_sources
from garment_keypoints.pipeline.engine.box_sources import (
    BestOfCategory,
    GivenBoxes,
    SourceParts,
    WholeImages,
    build_source,
    one_a_garment,
)
from garment_keypoints.pipeline.engine.shards import boxes_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

Found = list[tuple[list[float], int, int, float]]
"""Box, image, category and score of each."""


class Fixed(nn.Module):
    """A detector that always finds the same things."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found

    def detect(self, batch: ImageBatch) -> Detections:
        boxes, image, category, score = zip(*self.found, strict=True) if self.found else ((), (), (), ())
        long = {"dtype": torch.int64}
        boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        return Detections(boxes, torch.tensor(image, **long), torch.tensor(category, **long), torch.tensor(score))


def batch(category: list[int], size: tuple[int, int] = (120, 70)) -> ImageBatch:
    n = len(category)
    return ImageBatch(
        torch.zeros(n, 3, size[1], size[0], dtype=torch.uint8),
        torch.tensor([size] * n),
        torch.tensor(category),
        torch.arange(n),
        torch.zeros(n, 32, dtype=torch.float64),
        torch.ones(n, dtype=torch.long),
    )


def origins(regions: Regions) -> list[str]:
    return [ORIGINS[i] for i in regions.origin]


def test_the_best_box_of_the_given_category_is_chosen_in_each_image() -> None:
    found = [
        ([0.0, 0, 60, 60], 0, 0, 0.95),
        ([10.0, 10, 40, 40], 0, 3, 0.6),
        ([12.0, 12, 50, 50], 0, 3, 0.5),
        ([1.0, 1, 9, 9], 2, 1, 0.4),
        ([2.0, 2, 9, 9], 2, 1, 0.8),
        ([3.0, 3, 9, 9], 2, 1, 0.8),  # of equals, the first
    ]
    regions = BestOfCategory(Fixed(found), 0.3).regions(batch([3, 3, 1]))
    assert regions.boxes.tolist() == [[10, 10, 40, 40], [0, 0, 120, 70], [2, 2, 9, 9]]
    assert regions.score.tolist() == pytest.approx([0.6, 0, 0.8])
    assert origins(regions) == ["detector", "fallback", "detector"]
    assert (regions.image.tolist(), regions.category.tolist()) == ([0, 1, 2], [3, 3, 1])
    assert regions.instance.tolist() == [0, 0, 0]
    assert len(regions.found.boxes) == 6


@pytest.mark.parametrize(
    "found",
    [
        [],  # nothing at all
        [([0.0, 0, 60, 60], 0, 1, 0.95)],  # another category only
        [([0.0, 0, 60, 60], 0, 3, 0.29)],  # below the threshold
        [([20.0, 20, 20.4, 60], 0, 3, 0.95)],  # no area
    ],
)
def test_falls_back_to_the_whole_image_and_says_so(found: Found) -> None:
    regions = BestOfCategory(Fixed(found), 0.3).regions(batch([3]))
    assert regions.boxes.tolist() == [[0, 0, 120, 70]]
    assert origins(regions) == ["fallback"]


def test_every_detection_above_the_threshold_is_a_region() -> None:
    found = [
        ([0.0, 0, 60, 60], 0, 0, 0.95),
        ([65.0, 5, 120, 60], 0, 4, 0.5),
        ([65.0, 5, 120, 60], 0, 4, 0.49),
        ([7.0, 7, 7.5, 60], 0, 4, 0.9),  # no area
        ([1.0, 1, 9, 9], 2, 1, 0.8),
    ]
    source = build_source("detections", SourceParts(Fixed(found), threshold=0.5))
    regions = source.regions(batch([3, 3, 3]))
    assert regions.image.tolist() == [0, 0, 2]
    assert regions.category.tolist() == [0, 4, 1]
    assert regions.instance.tolist() == [0, 1, 0]
    assert regions.score.tolist() == pytest.approx([0.95, 0.5, 0.8])
    assert regions.boxes[1].tolist() == [65, 5, 120, 60]
    none = build_source("detections", SourceParts(Fixed([]))).regions(batch([3]))
    assert len(none.boxes) == len(none.image) == 0


def test_given_boxes_by_row_none_one_or_several() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [1, 1, 9, 9], [2, 2, 9, 9], [3, 3, 9, 9]])
    regions = GivenBoxes(boxes, torch.tensor([2, 0, 2, 7])).regions(batch([4, 3, 1]))
    assert regions.image.tolist() == [0, 2, 2]
    assert regions.boxes[:, 0].tolist() == [1, 0, 2]
    assert (regions.category.tolist(), regions.instance.tolist()) == ([4, 1, 1], [0, 0, 1])
    assert origins(regions) == ["truth"] * 3


def test_a_further_source_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Middle(WholeImages):
        def regions(self, batch: ImageBatch) -> Regions:
            whole = super().regions(batch)
            return Regions(whole.boxes * 0.5, whole.image, whole.category, whole.score, whole.origin)

    monkeypatch.setitem(box_sources.SOURCES, "middle", Middle)
    assert build_source("middle", SourceParts()).regions(batch([0])).boxes.tolist() == [[0, 0, 60, 35]]


def test_faults_in_asking_for_a_source() -> None:
    with pytest.raises(ValueError, match="box source is 'guess'; expected one of detector, detections, truth, image"):
        build_source("guess", SourceParts())
    with pytest.raises(ValueError, match="needs a detector"):
        build_source("detector", SourceParts())
    with pytest.raises(ValueError, match="needs given boxes"):
        build_source("truth", SourceParts())


def test_a_fallback_is_recorded_as_the_whole_image(schema: Schema) -> None:
    """As boxes.csv names it: a region's origin by its place in ORIGINS, and `image` where nothing was found."""
    region = {"category": 4, "box": [0.0, 0, 9, 9], "box_score": 0.5, "instance": 0}
    expected = {"detector": ("detector", False), "truth": ("truth", False), "image": ("image", False)}
    for origin, named in (expected | {"fallback": ("image", True)}).items():
        one = region | {"origin": ORIGINS.index(origin), "fallback": origin == "fallback"}
        (box,) = boxes_of(ImageRow("a", "skirt", Path("a")), {"regions": [one]}, schema)
        assert (box.source, box.fallback) == named
        assert (box.fold, box.checkpoint, box.category) == (-1, "", schema.categories[4])


def test_whole_images_are_as_wide_and_high_as_their_pictures() -> None:
    regions = WholeImages().regions(batch([3, 0], size=(120, 70)))
    assert regions.boxes.tolist() == [[0, 0, 120, 70]] * 2
    assert origins(regions) == ["image"] * 2


def kept(found: Found) -> list[int]:
    detected = Fixed(found).detect(batch([0]))
    return one_a_garment(detected).nonzero()[:, 0].tolist()


DRESS, BLOUSE, SKIRT = [0.0, 0, 100, 200], [0.0, 0, 100, 90], [0.0, 100, 100, 200]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(DRESS, 0, 2, 0.9), (BLOUSE, 0, 0, 0.5), (SKIRT, 0, 4, 0.4)], [0]),  # parts of the best
        ([(DRESS, 0, 2, 0.3), (BLOUSE, 0, 0, 0.5), (SKIRT, 0, 4, 0.4)], [1, 2]),  # the parts are better
        ([(BLOUSE, 0, 0, 0.5), ([0.0, 0, 100, 170], 0, 1, 0.6)], [1]),  # IoU 0.53
        ([(BLOUSE, 0, 0, 0.5), ([0.0, 60, 100, 190], 0, 1, 0.6)], [0, 1]),  # a third of the smaller is shared
        ([(DRESS, 0, 2, 0.9), (BLOUSE, 1, 0, 0.5)], [0, 1]),  # of two pictures
        ([(BLOUSE, 0, 0, 0.5), (BLOUSE, 0, 1, 0.5)], [0]),  # of equals, the first
        # A chain: the second goes, and no longer beats the third.
        ([([0.0, 0, 9, 9], 0, 0, 0.9), ([0.0, 3, 9, 12], 0, 0, 0.8), ([0.0, 6, 9, 15], 0, 0, 0.7)], [0, 2]),
        ([], []),
    ],
)
def test_one_garment_is_found_once(found: Found, expected: list[int]) -> None:
    assert kept(found) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_suppression_is_that_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 25))
    low = rng.uniform(0, 60, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 60, (n, 2))], 1)
    found = [(box.tolist(), int(rng.integers(2)), 0, float(rng.uniform())) for box in boxes]
    loop: list[int] = []
    for i in sorted(range(n), key=lambda i: -found[i][3]):
        if not any(found[i][1] == found[j][1] and same_garment(boxes[i], boxes[j]) for j in loop):
            loop.append(i)
    assert kept(found) == sorted(loop)


def same_garment(a: np.ndarray, b: np.ndarray) -> bool:
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    one, other = (a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()
    return shared / (one + other - shared) >= 0.5 or shared / min(one, other) >= 0.8
