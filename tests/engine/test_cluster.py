"""Who makes which shard, with a stand-in for Ray that answers at once; tests/scale has the real one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.engine.cluster import BUSY, DEATHS, THERE, Drive, Made


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Ray:
    """Answers are computed when they are asked for; the first asked is the first ready."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, make: Callable[[int], Any], load: Callable[[], None] = lambda: None) -> None:
        self.make, self.load = make, load
        self.started = self.killed = 0

    def start(self) -> Any:
        self.started += 1
        return SimpleNamespace(
            load=SimpleNamespace(remote=lambda: Reference(self.load)),
            make=SimpleNamespace(remote=lambda number: Reference(lambda: self.make(number))),
        )

    def wait(self, references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        return reference.answer()

    def kill(self, actor: Any) -> None:
        self.killed += 1


class Reference:
    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer


def made(number: int) -> Made:
    return Made(number, "node", 1.0, 10, 9, 1)


def drive(ray: Ray, predictors: int = 2, state: Callable[[int], Any] = lambda number: None) -> Drive:
    return Drive(ray, ray.start, predictors, state, lambda: 0)


def test_every_shard_is_made_once_by_no_more_predictors_than_needed() -> None:
    ray = Ray(made)
    report = drive(ray, predictors=3).run(range(8), 80)
    assert sorted(one.number for one in report.made) == list(range(8))
    assert (ray.started, ray.killed, report.events) == (3, 3, [])
    ray = Ray(made)
    drive(ray, predictors=9).run([4], 10)
    assert ray.started == 1


def test_what_is_there_is_not_counted_and_what_another_is_at_comes_last() -> None:
    asked: list[int] = []

    def make(number: int) -> Any:
        asked.append(number)
        return THERE if number == 0 else BUSY if number == 1 and asked.count(1) < 3 else made(number)

    report = drive(Ray(make), predictors=1).run([0, 1, 2], 30)
    assert [one.number for one in report.made] == [2, 1]
    assert asked == [0, 1, 2, 1, 1]


def test_the_shard_of_a_predictor_that_dies_is_given_to_another() -> None:
    deaths = iter([RayError("the node\nwas lost\n\tclass_name: CatalogueActor\n\tpid: 7")])

    def make(number: int) -> Made:
        if number == 1 and (death := next(deaths, None)):
            raise death
        return made(number)

    ray = Ray(make)
    report = drive(ray).run([0, 1, 2], 30)
    assert sorted(one.number for one in report.made) == [0, 1, 2]
    assert ray.started == 3
    assert [what for _, what in report.events] == [
        "the predictor of shard 1 died, and it is given to another: the node was lost"
    ]


def test_deaths_that_get_on_may_be_many_and_those_that_do_not_end_it() -> None:
    left = {0: DEATHS + 3}

    def make(number: int) -> Made:
        if left[0]:
            left[0] -= 1
            raise RayError("killed")
        return made(number)

    report = drive(Ray(make), state=lambda number: left[0]).run([0], 10)
    assert len(report.events) == DEATHS + 3
    left[0] = DEATHS
    with pytest.raises(UserError, match=rf"died {DEATHS} times without getting on, at last: killed; is there enough"):
        drive(Ray(make)).run([0], 10)


def test_predictors_that_never_begin_end_it() -> None:
    def load() -> None:
        raise RayError("no memory")

    with pytest.raises(UserError, match=rf"died {DEATHS} times without getting on, at last: no memory"):
        drive(Ray(made, load)).run([0, 1], 20)


def test_what_a_predictor_is_refused_is_said_once() -> None:
    def load() -> None:
        raise RayTaskError(UserError("--weights is 'x'; expected cpu"))

    with pytest.raises(UserError, match="--weights is 'x'; expected cpu"):
        drive(Ray(made, load)).run([0], 10)

    def broken(number: int) -> Made:
        raise RayTaskError(KeyError("fault"))

    with pytest.raises(RayTaskError):
        drive(Ray(broken)).run([0], 10)
