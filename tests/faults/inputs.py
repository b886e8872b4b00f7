"""Foreign files in the way of what a command writes, and pictures that change while it runs or between two runs."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.faults.playing import Case, World, content, ended, left_over, newest, refusal, start, written

FOREIGN = ("s.csv", "s.json", "s.png", "s.parts/thesis.txt")
UNTOUCHED = "exit 1, one line names it, nothing half-written or lost"
ABSENT = "-1_-1_-1"


def cases(world: World) -> Iterator[Case]:
    for name in FOREIGN:
        yield Case(f"submit: {name} of somebody else", UNTOUCHED, partial(foreign, world, name))
    yield Case("submit: --out names test.csv", UNTOUCHED, partial(over_input, world))
    yield Case("sample: x.partial of somebody else", UNTOUCHED, partial(foreign_partial, world))
    yield Case("submit: a picture replaced before it goes on", "exit -9; again: exit 0, as if it had always been the new one",
               partial(replaced, world))  # fmt: skip
    yield Case("train-detector: a picture replaced after folds.csv", UNTOUCHED, partial(replaced_in_training, world))
    yield Case("submit --on_error stop: a picture becomes garbage meanwhile", "exit 1, one line names it",
               partial(garbage_stops, world))  # fmt: skip
    yield Case("submit --on_error skip: a picture becomes garbage meanwhile",
               "exit 0, its row alone is empty, the record names it", partial(garbage_skipped, world))  # fmt: skip
    for verb in ("train-detector", "submit", "sample"):
        yield Case(f"{verb}: a file in the way of the folder", UNTOUCHED, partial(file_in_the_way, world, verb))


def _command(verb: str, *options: object) -> list[object]:
    return [sys.executable, "-m", "pipeline", verb, *options]


def foreign(world: World, name: str) -> str:
    folder = world.fresh()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = content(folder)
    done = ended(start(_command("submit", *world.submit(world.small, folder / "s.csv"))))
    return f"{refusal(done, Path(name).name)}, {left_over(folder, before, 's.parts/job.json')}"


def over_input(world: World) -> str:
    test = world.fresh() / "test"
    shutil.copytree(world.small, test)
    before = content(test)
    done = ended(start(_command("submit", *world.submit(test, test / "test.csv"))))
    return f"{refusal(done, 'test.csv')}, {left_over(test, before, 'test.parts')}"


def foreign_partial(world: World) -> str:
    folder = world.fresh()
    mine = folder / "x.partial" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = ended(start(_command("sample", "--out", folder / "x", "--train", 4, "--test", 2)))
    kept = {path.name for path in folder.rglob("*")} == {"x.partial", "thesis.txt"} and mine.read_text() == "mine"
    return f"{refusal(done, 'x.partial')}, " + ("nothing half-written or lost" if kept else "NOT as it was")


def replaced(world: World) -> str:
    """Replace a picture whose row is predicted already; compare with a run that never saw the old one."""
    folder, undisturbed = world.fresh(), world.fresh()
    test = folder / "test"
    shutil.copytree(world.test, test)
    command = _command("submit", *world.submit(test, folder / "s.csv"))
    process = start(command)
    written(process, folder, "s.parts/rank0.jsonl")
    process.kill()
    killed = ended(process).returncode
    first = json.loads((folder / "s.parts" / "rank0.jsonl").read_text().splitlines()[0].partition(" ")[2])
    _replace(test / first["image_id"], test)
    again = ended(start(command))
    ended(start(_command("submit", *world.submit(test, undisturbed / "s.csv"))))
    new, old = content(folder / "s.csv"), content(world.base / "s.csv")
    same = new is not None and new == content(undisturbed / "s.csv") and new != old
    said = "as if it had always been the new one" if same else "DIFFERS from a run on the new one"
    return f"exit {killed}; again: exit {again.returncode}, {said}"


def _replace(picture: Path, test: Path) -> None:
    """Put another garment's picture in the place of this one."""
    others = (other for other in sorted(test.glob("Images/*/*.jpg")) if other.parent != picture.parent)
    shutil.copy(next(others), picture)


def replaced_in_training(world: World) -> str:
    folder = world.fresh(["folds.csv"])
    train = folder / "train"
    shutil.copytree(world.train, train)
    picture = next(iter(sorted(train.glob("Images/*/*.jpg"))))
    _replace(picture, train)
    before = content(folder)
    options = [*world.steps["train-detector"].options(folder)]
    options[options.index("--data") + 1] = train
    done = ended(start(_command("train-detector", *options)))
    return f"{refusal(done, picture.name)}, {left_over(folder, before, 'detector/fold0.safetensors')}"


def _garbage(world: World, on_error: str) -> tuple[Path, str, object]:
    """Halt submit after its look at all pictures, spoil one in the middle, and let it go on."""
    folder = world.fresh()
    test = folder / "test"
    shutil.copytree(world.test, test)
    process = start(_command("submit", *world.submit(test, folder / "s.csv"), "--on_error", on_error))
    written(process, folder, "s.parts/job.json", newest(folder, "s.parts/job.json"))
    process.send_signal(signal.SIGSTOP)
    rows = (test / "test.csv").read_text().splitlines()[1:]
    victim = rows[len(rows) // 2].split(",")[0]
    (test / victim).write_bytes(b"no picture at all")
    process.send_signal(signal.SIGCONT)
    return folder, victim, ended(process)


def garbage_stops(world: World) -> str:
    _, victim, done = _garbage(world, "stop")
    return refusal(done, Path(victim).name)


def garbage_skipped(world: World) -> str:
    folder, victim, done = _garbage(world, "skip")
    if done.returncode:
        return refusal(done, victim)
    seen, undisturbed = ((place / "s.csv").read_text().splitlines() for place in (folder, world.base))
    differing = [line for line, other in zip(seen, undisturbed, strict=True) if line != other]
    empty = len(differing) == 1 and differing[0].startswith(victim) and set(differing[0].split(",")[2:]) == {ABSENT}
    named = list(json.loads((folder / "s.json").read_text())["figures"]["skipped"]) == [victim]
    rows = "its row alone is empty" if empty else f"{len(differing)} rows differ"
    return f"exit 0, {rows}, the record " + ("names it" if named else "DOES NOT name it")


def file_in_the_way(world: World, verb: str) -> str:
    folder = world.fresh()
    way = folder / "way"
    way.write_text("mine")
    before = content(folder)
    options = {
        "train-detector": world.steps["train-detector"].options(way),
        "submit": world.submit(world.small, way / "s.csv"),
        "sample": ["--out", way / "x", "--train", 4, "--test", 2],
    }
    done = ended(start(_command(verb, *options[verb])))
    return f"{refusal(done, 'way')}, {left_over(folder, before, 'none')}"
