"""What a network costs, worked by hand."""

import pytest
import torch
from garment_keypoints.pipeline.lab.ablation import costs
from torch import nn


def test_costs_of_a_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 x 3 from 3 to 4 channels on 8 x 8 pixels: 8 * 8 * 4 * 27 multiplications and as many additions; 112 parameters."""
    monkeypatch.setattr(costs, "SECONDS", 0.01)
    network = nn.Conv2d(3, 4, 3, padding=1)
    shapes = []

    def forward(pictures: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(pictures.shape))
        return network(pictures)

    found = costs.measure(network, forward, 8, "cpu", "32-true", "mine")
    assert (found.parameters, found.flops, found.machine) == (112, 2 * 8 * 8 * 4 * 27, "mine")
    assert shapes[0] == (1, 3, 8, 8)
    assert set(shapes[1:]) == {(costs.BATCH, 3, 8, 8)}
    assert found.images_per_second > 0


def test_speed_is_that_of_the_fastest_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of 0.5, 0.25 and 1 s by the clock; the measurement ends after 2 s, before a fourth."""
    looks = iter([0.0, 0.1, 0.6, 0.7, 0.8, 1.05, 1.1, 1.2, 2.2, 2.3])
    monkeypatch.setattr("time.perf_counter", lambda: next(looks))
    monkeypatch.setattr(costs, "SECONDS", 2.0)
    found = costs.measure(nn.Identity(), lambda pictures: pictures, 8, "cpu", "32-true", "mine")
    assert found.images_per_second == pytest.approx(costs.BATCH / 0.25)
    assert list(looks) == []
