"""A picture and its mirror image: joined by hand, and without a preference for a side."""

import pytest
import torch
from torch import Tensor

from detector.flip import joined
from detector.inference import NetworkDetector
from pipeline.contract.records import Detections, ImageBatch
from tests.configs import detector_config


def found(*lines: tuple[int, int, float, list[float]]) -> Detections:
    """Detections of (image, category, score, box)."""
    image, category, score, boxes = zip(*lines, strict=True) if lines else ((), (), (), ())
    box = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(box, torch.tensor(image, dtype=torch.int64), torch.tensor(category, dtype=torch.int64),
                      torch.tensor(score, dtype=torch.float32))  # fmt: skip


def lines(of: Detections) -> list[tuple[int, int, float, list[float]]]:
    parts = of.image.tolist(), of.category.tolist(), of.score.tolist(), of.boxes.tolist()
    return [(i, c, pytest.approx(s), pytest.approx(b)) for i, c, s, b in zip(*parts, strict=True)]


def test_what_both_find_is_one_by_hand() -> None:
    here = found((0, 1, 0.9, [0, 0, 10, 10]), (0, 2, 0.4, [0, 0, 10, 10]), (1, 1, 0.5, [0, 0, 8, 8]))
    there = found((0, 1, 0.3, [0, 0, 10, 12]), (0, 1, 0.2, [50, 50, 60, 60]), (1, 2, 0.6, [0, 0, 8, 8]))
    expected = [
        (0, 1, 0.6, [0, 0, 10, 10.5]),  # (0.9 * 10 + 0.3 * 12) / 1.2
        (0, 2, 0.2, [0, 0, 10, 10]),
        (0, 1, 0.1, [50, 50, 60, 60]),
        (1, 2, 0.3, [0, 0, 8, 8]),  # another category is another find
        (1, 1, 0.25, [0, 0, 8, 8]),
    ]
    assert lines(joined(here, there)) == expected


def test_each_find_has_one_partner() -> None:
    here = found((0, 0, 0.8, [0, 0, 10, 10]), (0, 0, 0.6, [0, 0, 10, 9]))
    there = found((0, 0, 0.4, [0, 0, 10, 10]))
    scores = joined(here, there).score.tolist()
    assert scores == pytest.approx([0.6, 0.3])


def test_nothing_in_one_of_them_or_in_both() -> None:
    one = found((0, 0, 0.8, [0, 0, 10, 10]))
    for pair in ((one, found()), (found(), one)):
        assert lines(joined(*pair)) == [(0, 0, 0.4, [0, 0, 10, 10])]
    assert len(joined(found(), found()).score) == 0


class Lopsided(torch.nn.Module):
    """Finds what is bright, always 3 pixels too far to the right."""

    size = 64

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        results = []
        for image in inputs:
            y, x = (image[0] > 128).nonzero().unbind(1)
            box = torch.stack([x.min() + 3, y.min(), x.max() + 4, y.max() + 1]).float()
            results.append({"boxes": box[None], "scores": torch.tensor([0.7]), "category": torch.tensor([2])})
        return results


@pytest.mark.parametrize(("flip", "x0"), [(True, 16), (False, 16 + 3 * 2)])
def test_a_detector_that_leans_to_a_side(flip: bool, x0: float) -> None:
    """In a picture of twice the input's size, the lean of one look is that of the other taken back."""
    images = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    images[:, :, 32:96, 16:64] = 255
    whole = torch.tensor([[128, 128]]), torch.tensor([2]), torch.tensor([0])
    batch = ImageBatch(images, *whole, torch.zeros(1, 32), torch.tensor([1]))
    detector = NetworkDetector(Lopsided(), detector_config(flip_test=flip), "t", None)
    assert detector.detect(batch).boxes[0].tolist() == pytest.approx([x0, 32, x0 + 48, 96], abs=1e-4)
