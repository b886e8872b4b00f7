"""Steps that are disturbed, and go on: a full disk, kill -9, SIGTERM, Ctrl-C, an end in between."""

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
SIGNAL_AT_SAVE = """
import os, runpy, signal, sys
save, number, real, saves = int(sys.argv[1]), int(sys.argv[2]), os.replace, []
def replace(source, target):
    saves.append(target)
    if len(saves) == save:
        os.kill(os.getpid(), number)
    real(source, target)
os.replace = replace
sys.argv = ["pipeline", *sys.argv[3:]]
runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
"""
"""The signal comes when a file is written whole, and has not got its name yet."""
MOST_SAVES = 20
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
        for number in (signal.SIGKILL, signal.SIGTERM):
            yield Case(f"{verb}: {number.name} at its first save, then at the second, to the last", "exits as told"
                       + again + ", nothing left over", partial(at_saves, world, step, number))  # fmt: skip
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


def at_saves(world: World, step: Step, number: int) -> str:
    """Send the signal to each run at one save further than to the one before, until a run has no such save any more."""
    folder, told = world.fresh(step.needs), -number if number == signal.SIGKILL else 128 + number
    seldom = [f"--{group}.train.save_every=20" for group in ("detector", "keypoints") if step.verb.startswith("train")]
    for save in range(1, MOST_SAVES):
        words = [*step.command(folder)[3:], *seldom]
        done = ended(start([sys.executable, "-c", SIGNAL_AT_SAVE, save, number, *words]))
        if done.returncode == 0 and save > 3:
            left = [name for name in content(folder) if ".partial" in name or name.endswith(".lock")]
            same = world.identical(folder, step.makes)
            return f"exits as told; again: exit 0, {same}, " + (f"LEFT {left}" if left else "nothing left over")
        if done.returncode != told or "Traceback" in done.stderr:
            return f"save {save}: exit {done.returncode}, {(done.stderr.strip().splitlines() or ['nothing'])[-1][:200]}"
    return f"no end after {MOST_SAVES} saves"


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
