"""Two commands at once: in the same files, and in a run folder that both begin."""

from collections.abc import Iterator
from functools import partial

from tests.faults.playing import Case, Step, World, ended, refusal, start

TWICE = ("train-detector", "boxes", "train-keypoints", "submit")
OTHER = {"--detector.train.lr=0.01": "other settings", "--limit=150": "folds.csv"}


def cases(world: World) -> Iterator[Case]:
    one = "one line names it"
    for verb in TWICE:
        yield Case(f"{verb}: two processes at once", f"exits 0 1, {one}, identical",
                   partial(in_the_same_files, world, world.steps[verb]))  # fmt: skip
    yield Case("train-detector: two folds of a new run at once", "exits 0 0, identical", partial(two_folds, world))
    for option, named in OTHER.items():
        yield Case(f"train-detector: two folds of a new run at once, one with {option}", f"exits 0 1, {one}",
                   partial(other_settings, world, option, named))  # fmt: skip


def in_the_same_files(world: World, step: Step) -> str:
    folder = world.fresh(step.needs)
    both = [start(step.command(folder)) for _ in range(2)]
    won, refused = sorted(map(ended, both), key=lambda done: done.returncode)
    said = refusal(refused, "another process is writing").removeprefix("exit 1, ")
    return f"exits {won.returncode} {refused.returncode}, {said}, {world.identical(folder, step.makes)}"


def two_folds(world: World) -> str:
    folder, step = world.fresh(), world.steps["train-detector"]
    both = [start([*step.command(folder), f"--only={fold}"]) for fold in ("fold0", "fold1")]
    codes = " ".join(str(ended(one).returncode) for one in both)
    return f"exits {codes}, {world.identical(folder, step.makes)}"


def other_settings(world: World, option: str, named: str) -> str:
    """Whichever is slower is refused, whenever it comes to that: the run is of the other one."""
    folder, step = world.fresh(), world.steps["train-detector"]
    both = [start([*step.command(folder), "--only=fold0"]), start([*step.command(folder), "--only=fold1", option])]
    won, refused = sorted(map(ended, both), key=lambda done: done.returncode)
    return f"exits {won.returncode} {refused.returncode}, " + refusal(refused, named).removeprefix("exit 1, ")
