"""Commands beside one another under a time limit: what ends is kept, what does not is cut off."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from garment_keypoints.pipeline.lab.gpu_kit.rates import Reading, step_of

WAITING, RUNNING, DONE, FAILED, CUT_OFF, SKIPPED = "waiting", "running", "done", "failed", "cut off", "skipped"
LOOK_S, GRACE_S, TELL_S = 0.2, 10.0, 30.0
"""Between two looks at the commands; from asking one to end to ending it; between two words about what runs."""


@dataclass(frozen=True)
class Job:
    """A command. It starts when those of `after` have ended, and is skipped where a file that it `needs` is not there.

    `record` is the JSON file that it writes at its end, if it writes one.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    needs: tuple[Path, ...] = ()
    record: Path | None = None


@dataclass
class JobOutcome:
    """What became of a job; `readings` are the steps of a training that its progress bar showed, by time in seconds."""

    job: Job
    state: str = WAITING
    detail: str = ""
    begun: float = 0.0
    seconds: float = 0.0
    readings: list[Reading] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.state not in (WAITING, RUNNING)


Note = Callable[[Sequence[JobOutcome]], None]
"""Told of all outcomes when one changes, and every TELL_S seconds."""


class Runner:
    """Runs the jobs of a step in `cwd`, their output in `logs`/NAME.log."""

    def __init__(self, jobs: Sequence[Job], logs: Path, note: Note, cwd: Path, environment: Mapping[str, str]) -> None:
        self.outcomes = {job.name: JobOutcome(job) for job in jobs}
        self.logs, self.note, self.cwd = logs, note, cwd
        self.environment = os.environ | dict(environment)
        self.processes: dict[str, subprocess.Popen] = {}

    def run(self, seconds: float, enough: Callable[[Sequence[JobOutcome]], bool] | None = None) -> list[JobOutcome]:
        """Run all jobs, for at most so many seconds, or until `enough` says so; what then still runs is cut off."""
        self.logs.mkdir(parents=True, exist_ok=True)
        outcomes, end, told = list(self.outcomes.values()), time.monotonic() + seconds, 0.0
        try:
            while not all(one.ended for one in outcomes):
                if self._moved() or time.monotonic() - told >= TELL_S:
                    self.note(outcomes)
                    told = time.monotonic()
                if time.monotonic() >= end or (enough is not None and enough(outcomes)):
                    break
                time.sleep(LOOK_S)
        finally:
            self._cut_off()
            self.note(outcomes)
        return outcomes

    def _moved(self) -> bool:
        """Note what has ended, start what can start; tell whether there was any."""
        before = [one.state for one in self.outcomes.values()]
        for one in self.outcomes.values():
            if one.state == RUNNING:
                self._look_at(one)
        for one in self.outcomes.values():
            if one.state == WAITING and all(self.outcomes[name].ended for name in one.job.after):
                self._start(one)
        return before != [one.state for one in self.outcomes.values()]

    def _look_at(self, one: JobOutcome) -> None:
        name = one.job.name
        one.seconds = time.monotonic() - one.begun
        step = step_of(self._tail(name))
        if step and (not one.readings or one.readings[-1].step != step.step):
            one.readings.append(step.at(time.monotonic()))
        code = self.processes[name].poll()
        if code is not None:
            one.state = DONE if code == 0 else FAILED
            one.detail = "" if code == 0 else f"exit code {code}: {_last_line(self._tail(name))}"

    def _start(self, one: JobOutcome) -> None:
        lacking = [path for path in one.job.needs if not path.exists()]
        if lacking:
            one.state, one.detail = SKIPPED, f"{lacking[0].name} was not made"
            return
        with (self.logs / f"{one.job.name}.log").open("wb") as log:
            self.processes[one.job.name] = subprocess.Popen(
                one.job.command, cwd=self.cwd, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        one.state, one.begun = RUNNING, time.monotonic()

    def _tail(self, name: str) -> str:
        with (self.logs / f"{name}.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            return log.read().decode("utf-8", errors="replace")

    def _cut_off(self) -> None:
        """End what still runs: by asking first, since a killed process can take others on the card with it."""
        running = [one for one in self.outcomes.values() if one.state == RUNNING]
        trees = [tree_of(self.processes[one.job.name].pid) for one in running]
        for one in running:
            self.processes[one.job.name].terminate()
        psutil.wait_procs([tree[0] for tree in trees if tree], timeout=GRACE_S)
        for process in (process for tree in trees for process in tree):
            with suppress(psutil.Error):
                process.kill()
        for one in running:
            self.processes[one.job.name].wait()
            one.state, one.seconds = CUT_OFF, time.monotonic() - one.begun
        for one in self.outcomes.values():
            if one.state == WAITING:
                one.state, one.detail = SKIPPED, "its time had come to an end"


def tree_of(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started; none where it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
