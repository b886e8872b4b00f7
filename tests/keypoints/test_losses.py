"""Losses by hand: masks count, and nothing is gained by answering zero."""

import math

import pytest
import torch

from keypoints.losses import LOSSES, balanced_mse, cross_entropy

TARGETS = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [0.0, 0.0]]]])


def test_balanced_mse_by_hand() -> None:
    outputs = torch.tensor([[[[0.5, 0.1], [0.2, 0.0]], [[9.0, 9.0], [9.0, 9.0]]]])
    # Blob: 0.25 / 1. Rest: three cells of weight 1: (0.01 + 0.04 + 0) / 3. The second map has weight 0.
    loss = balanced_mse(outputs, TARGETS, torch.tensor([[1.0, 0.0]]))
    assert float(loss) == pytest.approx(0.25 + 0.05 / 3, rel=1e-5)


def test_zero_everywhere_is_no_bargain() -> None:
    zero = balanced_mse(torch.zeros(1, 1, 56, 56), torch.eye(56)[None, None] * 0 + _blob(), torch.ones(1, 1))
    assert float(zero) > 0.3


def _blob() -> torch.Tensor:
    axis = torch.exp(-((torch.arange(56) - 20.0) ** 2) / 4.5)
    return (axis[:, None] * axis)[None, None]


def test_cross_entropy_by_hand() -> None:
    p = torch.tensor([[[[0.7, 0.1], [0.1, 0.1]], [[0.25, 0.25], [0.25, 0.25]]]])
    targets = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.0, 0.0]]]])
    loss = cross_entropy(p.log() + 5, targets, torch.tensor([[1.0, 0.5]]))
    assert float(loss) == pytest.approx((-math.log(0.7) - 0.5 * math.log(0.25)) / 1.5, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_weight_zero_has_no_influence_even_on_nonsense(name: str) -> None:
    outputs = torch.randn(2, 2, 4, 4, requires_grad=True)
    targets, weight = torch.rand(2, 2, 4, 4), torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    changed = targets.clone()
    changed[0, 1] = torch.nan
    plain, other = LOSSES[name](outputs, targets, weight), LOSSES[name](outputs, changed, weight)
    torch.testing.assert_close(plain, other)
    plain.backward()
    assert outputs.grad[0, 1].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_to_learn_costs_nothing(name: str) -> None:
    assert LOSSES[name](torch.randn(1, 2, 4, 4), torch.rand(1, 2, 4, 4), torch.zeros(1, 2)) == 0
