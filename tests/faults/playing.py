"""How a case is played: the data and the undisturbed run, the commands as processes of their own, and what is compared."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from garment_keypoints.pipeline.sample.write import draw_dataset
from safetensors import safe_open

from tests.commands.running import TINY

ROOT = Path(__file__).parent.parent.parent
PHOTOS = 200
"""Files of the case of many photos."""
TIMEOUT_S = 120
COPIES = 10
"""Copies of each drawn picture, so that a step lasts some seconds, in which it can be disturbed."""


@dataclass(frozen=True)
class Case:
    """A fault to play: `play` returns what was seen, in the words of `expected` where all went as it should."""

    name: str
    expected: str
    play: Callable[[], str]


@dataclass(frozen=True)
class Step:
    """A command that is disturbed: its `options` for a folder, the files that it needs there, makes, and keeps meanwhile."""

    verb: str
    options: Callable[[Path], Sequence[object]]
    needs: Sequence[str]
    makes: str
    partial: str

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "pipeline", self.verb, *map(str, self.options(folder))]


class World:
    """A folder with data, the undisturbed run in base/ and its steps."""

    def __init__(self, folder: Path, photos: int = PHOTOS, seed: int = 0) -> None:
        self.folder, self.photos, self.random, self.count = folder, photos, random.Random(seed), 0
        draw_dataset(folder / "drawn", train=20, test=10, seed=1, size=128)
        self.train, self.test = folder / "train", folder / "test"
        _copies(folder / "drawn" / "train", "Annotations/train.csv", self.train)
        _copies(folder / "drawn" / "test", "test.csv", self.test)
        shutil.copytree(folder / "drawn" / "test", folder / "small")
        self.small = folder / "small"
        self.base = folder / "base"
        self.steps = {step.verb: step for step in self._steps()}
        self.lasts: dict[str, float] = {}
        """Seconds from a step's first partial work to its end."""

    def prepare(self) -> None:
        """Run everything undisturbed; raise RuntimeError when that fails."""
        where = [*TINY, "--data", self.train, "--run", self.base]
        for only in ("fold1", "final"):
            refuse_failure(ended(start([sys.executable, "-m", "pipeline", "train-detector", *where, "--only", only])))
        for step in self.steps.values():
            if step.verb == "sample":
                shutil.copytree(self.folder / "drawn", self.base / "drawn")
                continue
            process = start(step.command(self.base))
            written(process, self.base, step.partial)
            begun = time.monotonic()
            refuse_failure(ended(process))
            self.lasts[step.verb] = time.monotonic() - begun

    def _steps(self) -> Iterable[Step]:
        data = [*TINY, "--data", self.train, "--run"]
        often = ["--detector.train.save_every", 2, "--keypoints.train.save_every", 2]
        folds, detectors = "folds.csv", ["detector/*.*"]
        yield Step("train-detector", lambda run: [*data, run, *often, "--only", "fold0"], [folds],
                   "detector/fold0.safetensors", "detector/fold0/last.ckpt")  # fmt: skip
        yield Step("boxes", lambda run: [*data, run], [folds, *detectors], "boxes.csv", "detector/boxes/*/rank0.jsonl")
        yield Step("train-keypoints", lambda run: [*data, run, *often], [folds, *detectors, "boxes.*"],
                   "keypoints/final.safetensors", "keypoints/final/last.ckpt")  # fmt: skip
        yield Step("submit", lambda run: self.submit(self.test, run / "s.csv"), [], "s.csv", "s.parts/rank0.jsonl")
        yield Step("sample", lambda run: ["--out", run / "drawn", "--train", 20, "--test", 10, "--seed", 1, "--size", 128],
                   [], "drawn", "drawn.partial/train/Images/*/*.jpg")  # fmt: skip

    def submit(self, test: Path, out: Path) -> list[object]:
        weights = ["--detector", self.base / "detector/final.safetensors"]
        weights += ["--keypoints", self.base / "keypoints/final.safetensors"]
        return ["--test", test, *weights, "--out", out, "--workers", 0, "--accelerator", "cpu", "--batch_size", 4]

    def fresh(self, needs: Sequence[str] = ()) -> Path:
        """Return a new folder with copies of these files of the undisturbed run."""
        self.count += 1
        folder = self.folder / f"case{self.count}"
        folder.mkdir()
        for file in (file for pattern in needs for file in self.base.glob(pattern) if file.is_file()):
            target = folder / file.relative_to(self.base)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        return folder

    def identical(self, folder: Path, makes: str) -> str:
        """Say whether what a step made equals what the undisturbed run made."""
        return "identical" if content(folder / makes) == content(self.base / makes) else "DIFFERS"


def _copies(source: Path, table: str, to: Path) -> None:
    header, *rows = (source / table).read_text().splitlines()
    lines = [header]
    for image_id, rest in (row.split(",", 1) for row in rows):
        for number in range(COPIES):
            name = image_id.replace(".jpg", f"-{number}.jpg")
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / image_id, to / name)
            lines.append(f"{name},{rest}")
    (to / table).parent.mkdir(parents=True, exist_ok=True)
    (to / table).write_text("\n".join(lines) + "\n")


def start(command: Sequence[object], largest_file: int = 0, background: bool = False) -> subprocess.Popen:
    """Start a command; no file may grow over `largest_file` bytes (0: any may); in the background SIGINT is ignored."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN if background else signal.default_int_handler)
        if largest_file:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that write fails, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=environment, text=True, preexec_fn=prepare,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen, seconds: float = 0) -> subprocess.CompletedProcess:
    try:
        output, error = process.communicate(timeout=max(seconds, TIMEOUT_S))
    except subprocess.TimeoutExpired:
        process.kill()
        output, error = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, error)


def written(process: subprocess.Popen, folder: Path, pattern: str, before: int = 0) -> bool:
    """Wait until a file of this pattern is written after `before` (its time in ns); False when the process ended first."""
    limit = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < limit:
        if newest(folder, pattern) > before:
            return True
        time.sleep(0.002)
    return False


def newest(folder: Path, pattern: str) -> int:
    """Return when the newest file of a pattern that holds anything was written, in ns (0: there is none)."""
    status = (file.stat() for file in folder.glob(pattern))
    return max((one.st_mtime_ns for one in status if one.st_size), default=0)


def refuse_failure(done: subprocess.CompletedProcess) -> None:
    if done.returncode:
        raise RuntimeError(f"{done.args}: exit {done.returncode}\n{done.stderr[-2000:]}")


def refusal(done: subprocess.CompletedProcess, *names: str) -> str:
    """Say how a command ended that had to be refused: its exit status, and whether one line names what is wrong."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1][:200]
    if "Traceback" in done.stderr or len(lines) != 1:
        return f"exit {done.returncode}, {len(lines)} lines of error, the last of all: {last}"
    lacking = [name for name in names if name not in lines[0]]
    return f"exit {done.returncode}, " + (f"does not name {lacking[0]}: {last}" if lacking else "one line names it")


def content(path: Path) -> object:
    """Return all bytes of a file or folder; of weights without when they were made, and how often they were saved meanwhile."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if not path.exists():
        return None
    if path.suffix != ".safetensors":
        return path.read_bytes()
    with safe_open(path, "np") as file:
        tensors = {key: (file.get_tensor(key).dtype, file.get_tensor(key).tobytes()) for key in file.keys()}  # noqa: SIM118
        header = {key: json.loads(value) for key, value in file.metadata().items() if key != "provenance"}
    header["config"]["train"].pop("save_every")
    return tensors, header


def left_over(folder: Path, before: dict[str, bytes], makes: str) -> str:
    """Say what a command that failed did to a folder which held `before`: nothing half-written, nothing lost."""
    now = content(folder)
    lost = [name for name in before if now.get(name) != before[name]]
    half = [name for name in now if ".partial" in name or name.endswith(".lock")]
    half += [makes] if (folder / makes).exists() else []
    return "nothing half-written or lost" if not lost + half else f"LEFT {half}, LOST {lost}"
