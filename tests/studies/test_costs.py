"""What a network costs, worked by hand."""

import pytest
import torch
from torch import nn

from pipeline.studies import costs


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


def test_speed_is_pictures_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by half a second at each look: four calls are over at 2.0, and the last look says 2.5."""
    now = iter(0.5 * i for i in range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    monkeypatch.setattr(costs, "SECONDS", 2.0)
    found = costs.measure(nn.Identity(), lambda pictures: pictures, 8, "cpu", "32-true", "mine")
    calls = 4
    assert found.images_per_second == pytest.approx(costs.BATCH * calls / 2.5)
