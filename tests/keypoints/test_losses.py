"""Losses by hand: masks count, and nothing is gained by answering zero."""

import math

import pytest
import torch
from garment_keypoints.keypoints.losses import LOSSES, supervise

MAPS = ("mse", "bce", "cross_entropy", "dsnt")
TARGETS = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [0.0, 0.0]]]])


def maps_loss(name: str, outputs: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The loss of maps that sum to 1 or hold a blob, as each loss takes them."""
    return supervise(LOSSES[name](), [{"maps": outputs}], {"maps": targets}, weight)


def test_balanced_mse_by_hand() -> None:
    outputs = torch.tensor([[[[0.5, 0.1], [0.2, 0.0]], [[9.0, 9.0], [9.0, 9.0]]]])
    # Blob: 0.25 / 1. Rest: three cells of weight 1: (0.01 + 0.04 + 0) / 3. The second map has weight 0.
    loss = maps_loss("mse", outputs, TARGETS, torch.tensor([[1.0, 0.0]]))
    assert float(loss) == pytest.approx(0.25 + 0.05 / 3, rel=1e-5)


def test_zero_everywhere_is_no_bargain() -> None:
    zero = maps_loss("mse", torch.zeros(1, 1, 56, 56), torch.eye(56)[None, None] * 0 + _blob(), torch.ones(1, 1))
    assert float(zero) > 0.3


def _blob() -> torch.Tensor:
    axis = torch.exp(-((torch.arange(56) - 20.0) ** 2) / 4.5)
    return (axis[:, None] * axis)[None, None]


def test_cross_entropy_by_hand() -> None:
    p = torch.tensor([[[[0.7, 0.1], [0.1, 0.1]], [[0.25, 0.25], [0.25, 0.25]]]])
    targets = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.0, 0.0]]]])
    loss = maps_loss("cross_entropy", p.log() + 5, targets, torch.tensor([[1.0, 0.5]]))
    assert float(loss) == pytest.approx((-math.log(0.7) - 0.5 * math.log(0.25)) / 1.5, rel=1e-5)


@pytest.mark.parametrize("name", MAPS)
def test_weight_zero_has_no_influence_even_on_nonsense(name: str) -> None:
    outputs = torch.randn(2, 2, 4, 4, requires_grad=True)
    targets, weight = torch.rand(2, 2, 4, 4), torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    changed = targets.clone()
    changed[0, 1] = torch.nan
    plain, other = maps_loss(name, outputs, targets, weight), maps_loss(name, outputs, changed, weight)
    torch.testing.assert_close(plain, other)
    plain.backward()
    assert outputs.grad[0, 1].abs().max() == 0


@pytest.mark.parametrize("name", MAPS)
def test_nothing_to_learn_costs_nothing(name: str) -> None:
    assert maps_loss(name, torch.randn(1, 2, 4, 4), torch.rand(1, 2, 4, 4), torch.zeros(1, 2)) == 0


def test_bce_by_hand() -> None:
    # p is 3/4 where the target is 1, the blob, and 1/2, 1/4 and 1/2 where it is 0, the rest.
    logits = torch.tensor([[[[math.log(3.0), 0.0], [-math.log(3.0), 0.0]]]])
    error = LOSSES["bce"]()({"maps": logits}, {"maps": TARGETS[:, :1]})
    rest = -2 * math.log(0.5) - math.log(0.75)
    assert float(error) == pytest.approx(-math.log(0.75) + rest / 3, rel=1e-5)


def test_cross_entropy_of_bins_by_hand() -> None:
    outputs = {"x": torch.tensor([[[0.5, 0.25, 0.25]]]).log(), "y": torch.tensor([[[0.1, 0.9]]]).log() + 2}
    target = {"x": torch.tensor([[[0.0, 1.0, 0.0]]]), "y": torch.tensor([[[0.5, 0.5]]])}
    expected = -math.log(0.25) - (math.log(0.1) + math.log(0.9)) / 2
    assert float(LOSSES["cross_entropy"]()(outputs, target)) == pytest.approx(expected, rel=1e-5)


def test_dsnt_by_hand() -> None:
    # A quarter of the mass in each of 2 x 2 cells has its mean at (1/2, 1/2); the target is all in the cell at (1/4, 1/4).
    target = {"maps": torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]), "xy": torch.tensor([[[0.25, 0.25]]])}
    middle = 0.625 * math.log(0.625) + 3 * 0.125 * math.log(0.125)
    divergence = -middle - math.log(4) / 2
    error = LOSSES["dsnt"]()({"maps": torch.zeros(1, 1, 2, 2)}, target)
    assert float(error) == pytest.approx(2 * 0.25 * 2**0.5 + divergence, rel=1e-5)
    perfect = {"maps": torch.tensor([[[[200.0, 0.0], [0.0, 0.0]]]]).requires_grad_()}
    exact = LOSSES["dsnt"]()(perfect, target)
    assert float(exact.detach()) == pytest.approx(0, abs=1e-6)
    exact.sum().backward()
    assert torch.isfinite(perfect["maps"].grad).all()


def test_smooth_l1_by_hand() -> None:
    # x is 0.1 off (0.1 - 0.05 / 2), y 0.02 off (0.02 ** 2 / 2 / 0.05).
    error = LOSSES["smooth_l1"]()({"xy": torch.tensor([[[0.6, 0.5]]])}, {"xy": torch.tensor([[[0.5, 0.52]]])})
    assert error.shape == (1, 1)
    assert float(error) == pytest.approx(0.075 + 0.004, rel=1e-4)


class Given:
    """A loss that is told the error of each point."""

    takes = ("coordinates",)

    def __call__(self, outputs: dict, target: dict) -> torch.Tensor:
        return outputs["xy"]


ERRORS = torch.tensor([[1.0, 5.0, 9.0], [2.0, 8.0, 3.0]])
WEIGHT = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.5, 1.0]])


def test_hard_keypoints_by_hand() -> None:
    # All: (1 + 5 + 2 + 4 + 3) / 4.5. The hardest of each crop: 5 of weight 1, and 8 of weight 0.5.
    assert float(supervise(Given(), [{"xy": ERRORS}], {}, WEIGHT)) == pytest.approx(15 / 4.5)
    assert float(supervise(Given(), [{"xy": ERRORS}], {}, WEIGHT, hard_keypoints=1)) == pytest.approx(9 / 1.5)
    assert float(supervise(Given(), [{"xy": ERRORS}], {}, WEIGHT, hard_keypoints=99)) == pytest.approx(15 / 4.5)


def test_all_stages_are_supervised() -> None:
    stages = [{"xy": ERRORS}, {"xy": 3 * ERRORS}]
    assert float(supervise(Given(), stages, {}, WEIGHT)) == pytest.approx(2 * 15 / 4.5)


def test_only_the_last_stage_is_hard() -> None:
    # Early: 15 / 4.5 over all points. Last: the hardest of each crop, three times the errors: 27 / 1.5.
    stages = [{"xy": ERRORS}, {"xy": 3 * ERRORS}]
    assert float(supervise(Given(), stages, {}, WEIGHT, hard_keypoints=1)) == pytest.approx((15 / 4.5 + 27 / 1.5) / 2)


class Sum:
    """A loss that adds up what a map exceeds its target by."""

    takes = ("heatmap",)

    def __call__(self, outputs: dict, target: dict) -> torch.Tensor:
        return (outputs["maps"] - target["maps"]).sum((-2, -1))


def test_the_background_counts_once_a_crop() -> None:
    # Points: errors 4 and 8, of weight 1 and 0. Background: 12. The crop that has no weight counts for nothing.
    maps = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand(2, 2, 2, 2)
    stage = {"maps": maps, "background": torch.full((2, 1, 2, 2), 3.0)}
    target = {"maps": torch.zeros(2, 2, 2, 2), "background": torch.zeros(2, 1, 2, 2)}
    assert float(supervise(Sum(), [stage], target, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))) == 4 + 12
