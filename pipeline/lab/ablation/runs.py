"""The runs of an ablation, each row with each seed, and those of them that one command makes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, Row, with_seed

DONE, PENDING, COLLAPSED, FAILED = "done", "pending", "collapsed", "failed"


@dataclass(frozen=True)
class Run:
    """A row with a seed; `number` counts the runs of the ablation from 1."""

    number: int
    row: Row
    seed: int
    stage: str

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.row.name}-seed{self.seed}"

    @property
    def settings(self) -> object:
        return with_seed(self.row.settings, self.stage, self.seed)


@dataclass(frozen=True)
class Outcome:
    """What a run ended in: figures by name, None where there is none, and what they come from."""

    state: str
    figures: dict[str, float | None] | None = None
    seconds: float | None = None
    resumed: bool = False
    machine: str = ""
    commit: str = ""
    command: str = ""
    message: str = ""
    inputs: str = ""
    """What it was made from, beside the training images: names and the first digits of their hashes."""


def planned(ablation: Ablation, seeds: int) -> list[Run]:
    """Return all runs: every row with the first seed, then every row with the next, so that a table fills evenly."""
    pairs = [(row, seed) for seed in range(seeds) for row in ablation.rows]
    return [Run(number, row, seed, ablation.stage) for number, (row, seed) in enumerate(pairs, start=1)]


def share(runs: Sequence[Run], only: str) -> list[Run]:
    """Return the runs that `only` says, all where it is empty: share I of N (I/N, from 1), dealt in turn, or rows by name."""
    if not only:
        return list(runs)
    names = only.split(",")
    if {*names} <= {run.row.name for run in runs}:
        return [run for run in runs if run.row.name in names]
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", only)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        rows = ", ".join(dict.fromkeys(run.row.name for run in runs))
        raise UserError(
            f"--only is {only!r}; expected I/N, share I of N, such as 1/4 to 4/4, or rows, with commas between them, of {rows}"
        )
    return [run for run in runs if (run.number - 1) % count == number - 1]
