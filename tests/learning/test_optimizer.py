"""Options, groups of the optimizer, and the schedule at hand-worked steps."""

import pytest
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.learning.optimizer import build_optimizer
from garment_keypoints.pipeline.learning.options import TrainOptions
from torch import nn


def test_groups_and_schedule() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    options = TrainOptions(lr=1.0, backbone_lr_factor=0.1, warmup=0.1, weight_decay=0.5)
    optimizer, schedule = build_optimizer(network, network[0], options, total_steps=100)
    sizes = [(len(g["params"]), g["initial_lr"], g["weight_decay"]) for g in optimizer.param_groups]
    assert sizes == [(1, 0.1, 0.5), (1, 0.1, 0.0), (1, 1.0, 0.5), (3, 1.0, 0.0)]
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[2])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.01 + 0.99 * 0.5)
    assert rates[-1] < 0.012


def test_frozen_parameters_are_left_out() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    optimizer, _ = build_optimizer(network, network[0], TrainOptions(), 10)
    trained = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert trained == {id(p) for p in network[1].parameters()}


def test_ema_halves_within_its_share() -> None:
    options = TrainOptions(ema=0.05)
    assert options.ema_decay(1000) ** 50 == pytest.approx(0.5)
    assert options.ema_decay(10) == 0.5  # never slower than a step


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"lr": 0.0}, {"warmup": 1.0}, {"workers": -1}, {"batch_size": 0}])
def test_bad_options_name_themselves(bad: dict) -> None:
    with pytest.raises(ValueError, match=rf"^detector\.train\.{next(iter(bad))} is "):
        TrainOptions(**bad).check("detector.train")


@pytest.mark.parametrize("bad", [{"workers": -1}, {"num_nodes": 0}, {"batch_size": 0}])
def test_where_networks_predict_is_checked(bad: dict) -> None:
    with pytest.raises(ValueError, match=rf"^{next(iter(bad))} is "):
        Device(**bad)
