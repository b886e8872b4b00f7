"""Shards on a cluster of Ray: each is made by whichever predictor is free, and again by another when that one dies.

A predictor is an actor that holds both networks, on a GPU or a group of cores of its own; its threads decode. It has one
shard at a time, so that nothing piles up anywhere. What it does of a shard lies in the folder that all see
(`engine.catalogue`): the next one goes on from there, whatever ended the one before.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError

log = logging.getLogger("garment_keypoints")
POLL_S = 2.0
TELL_S = 10.0
"""Seconds between two looks at who is ready, and between two lines of progress."""
DEATHS = 4
"""So often a shard's predictor may die without getting on before that is taken for a fault of something else."""

THERE, BUSY = "there", "busy"
"""What a predictor says of a shard that had been made before, and of one that another process is at."""


@dataclass(frozen=True)
class Made:
    """A shard that was made: on which node, in how many seconds, its photos, garments and photos that failed."""

    number: int
    node: str
    seconds: float
    photos: int
    garments: int
    errors: int


@dataclass
class Report:
    """What was made, and what happened meanwhile: (seconds from the start, what)."""

    made: list[Made] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)


class Drive:
    """Gives shards to predictors until all are made.

    Args:
        ray: the module, connected to a cluster
        start: starts a predictor, an actor with the methods load(), to be called first, and make(number), which returns what
            was made, or THERE or BUSY
        predictors: so many at once; those that find no place in the cluster wait for one
        state: what tells whether anything has been done of a shard since
        done: photos that are done in all
    """

    def __init__(
        self,
        ray: Any,
        start: Callable[[], Any],
        predictors: int,
        state: Callable[[int], Any],
        done: Callable[[], int],
    ) -> None:
        self.ray, self.start, self.predictors = ray, start, predictors
        self.state, self.done = state, done
        self.loading: dict[Any, Any] = {}
        self.busy: dict[Any, tuple[Any, int]] = {}
        self.report, self.began, self.told = Report(), time.monotonic(), 0.0
        self.before: dict[int, Any] = {}
        self.deaths: Counter[int] = Counter()

    def run(self, shards: Sequence[int], photos: int) -> Report:
        """Make the shards; raises UserError for what a predictor was refused, or dies of whatever is done."""
        waiting = deque(shards)
        while waiting or self.busy:
            while len(self.loading) + len(self.busy) < min(self.predictors, len(waiting) + len(self.busy)):
                actor = self.start()
                self.loading[actor.load.remote()] = actor
            ready, _ = self.ray.wait([*self.loading, *self.busy], timeout=POLL_S)
            self._tell(photos)
            for reference in ready:
                self._take(reference, waiting)
        for actor in self.loading.values():
            self.ray.kill(actor)
        return self.report

    def _take(self, reference: Any, waiting: deque[int]) -> None:
        """Take what a predictor has to say, and give it the next shard."""
        if reference in self.loading:
            actor, number = self.loading.pop(reference), None
        else:
            actor, number = self.busy.pop(reference)
        try:
            made = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise
        except self.ray.exceptions.RayError as error:
            self._died(number, error, waiting)
            return
        if made == BUSY:
            waiting.append(number)
        elif isinstance(made, Made):
            self.report.made.append(made)
        if waiting:
            number = waiting.popleft()
            self.before.setdefault(number, self.state(number))
            self.busy[actor.make.remote(number)] = actor, number
        else:
            self.ray.kill(actor)

    def _died(self, number: int | None, error: Exception, waiting: deque[int]) -> None:
        """Give back the shard that a predictor died at; another predictor is started in its place."""
        # After its reason Ray lists ids and addresses, which say nothing to who reads a report.
        cause = " ".join(str(error).partition("class_name:")[0].split())[:200]
        if number is None:
            self._note(f"a predictor died before its first shard: {cause}")
            number = -1
        else:
            waiting.appendleft(number)
            self._note(f"the predictor of shard {number} died, and it is given to another: {cause}")
        after = self.state(number) if number >= 0 else None
        self.deaths[number] = self.deaths[number] + 1 if after == self.before.get(number) else 1
        self.before[number] = after
        if self.deaths[number] == DEATHS:
            raise UserError(
                f"predictors died {DEATHS} times without getting on, at last: {cause}; is there enough memory for the "
                "networks? Smaller --batch_size and --workers need less"
            )

    def _note(self, what: str) -> None:
        self.report.events.append((round(time.monotonic() - self.began, 1), what))
        log.warning("%s", what)

    def _tell(self, photos: int) -> None:
        seconds = time.monotonic() - self.began
        if seconds - self.told >= TELL_S:
            self.told = seconds
            log.info("%d of %d photos, %d predictors at work", self.done(), photos, len(self.busy))
