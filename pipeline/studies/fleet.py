"""How long a catalogue takes on many processes that differ, die and start again: a simulation of `predict --manifest`.

A process takes a shard, a chunk of photos at a time; one that dies loses the chunk that it was at, is started again and goes
on; a photo that it dies of is found by halving the chunk. What is simulated is that alone: no shared store that fills up.
"""

import heapq
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.contract.faults import UserError
from pipeline.inference.catalogue import CHUNK
from pipeline.learning.configs import check_ranges

HOUR = 3600.0
MOST_SHARDS = 2_000_000
Dealing = Literal["taken", "dealt"]
"""Shards are taken by whichever process is free, or dealt in turn beforehand (`--shard I/N`)."""
RANGES = {
    "processes": (1, 100_000),
    "photos_per_second": (1e-3, 1e6),
    "start_s": (0, 1e5),
    "shard_s": (0, 1e5),
    "speed_sd": (0, 2),
    "slow_share": (0, 1),
    "slow_factor": (1, 1000),
    "death_hours": (1e-3, 1e12),
    "restart_s": (0, 1e6),
    "poison_per_million": (0, 1e5),
}


@dataclass
class Fleet:
    """The processes that predict, and what happens to them."""

    processes: int = 64
    """Processes at once: one a GPU, or a group of cores."""
    photos_per_second: float = 14.0
    """What one of them does, from file to points; `benchmark` measures it."""
    start_s: float = 15.0
    """Seconds from the start of a process to its first photo."""
    shard_s: float = 2.0
    """Seconds that a shard takes beyond its photos."""
    speed_sd: float = 0.15
    """Standard deviation of the logarithm of the processes' speeds."""
    slow_share: float = 0.01
    """Share of the shards that take `slow_factor` times as long, as where a store answers slowly."""
    slow_factor: float = 4.0
    """How many times as long those take."""
    death_hours: float = 100.0
    """Hours between two deaths of a process, in the mean: machines that are taken away, memory."""
    restart_s: float = 120.0
    """Seconds until a process that died is started again."""
    poison_per_million: float = 0.1
    """Photos in a million that a process dies of."""

    def check(self) -> None:
        """Raise UserError for a setting out of its range."""
        check_ranges(self, "", RANGES)


@dataclass(frozen=True)
class Run:
    """One simulated run: hours to the end, hours that the same processes would take without any loss, deaths."""

    hours: float
    ideal_hours: float
    deaths: int

    @property
    def ratio(self) -> float:
        return self.hours / self.ideal_hours


def simulate(photos: int, shard_size: int, fleet: Fleet, dealing: Dealing, seed: int) -> Run:
    """Run a catalogue of so many photos once; the same seed gives the same processes and the same luck.

    Raises UserError for sizes that make no shard, or more than MOST_SHARDS.
    """
    shards = -(-photos // shard_size) if shard_size > 0 else 0
    if photos < 1 or not 1 <= shards <= MOST_SHARDS:
        raise UserError(
            f"{photos} photos in shards of {shard_size}; expected 1 or more of each, and at most {MOST_SHARDS} shards"
        )
    rng = np.random.default_rng(seed)
    speed = np.exp(rng.normal(0, fleet.speed_sd, fleet.processes))
    seconds, deaths = _seconds(photos, shard_size, shards, fleet, rng)
    if dealing == "dealt":
        busy = np.bincount(np.arange(shards) % fleet.processes, seconds, fleet.processes) / speed
        end = float(busy.max())
    else:
        end = _taken(seconds, speed)
    ideal = photos / (fleet.photos_per_second * speed.sum())
    return Run((fleet.start_s + end) / HOUR, ideal / HOUR, deaths)


def _seconds(
    photos: int, shard_size: int, shards: int, fleet: Fleet, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return the seconds (S,) that each shard takes a process of speed 1, and how often one dies in all."""
    sizes = np.full(shards, shard_size)
    sizes[-1] = photos - shard_size * (shards - 1)
    seconds = sizes / fleet.photos_per_second + fleet.shard_s
    seconds = seconds * np.where(rng.random(shards) < fleet.slow_share, fleet.slow_factor, 1.0)
    deaths = rng.poisson(seconds / (fleet.death_hours * HOUR))
    chunk = np.minimum(sizes, CHUNK)
    # Each death costs what the process had done of its chunk, half of it in the mean, and the time to be there again.
    lost = deaths * (fleet.restart_s + fleet.start_s + chunk / fleet.photos_per_second / 2)
    poison = rng.binomial(sizes, fleet.poison_per_million * 1e-6)
    # A chunk is halved until the photo is alone; the halves add up to it once more.
    halvings = np.ceil(np.log2(np.maximum(chunk, 2))) + 1
    lost = lost + poison * (halvings * fleet.start_s + chunk / fleet.photos_per_second)
    return seconds + lost, int(deaths.sum() + (poison * halvings).sum())


def _taken(seconds: np.ndarray, speed: np.ndarray) -> float:
    """Return when the last shard is done, if each is taken by the process that is free first."""
    free = [(0.0, process) for process in range(len(speed))]
    last = 0.0
    for cost in seconds.tolist():
        at, process = free[0]
        at += cost / speed[process]
        last = max(last, at)
        heapq.heapreplace(free, (at, process))
    return last


def suggested(ratios: dict[int, float]) -> int:
    """Return the largest shard size that is within a hundredth of the best: fewer files for the same time."""
    best = min(ratios.values())
    return max(size for size, ratio in ratios.items() if ratio <= best + 0.01 or math.isclose(ratio, best))
