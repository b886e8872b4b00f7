"""The verb that runs an unpacked kit: three steps, each with a limit, of which a cut-off costs one."""

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from garment_keypoints.pipeline.lab.gpu_kit import plan
from garment_keypoints.pipeline.lab.gpu_kit.jobs import Job, JobOutcome, Runner
from garment_keypoints.pipeline.lab.gpu_kit.page import Page
from garment_keypoints.pipeline.lab.gpu_kit.plan import Training
from garment_keypoints.pipeline.lab.gpu_kit.rates import epochs_that_fit, spans, steps_per_second
from garment_keypoints.pipeline.lab.gpu_kit.settings import KIT, Kit, Place
from garment_keypoints.pipeline.runs.provenance import provenance

log = logging.getLogger("garment_keypoints")
ENDS = {"a": 2 / 12, "b": 9.5 / 12, "c": 11.8 / 12}
REHEARSED_ENDS = {"a": 4 / 12, "b": 10 / 12, "c": 11.8 / 12}
"""When a step ends at the latest, as a share of all the time. What one does not use is the next one's."""
PROBE_S, PROBE_SHARE = 10.0, 0.4
"""Seconds over which a rate is read; and of step b's time at most this share until all trainings have one."""
SCORING_S = 20.0
"""Beside what it takes to start: what follows on a training."""


class KitRun:
    """A kit on a machine, with the page that it writes."""

    def __init__(self, place: Place, kit: Kit) -> None:
        self.place, self.kit, self.begun = place, kit, time.monotonic()
        self.clock = self.begun
        self.on_gpu = torch.cuda.is_available()
        made = provenance()
        machine = {"machine": made["machine"], "torch": torch.__version__, "versions": made["versions"]}
        machine["device"] = torch.cuda.get_device_name() if self.on_gpu else "CPU"
        self.page = Page.begun(place.results, kit, machine)

    def left(self, step: str) -> float:
        """Return the seconds that are left until this step has to end."""
        ends = REHEARSED_ENDS if self.kit.limit else ENDS
        return self.begun + 60 * self.kit.minutes * ends[step] - time.monotonic()

    def jobs(
        self, step: dict, jobs: Sequence[Job], part: str = "", enough: Callable | None = None, threads: int = 0
    ) -> list[JobOutcome]:
        """Run jobs of a step until it has to end; `threads` for each of them, 0: as many as it likes."""

        def note(outcomes: Sequence[JobOutcome]) -> None:
            step["seconds"] = time.monotonic() - self.clock
            self.page.put(step, outcomes, part)
            log.info("%s", told(step["name"], step["seconds"], outcomes))

        environment = {"OMP_NUM_THREADS": str(threads)} if threads else {}
        logs = self.place.results / step["name"] / f"logs{part and '_'}{part.rstrip(' ')}"
        return Runner(jobs, logs, note, self.place.code, environment).run(self.left(step["name"]), enough)

    @contextmanager
    def step(self, name: str) -> Iterator[dict]:
        """Open a step on the page, and close it; what goes wrong in it is noted, and costs nothing else."""
        limit = self.left(name)
        log.info("step %s: at most %.0f s", name, limit)
        step = self.page.open_step(name, limit)
        self.clock = time.monotonic()
        (self.place.results / name).mkdir(exist_ok=True)
        try:
            yield step
        except Exception as error:
            log.exception("step %s", name)
            self._close(step, str(error))
        else:
            self._close(step)

    def _close(self, step: dict, fault: str = "") -> None:
        step["seconds"] = time.monotonic() - self.clock
        self.page.close_step(step, fault)


def gpu_run(work: Path) -> None:
    """Run an unpacked kit on this machine: check the pipeline, train, and make rows of a study; results/page.md says how it went.

    Args:
        work: folder that kit.sh unpacked the kit into
    """
    place, kit = Place(work.resolve()), Kit.read(work / KIT)
    place.results.mkdir(exist_ok=True)
    run, state = KitRun(place, kit), "cut off"
    try:
        with run.step("a") as step:
            # What rehearses shares its cores: threads that wait for one another would take most of them.
            run.jobs(step, plan.checks(place, kit, run.on_gpu), threads=1 if kit.limit else 0)
        with run.step("b") as step:
            _wait_for_parts(run)
            _train(run, step)
        with run.step("c") as step:
            _wait_for_parts(run)
            _make_rows(run, step)
        state = "ended"
    finally:
        run.page.end(state)
    log.info("%s: see %s", state, place.results / "page.md")


