"""Steps that are disturbed, and go on: a full disk, kill -9, SIGTERM, Ctrl-C, two processes at once, an end in between."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.faults.playing import ROOT, Case, Step, World, content, ended, left_over, newest, refusal, start, written

FILE_LIMITS = {"sample": 2000, "train-detector": 200_000, "boxes": 30_000, "train-keypoints": 100_000, "submit": 20_000}
"""Bytes at which a file of the step is full."""
FULL = {"sample": "drawn", "train-detector": "last.ckpt", "boxes": "rank0.jsonl", "train-keypoints": "last.ckpt",
        "submit": "rank0.jsonl"}  # fmt: skip
"""What the error must name."""
KILLED = ("train-detector", "boxes", "train-keypoints", "submit")
TMPFS = """
mount -t tmpfs -o size=100m faults "$1" && cp -r "$2/." "$1" || exit 99
used=$(du -sk "$1" | cut -f1); mount -o remount,size=$((used + $3))k "$1" || exit 99
shift 3; folder=$1; shift
"$@" 2> "$folder.error"; echo $? > "$folder.status"
mkdir "$folder.after" && cp -r "$folder/." "$folder.after"
mount -o remount,size=500m "$folder" || exit 99
"$@"; echo $? > "$folder.again"
mkdir "$folder.done" && cp -r "$folder/." "$folder.done"
"""
ROOM_KB = {"sample": 100, "train-detector": 200, "boxes": 60, "train-keypoints": 200, "submit": 60}
KILL_AFTER_CSV = """
import os, runpy, signal, sys
real = os.replace
def replace(source, target):
    real(source, target)
    if str(target).endswith("submission.csv"):
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
sys.argv = ["pipeline", *sys.argv[1:]]
runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
"""


def cases(world: World) -> Iterator[Case]:
    again = "; again: exit 0, identical"
    full = "exit 1, one line names it, nothing half-written or lost" + again
    for verb, limit in FILE_LIMITS.items():
        name = f"{verb}: no file may grow over {limit} bytes (EFBIG)"
        yield Case(name, full, partial(file_limit, world, world.steps[verb], limit))
    for verb in FILE_LIMITS:
        name = f"{verb}: a full tmpfs (ENOSPC)"
        yield Case(name, full, partial(full_disk, world, world.steps[verb]))
    for verb in KILLED:
        step = world.steps[verb]
        yield Case(f"{verb}: kill -9, three times", "exits -9 -9 -9" + again, partial(
            signalled, world, step, [signal.SIGKILL] * 3))  # fmt: skip
        yield Case(f"{verb}: SIGTERM, Ctrl-C, and SIGTERM with SIGINT ignored", "exits 143 130 143" + again, partial(
            signalled, world, step, [signal.SIGTERM, signal.SIGINT, -signal.SIGTERM]))  # fmt: skip
    for verb in ("train-detector", "submit"):
        expected = "exits 0 1, one line names it, identical"
        yield Case(f"{verb}: two processes at once", expected, partial(two_at_once, world, world.steps[verb]))
    yield Case("submit: kill -9 between CSV and record, then make", "exit -9, csv lock; again: exit 0, csv json png",
               partial(killed_between, world))  # fmt: skip


def file_limit(world: World, step: Step, limit: int) -> str:
    folder = world.fresh(step.needs)
    before = content(folder)
    done = ended(start(step.command(folder), largest_file=limit))
    seen = f"{refusal(done, FULL[step.verb])}, {left_over(folder, before, step.makes)}"
    return seen + _again(world, folder, step)


def full_disk(world: World, step: Step) -> str:
    """Play it in a name space of its own, where a small disk can be mounted; `not possible here` where it cannot."""
    prepared, folder = world.fresh(step.needs), world.fresh()
    probe = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, text=True
    )
    if probe.returncode:
        return f"not possible here: {probe.stderr.strip()}"
    room = str(ROOM_KB[step.verb])
    script = ["unshare", "-rm", "sh", "-c", TMPFS, "sh", folder, prepared, room, folder, *step.command(folder)]
    played = ended(start(script))
    beside = {what: folder.with_name(f"{folder.name}.{what}") for what in ("error", "status", "after", "again", "done")}
    if played.returncode == 99 or not beside["again"].exists():
        return f"not played: {played.stderr[-300:]}"
    code = int(beside["status"].read_text())
    done = subprocess.CompletedProcess([], code, "", beside["error"].read_text())
    seen = f"{refusal(done, FULL[step.verb])}, {left_over(beside['after'], content(prepared), step.makes)}"
    return f"{seen}; again: exit {int(beside['again'].read_text())}, {world.identical(beside['done'], step.makes)}"


def signalled(world: World, step: Step, signals: list[int]) -> str:
    """Send the signals, one a run, at random moments after new partial work; a negative one to a background job."""
    folder, codes = world.fresh(step.needs), []
    for number in signals:
        before = newest(folder, step.partial)
        process = start(step.command(folder), background=number < 0)
        if not written(process, folder, step.partial, before):
            return f"ended before it was disturbed: {ended(process).stderr[-200:]}"
        time.sleep(world.random.uniform(0, 0.1) * world.lasts[step.verb])
        process.send_signal(abs(number))
        sent = time.monotonic()
        done = ended(process)
        late = time.monotonic() - sent > 20
        codes.append(
            f"{done.returncode}" + (" LATE" if late else "") + (" TRACEBACK" if "Traceback" in done.stderr else "")
        )
    return f"exits {' '.join(codes)}{_again(world, folder, step)}"


def two_at_once(world: World, step: Step) -> str:
    folder = world.fresh(step.needs)
    both = [start(step.command(folder)) for _ in range(2)]
    won, refused = sorted(map(ended, both), key=lambda done: done.returncode)
    said = refusal(refused, "another process is writing").removeprefix("exit 1, ")
    return f"exits {won.returncode} {refused.returncode}, {said}, {world.identical(folder, step.makes)}"


def killed_between(world: World) -> str:
    """The process kills itself in the moment between; make then finds no record, and runs the command again.

    A killed process leaves the file of its lock, which nobody holds any more; the next one removes it.
    """
    folder = world.fresh()
    out, answers = folder / "submission.csv", world.small / "answer.csv"
    options = [*world.submit(world.small, out), "--answers", answers]
    killed = ended(start([sys.executable, "-c", KILL_AFTER_CSV, "submit", *options]))
    seen = f"exit {killed.returncode}, {_suffixes(folder)}"
    installed = world.folder / "installed"
    installed.touch()
    variables = {"DATA": world.train, "TEST": world.small, "ANSWERS": answers, "RUN": world.base, "OUT": folder}
    variables |= {"BIN": Path(sys.executable).parent, "INSTALLED": installed, "PRESET": "cpu"}
    done = ended(start(["make", "-C", ROOT, "submit", *(f"{name}={value}" for name, value in variables.items())]))
    return f"{seen}; again: exit {done.returncode}, {_suffixes(folder)}"


def _suffixes(folder: Path) -> str:
    return " ".join(sorted(path.suffix[1:] for path in folder.iterdir() if path.is_file()))


def _again(world: World, folder: Path, step: Step) -> str:
    done = ended(start(step.command(folder)))
    return f"; again: exit {done.returncode}, {world.identical(folder, step.makes)}"
