"""Partial-label losses, each against numbers worked by hand."""

import math

import pytest
import torch
from garment_keypoints.detector.losses import (
    NO_GARMENT,
    TYPICAL_MATCHES,
    annotated,
    focal_loss,
    ignore_confident_negatives,
    partial_cross_entropy,
)
from torchvision.models.detection.retinanet import RetinaNetClassificationHead


def focal(p: float, positive: bool, alpha: float = 0.25, gamma: float = 2.0) -> float:
    """Focal loss of one probability (Lin et al. 2017, equation 5)."""
    pt, a = (p, alpha) if positive else (1 - p, 1 - alpha)
    return -a * (1 - pt) ** gamma * math.log(pt)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_focal_counts_only_what_is_known() -> None:
    # Two categories, category 1 annotated. Anchor 0 matched, 1 unmatched, 2 between the thresholds.
    p = [[0.2, 0.6], [0.9, 0.3], [0.5, 0.5]]
    logits = torch.tensor([[[logit(x) for x in row] for row in p]])
    loss = focal_loss(logits, torch.tensor([[0, -1, -2]]), torch.tensor([[1]]), partial=True)
    # The matched anchor counts for both; the unmatched only as "not category 1": its 0.9 may be a real garment.
    expected = focal(0.2, False) + focal(0.6, True) + focal(0.3, False)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_naive_focal_counts_every_negative_as_torchvision_does() -> None:
    torch.manual_seed(0)
    logits, matched = torch.randn(2, 6, 3), torch.tensor([[0, 0, -1, -2, -1, -1], [-1, 0, -2, -2, -1, -1]])
    labels = torch.tensor([1, 2])
    head = RetinaNetClassificationHead(8, 1, 3)
    targets = [{"labels": label[None]} for label in labels]
    expected = head.compute_loss(targets, {"cls_logits": logits}, list(matched))
    assert float(focal_loss(logits, matched, labels[:, None], partial=False)) == pytest.approx(
        float(expected), rel=1e-5
    )
    assert float(focal_loss(logits, matched, labels[:, None], partial=True)) < float(expected)


def test_focal_is_averaged_over_matched_anchors_and_images() -> None:
    logits = torch.full((2, 2, 1), logit(0.4))
    loss = focal_loss(logits, torch.tensor([[0, 0], [-1, -1]]), torch.tensor([[0], [0]]), partial=True)
    expected = ((2 * focal(0.4, True)) / 2 + 2 * focal(0.4, False) / 1) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_lets_negatives_be_other_garments() -> None:
    # Background, and categories 1 to 3; 2 is annotated.
    p = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.1, 0.5, 0.15, 0.25]])
    loss = partial_cross_entropy(p.log(), torch.tensor([0, 2]), torch.tensor([[2], [2]]))
    assert float(loss) == pytest.approx((-math.log(0.1 + 0.5 + 0.25) - math.log(0.15)) / 2, rel=1e-5)


def test_a_garment_elsewhere_gives_no_gradient_to_its_own_category() -> None:
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    focal_loss(logits, torch.tensor([[-1]]), torch.tensor([[1]]), partial=True).backward()
    assert logits.grad[0, 0, 0] == 0
    assert logits.grad[0, 0, 1] > 0


def test_in_a_picture_without_garments_every_category_is_absent() -> None:
    none = torch.tensor([[NO_GARMENT]])
    logits = torch.tensor([[[logit(0.9), logit(0.3)]]])
    for partial in (True, False):
        loss = focal_loss(logits, torch.tensor([[-1]]), none, partial)
        assert float(loss) == pytest.approx((focal(0.9, False) + focal(0.3, False)) / TYPICAL_MATCHES, rel=1e-5)
    p = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    loss = partial_cross_entropy(p.log(), torch.tensor([0]), none)
    assert float(loss) == pytest.approx(-math.log(0.1), rel=1e-5)
    labels = torch.tensor([0.0, 0.0, -1.0])
    assert torch.equal(ignore_confident_negatives(labels, torch.full((3,), logit(0.9)), 0.7), labels)
    nothing = torch.tensor([], dtype=torch.int64)
    assert annotated([torch.tensor([3]), nothing]).tolist() == [[3], [NO_GARMENT]]
    assert annotated([nothing]).tolist() == [[NO_GARMENT]]


def test_of_several_garments_each_anchor_has_its_own() -> None:
    """A picture of categories 2 and 0, in this order, beside one of category 1 alone; 3 may be anywhere."""
    labels = annotated([torch.tensor([2, 0]), torch.tensor([1])])
    assert labels.tolist() == [[2, 0], [1, NO_GARMENT]]
    p = [[[0.2, 0.3, 0.6, 0.7]] * 3, [[0.2, 0.3, 0.6, 0.7]] * 3]
    logits = torch.tensor([[[logit(x) for x in anchor] for anchor in picture] for picture in p])
    loss = focal_loss(logits, torch.tensor([[0, 1, -1], [0, -2, -1]]), labels, partial=True)
    of_2 = focal(0.2, False) + focal(0.3, False) + focal(0.6, True) + focal(0.7, False)
    of_0 = focal(0.2, True) + focal(0.3, False) + focal(0.6, False) + focal(0.7, False)
    elsewhere = focal(0.2, False) + focal(0.6, False)
    alone = focal(0.2, False) + focal(0.3, True) + focal(0.6, False) + focal(0.7, False) + focal(0.3, False)
    assert float(loss) == pytest.approx(((of_2 + of_0 + elsewhere) / 2 + alone) / 2, rel=1e-5)
    # Background, then the four categories; a proposal beside both garments may be background, or category 2 or 4 of the five.
    q = torch.tensor([[0.1, 0.2, 0.3, 0.15, 0.25]])
    cost = partial_cross_entropy(q.log(), torch.tensor([0]), torch.tensor([[3, 1]]))
    assert float(cost) == pytest.approx(-math.log(0.1 + 0.3 + 0.25), rel=1e-5)


def test_confident_negatives_are_ignored() -> None:
    labels = torch.tensor([1.0, 0.0, 0.0, -1.0])
    scores = torch.tensor([logit(0.9), logit(0.71), logit(0.69), logit(0.9)])
    assert ignore_confident_negatives(labels, scores, 0.7).tolist() == [1, -1, 0, -1]
