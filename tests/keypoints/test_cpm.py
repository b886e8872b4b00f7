"""Stages of a pose machine read the belief maps of the stage before, each those of its own."""

import pytest
import torch
from garment_keypoints.keypoints.networks.cpm import STAGES, CPMHead
from torch import Tensor


@pytest.fixture
def head() -> CPMHead:
    return CPMHead([4, 8, 8], num_keypoints=3, width=4, size=64).eval()


def stages(head: CPMHead, changed: int | None = None) -> list[Tensor]:
    """Return the maps of each stage; those of the stage `changed` are moved before the next one reads them."""
    handles = [
        head.stages[changed].register_forward_hook(lambda module, inputs, maps: maps + torch.randn_like(maps))
        for _ in ([] if changed is None else [0])
    ]
    torch.manual_seed(1)
    features = [torch.randn(1, channels, 64 // stride, 64 // stride) for channels, stride in ((4, 8), (8, 16), (8, 32))]
    with torch.no_grad():
        maps = [
            torch.cat([one["maps"], one["background"]], 1) for one in head(features, torch.zeros(1, dtype=torch.long))
        ]
    for handle in handles:
        handle.remove()
    return maps


@pytest.mark.parametrize("changed", range(STAGES - 1))
def test_a_later_stage_reads_the_maps_before_it(head: CPMHead, changed: int) -> None:
    plain, moved = stages(head), stages(head, changed)
    for number, (one, other) in enumerate(zip(plain, moved, strict=True)):
        assert torch.equal(one, other) == (number < changed)


def test_the_last_stage_learns_through_the_first(head: CPMHead) -> None:
    """Nothing but the maps leads from the first stage's own layers to the last one's output."""
    features = [torch.randn(1, channels, 64 // stride, 64 // stride) for channels, stride in ((4, 8), (8, 16), (8, 32))]
    last = head.train()(features, torch.zeros(1, dtype=torch.long))[-1]["maps"]
    last.square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.stages[0].parameters()
    )
