"""`predict` on a folder of which a fifth is hostile, while photos go, change and grow: each is accounted for once."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.faults.playing import Case, World, ended, newest, start, written

HOSTILE = 5
"""Every so-many-th is one of HOW."""
HOW = ("text", "cut", "pipe", "folder", "long")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
LINES = "found/predictions.jsonl"


def cases(world: World) -> Iterator[Case]:
    yield Case(f"predict: {world.photos} files, a fifth hostile, photos that go, change and grow, five signals",
               "exits 143 130 -9 143 -9; again: exit 0, each photo once", partial(changing, world))  # fmt: skip


def changing(world: World) -> str:
    folder = world.fresh()
    names = _lay(world, folder / "photos")
    command = [sys.executable, "-m", "pipeline", "predict", folder / "photos", "--out", folder / "found"]
    command += ["--accelerator", "cpu", "--flip_test", "false", "--refine", 0, "--batch_size", 4, "--workers", 1]
    codes = []
    for number, sent in enumerate(SIGNALS):
        before = newest(folder, LINES)
        process = start(command)
        if not written(process, folder, LINES, before):
            return f"ended before it was disturbed: {ended(process).stderr[-200:]}"
        _change(folder / "photos", number)
        time.sleep(world.random.uniform(0, 0.0015 * world.photos))
        process.send_signal(sent)
        codes.append(ended(process).returncode)
    done = ended(start(command), seconds=world.photos)
    lines = [json.loads(line) for line in (folder / LINES).read_bytes().splitlines()]
    seen = [os.path.relpath(line["photo"], folder / "photos") for line in lines]
    # One that went was done before, or has no line: nobody named it any more.
    once = len(set(seen)) == len(seen) and {*names} - {"0003.jpg"} <= {*seen} <= {*names}
    bad = sum("error" in line for line in lines)
    right = once and bad == world.photos // HOSTILE // len(HOW) * 3
    said = "each photo once" if right else f"{len(lines)} lines of {len(set(seen))} photos, {bad} errors"
    return f"exits {' '.join(map(str, codes))}; again: exit {done.returncode}, {said}"


def _lay(world: World, folder: Path) -> list[str]:
    """Lay the photos; return the names of those that `predict` sees: a folder called like a photo is none."""
    folder.mkdir()
    whole = sorted((world.folder / "drawn").rglob("*.jpg"))
    names = [f"{i:04d}.jpg" for i in range(world.photos)]
    for i, name in enumerate(names):
        how = HOW[i // HOSTILE % len(HOW)] if i % HOSTILE == 0 else ""
        file = folder / name
        if how == "pipe":
            os.mkfifo(file)
        elif how == "folder":
            file.mkdir()
        elif how == "text":
            file.write_text("no picture")
        else:
            shutil.copy(whole[i % len(whole)], file)
        if how == "cut":
            os.truncate(file, 500)
        if how == "long":
            names[i] = f"{i:04d}".ljust(251, "x") + ".jpg"
            file.rename(folder / names[i])
    return [name for name in names if not (folder / name).is_dir()]


def _change(folder: Path, number: int) -> None:
    """Remove a photo, replace one, and let one grow, all of them anywhere among the others."""
    (folder / "0003.jpg").unlink(missing_ok=True)
    shutil.copy(folder / "0001.jpg", folder / f"{17 + 40 * number:04d}.jpg")
    with (folder / "0199.jpg").open("ab") as file:
        file.write(b"more")