def _wait_for_parts(run: KitRun) -> None:
    """Wait for the parts that are carried while step a runs. Raises RuntimeError when the time is over."""
    lacking = [part for part in range(1, run.kit.parts + 1) if not run.place.arrived(part).exists()]
    while lacking:
        if run.left("b") < 0:
            raise RuntimeError(f"part {lacking[0]} of {run.kit.parts} never came")
        log.info("waiting for part %d of %d", lacking[0], run.kit.parts)
        time.sleep(2)
        lacking = [part for part in lacking if not run.place.arrived(part).exists()]


def _train(run: KitRun, step: dict) -> None:
    """Measure how the card can be fed and how fast all trainings are beside one another, then train for what fits."""
    known, unknown = plan.known_backbones()
    step["notes"] += [f"{name} is no backbone of this version: left out" for name in unknown]
    made = plan.trainings(known, rehearsed=bool(run.kit.limit))
    probe, final = run.place.results / "b" / "probe", run.place.results / "b" / "run"
    for folder in (probe, final):
        folder.mkdir(exist_ok=True)
        shutil.copy2(run.place.folds, folder)
    run.jobs(step, [plan.feeding(run.place, run.kit)], threads=1)
    limit = time.monotonic() + PROBE_SHARE * run.left("b")

    def enough(outcomes: Sequence[JobOutcome]) -> bool:
        return time.monotonic() >= limit or all(one.ended or spans(one.readings, PROBE_S) for one in outcomes)

    with _shared_card(run.on_gpu):
        jobs = [plan.training_job(one, plan.PROBE_EPOCHS, probe, run.place, run.kit, len(made)) for one in made]
        probed = run.jobs(step, jobs, "probe ", enough, threads=1)
    shutil.rmtree(probe)
    epochs, startup = fitting(made, probed, run.left("b"))
    step["epochs"] = epochs
    taken = sum(steps_per_second(one.readings) for one in probed)
    step["notes"].append(
        f"All trainings beside one another made {taken:.1f} steps a second; from start to first step {startup:.0f} s"
    )
    step["notes"].append(f"Epochs that fit: {', '.join(f'{name} {count}' for name, count in epochs.items())}")
    chosen = [one for one in made if epochs.get(one.group)]
    jobs = [plan.training_job(one, epochs[one.group], final, run.place, run.kit, len(chosen)) for one in chosen]
    with _shared_card(run.on_gpu):
        run.jobs(step, [*jobs, *plan.after_trainings(chosen, epochs, final, run.place, run.kit)], threads=1)


def fitting(made: Sequence[Training], probed: Sequence[JobOutcome], left: float) -> tuple[dict[str, int], float]:
    """Return the number of epochs of each group of trainings that fits into the seconds left, and what a start takes.

    All trainings of a group fit by the slowest of them; a group without a rate gets none.
    """
    starts = [one.readings[0].seconds - one.begun for one in probed if one.readings]
    startup = max(starts, default=0.0)
    seconds, epochs = left - 2 * startup - SCORING_S, {}
    for training, one in zip(made, probed, strict=True):
        steps = one.readings[-1].total / plan.PROBE_EPOCHS if one.readings else 1.0
        fit = epochs_that_fit(steps_per_second(one.readings), steps, seconds, training.most)
        epochs[training.group] = min(fit, epochs.get(training.group, training.most))
    return epochs, startup


def _make_rows(run: KitRun, step: dict) -> None:
    jobs = plan.study_rows(run.place, run.kit)
    for job in jobs:
        folder = run.place.results / "c" / job.name
        folder.mkdir(exist_ok=True)
        shutil.copy2(run.place.folds, folder)
    with _shared_card(run.on_gpu):
        run.jobs(step, jobs, threads=1)


@contextmanager
def _shared_card(on_gpu: bool) -> Iterator[None]:
    """Let several processes work on the card at the same time (NVIDIA's Multi-Process Service), instead of by turns."""
    control = shutil.which("nvidia-cuda-mps-control") if on_gpu else None
    if control is None:
        log.info("no Multi-Process Service: trainings take turns")
        yield
        return
    subprocess.run([control, "-d"], check=False)
    try:
        yield
    finally:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run([control], input="quit\n", text=True, check=False, timeout=30)


def told(step: str, seconds: float, outcomes: Sequence[JobOutcome]) -> str:
    """Return the line that a log has every half a minute: how each job stands."""
    parts = []
    for one in outcomes:
        steps = f" {one.readings[-1].step}/{one.readings[-1].total}" if one.readings else ""
        rate = steps_per_second(one.readings)
        parts.append(f"{one.job.name} {one.state}{steps}{f' {rate:.2f}/s' if rate else ''}")
    return f"{time.strftime('%H:%M:%S')} step {step}, {seconds:.0f} s: {'; '.join(parts)}"
