"""How fast trainings run, read off their progress bars, and how many epochs fit into the time that is left."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

BAR = re.compile(r"(?:keypoints|detector) [\w-]+:[^\r\n]*?(\d+)/(\d+) \[")
"""The progress bar of a training (`learning.fit`), not that of its validation."""


SAFE = 0.9
"""Of the time that is left, what trainings are planned to take: rates vary."""


@dataclass(frozen=True)
class Reading:
    """A training's step of `total`, and when, in seconds of a clock."""

    step: int
    total: int
    seconds: float = 0.0

    def at(self, seconds: float) -> "Reading":
        return replace(self, seconds=seconds)


def step_of(text: str) -> Reading | None:
    """Return the last step that the end of a training's log shows; None before its first."""
    shown = BAR.findall(text)
    return Reading(int(shown[-1][0]), int(shown[-1][1])) if shown and int(shown[-1][0]) else None


def steps_per_second(readings: Sequence[Reading]) -> float:
    """Return the rate between the first reading and the last; 0 where there are fewer than two."""
    if len(readings) < 2:
        return 0.0
    first, last = readings[0], readings[-1]
    return (last.step - first.step) / max(1e-9, last.seconds - first.seconds)


def spans(readings: Sequence[Reading], seconds: float) -> bool:
    """Tell whether the readings tell a rate over at least so many seconds."""
    return len(readings) > 1 and readings[-1].seconds - readings[0].seconds >= seconds


def epochs_that_fit(rate: float, steps_an_epoch: float, seconds: float, most: int) -> int:
    """Return how many epochs of so many steps fit into the seconds at `rate` steps a second, at most `most`; 0: none.

    Some of the time is kept in reserve.
    """
    return max(0, min(most, math.floor(SAFE * rate * max(0.0, seconds) / steps_an_epoch)))
