"""What a network costs: parameters, operations, and a short measurement of its speed on this machine."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from garment_keypoints.pipeline.learning.placement import MIXED
from garment_keypoints.pipeline.reporting.model_card import network_costs
from torch import Tensor, nn

SECONDS = 2.0
"""How long the speed is measured, after a warm-up."""
BATCH = 8


@dataclass(frozen=True)
class MeasuredCosts:
    """Of one network: `flops` of one picture, forward (a multiplication and an addition are two), and what `machine` did."""

    parameters: int
    flops: int
    images_per_second: float
    machine: str


@torch.no_grad()
def measure(
    network: nn.Module, forward: Callable[[Tensor], Any], size: int, device: str, precision: str, machine: str
) -> MeasuredCosts:
    """Measure a network; `forward` runs it on pictures (B, 3, size, size) of 0..255 RGB on `device`."""
    counted = network_costs(network.eval(), size, lambda _, images: forward(images))
    network.to(device)
    pictures = (
        torch.randint(0, 256, (BATCH, 3, size, size), generator=torch.Generator().manual_seed(0)).float().to(device)
    )
    mixed = MIXED.get(precision)
    with torch.autocast(device, dtype=mixed) if mixed else nullcontext():
        seconds = _seconds_a_call(lambda: forward(pictures), device)
    return MeasuredCosts(counted.parameters, round(1e9 * counted.gflops), BATCH / seconds, machine)


def _seconds_a_call(call: Callable[[], Any], device: str) -> float:
    """Return the time of the fastest of about SECONDS of calls: what else the machine does only makes them slower."""
    synchronise = torch.accelerator.synchronize if device != "cpu" else lambda: None
    for _ in range(2):
        call()
    synchronise()
    end = time.perf_counter() + SECONDS
    fastest = math.inf
    while math.isinf(fastest) or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        synchronise()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest
