"""The record of a run: resolved config, command, commit, versions, seed, hardware, times, results. Written by programs."""

import json
import logging
import os
import platform
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml

from pipeline.contract.faults import UserError
from pipeline.contract.files import alone, file_hash, json_object, refuse_foreign, write_text
from pipeline.inference.shards import RESULT
from pipeline.learning import ranks

log = logging.getLogger("pipeline")
CONFIG = "config.yaml"
MEMORY_EVERY_S = 2
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "albumentations", "numpy")


def provenance() -> dict[str, Any]:
    """Return what produced a result: command, commit, versions, machine."""
    return {
        "command": "python -m pipeline " + shlex.join(sys.argv[1:]),
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "machine": _machine(),
    }


def claim(folder: Path, config: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
    """Make `folder` the run of this config; raise UserError when it already holds a run of another one.

    `defaults` stand for settings that are newer than the run that it holds.
    """
    refuse_other_settings(folder, config, defaults)
    file = folder / CONFIG
    if ranks.is_zero() and not file.exists():
        write_text(file, _as_yaml(config))


def refuse_other_settings(folder: Path, config: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
    """Raise UserError, as `claim` does, when `folder` holds a run of another config; it is not claimed yet."""
    file = folder / CONFIG
    if not file.exists():
        return
    remedy = "choose another run folder (RUN=), or remove this one"
    try:
        known = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise UserError(f"{file}: damaged, it should hold the settings of this run; {remedy}")
    known = completed(known, yaml.safe_load(_as_yaml(defaults or {})))
    differing = differences(known, yaml.safe_load(_as_yaml(config)))
    if differing:
        raise UserError(f"{folder} holds a run with other settings ({'; '.join(differing[:5])}); {remedy}")


def refuse_another_make(file: Path, inputs: dict[str, Any], remedy: str) -> None:
    """Raise UserError when the record beside `file` describes another file, or one made from other inputs than these.

    A file without a record, such as one that was published, is taken as it is.
    """
    record = file.with_suffix(".json")
    known = read_json(record) if record.exists() else {}
    if "outputs" not in known:
        log.warning("%s: no record beside it says what it was made from; taken as it is", file)
        return
    made, of = known["outputs"], known.get("inputs")
    if not (isinstance(made, dict) and isinstance(of, dict)):
        raise UserError(f"{record}: damaged, it should name by hash what {file.name} was made from; {remedy}")
    differing = differences(made.get(file.name), file_hash(file), "its own hash")
    differing += differences({name: of.get(name) for name in inputs}, inputs)
    if differing:
        raise UserError(f"{file} is not what this step needs: by {record.name}, {'; '.join(differing[:5])}; {remedy}")


@dataclass(frozen=True)
class Results:
    """The files of a step that become visible together: `out`, others of its stem, and its record, which names them by hash.

    They are written into `folder` first, under the names that `staged` gives. A file that is there already is overwritten
    only when it is the step's own, and as it was written.
    """

    out: Path
    folder: Path
    suffixes: Sequence[str]

    def staged(self, suffix: str) -> Path:
        """Return where to write the file with this suffix before it is published."""
        return self.folder / f"{RESULT}{suffix}"

    def claim(self) -> None:
        """Raise UserError when a file in the way is somebody else's; end a publication that was interrupted."""
        if self.out.suffix != self.suffixes[0]:
            name = f"{self.out.stem}{self.suffixes[0]}"
            raise UserError(f"--out is {self.out}; expected a name in {self.suffixes[0]}, such as {name}")
        if not ranks.is_zero():
            return
        published, waiting = self._named(self.out.with_suffix(".json")), self._named(self.staged(".json"))
        what, remedy = "what this command wrote, or was changed since", "choose another --out"
        for place in map(self.out.with_suffix, self.suffixes):
            known = {named.get(place.name) for named in (published, waiting) if named}
            refuse_foreign(place, lambda file, known=known: file_hash(file) in known, what, remedy)
        refuse_foreign(self.out.with_suffix(".json"), lambda _: published is not None, what, remedy)
        if waiting is not None:
            self._finish(published or {}, waiting)

    def publish(self, record: dict[str, Any], suffixes: Sequence[str]) -> None:
        """Move what was staged with these suffixes to its place, then the record; what was there before goes."""
        record["outputs"] = {self.out.with_suffix(s).name: file_hash(self.staged(s)) for s in suffixes}
        write_json(self.staged(".json"), record)
        self.claim()

    def _finish(self, published: dict[str, str], waiting: dict[str, str]) -> None:
        for name, digest in waiting.items():
            place, staged = self.out.with_name(name), self.staged(Path(name).suffix)
            if staged.exists() and file_hash(staged) == digest:
                os.replace(staged, place)
            elif not (place.exists() and file_hash(place) == digest):  # changed since: it has to be made again
                self.staged(".json").unlink()
                return
        for name in published.keys() - waiting.keys():
            self.out.with_name(name).unlink(missing_ok=True)
        os.replace(self.staged(".json"), self.out.with_suffix(".json"))

    def _named(self, record: Path) -> dict[str, str] | None:
        """Return the hashes by name that a record of this step holds; None where there is no such record."""
        outputs = read_json(record)["outputs"] if holds(record, "provenance", "outputs") else None
        names = {self.out.with_suffix(suffix).name for suffix in self.suffixes}
        return outputs if isinstance(outputs, dict) and outputs.keys() <= names else None


def alone_at_out(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command write what its option `out` names as the only process that does."""

    @wraps(command)
    def run(*named: Any, **options: Any) -> Any:
        with alone(options["out"], "choose another --out", enabled=ranks.is_zero()):
            return command(*named, **options)

    return run


def holds(file: Path, *keys: str) -> bool:
    """Tell whether a file is a JSON object with these keys, as those are that this project writes."""
    try:
        return set(keys) <= read_json(file).keys()
    except (UserError, FileNotFoundError, IsADirectoryError):
        return False


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a results file; raise UserError when it is damaged."""
    content = json_object(path)
    if content is None:
        raise UserError(f"{path}: damaged, or no record of this project; remove it, and run again what should write it")
    return content


@contextmanager
def measured(record: dict[str, Any]) -> Iterator[None]:
    """Add to `record` the wall time in seconds and the peak memory in GB (10^9 bytes) of this process and its workers.

    With CUDA also `peak_gpu_memory_gb`, what this process has reserved on each device at most.
    """
    start, done, peak = time.perf_counter(), threading.Event(), [_memory()]

    def watch() -> None:
        while not done.wait(MEMORY_EVERY_S):
            peak.append(max(peak.pop(), _memory()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    record["wall_s"] = round(time.perf_counter() - start, 1)
    record["peak_memory_gb"] = round(max(peak.pop(), _memory()) / 1e9, 2)
    if torch.cuda.is_available():
        held = [torch.cuda.max_memory_reserved(i) for i in range(torch.cuda.device_count())]
        record["peak_gpu_memory_gb"] = [round(one / 1e9, 2) for one in held]


def _memory() -> int:
    """Return the bytes that this process and its children hold now; pages that they share count once (Linux)."""
    total = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            held = process.memory_full_info()
            total += getattr(held, "pss", held.rss)
    return total


def _as_yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Name what differs between two nested plain values, such as `config.train.lr was 0.01, now 0.02`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{name}.{k}" if name else k)]
    return [] if old == new else [f"{name} was {old}, now {new}"]


def completed(known: Any, defaults: Any) -> Any:
    """Return nested plain settings with `defaults` for what they do not say, as those of an older version do not."""
    if not (isinstance(known, dict) and isinstance(defaults, dict)):
        return known
    return defaults | {name: completed(value, defaults.get(name)) for name, value in known.items()}


@cache
def _commit() -> str:
    """Return the commit when the process started; the checkout may move on while a long one runs."""
    folder = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed.strip() else "")


def _machine() -> str:
    memory = f"{psutil.virtual_memory().total / 1e9:.0f} GB"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([f"{psutil.cpu_count()} CPU cores ({platform.machine()})", memory, *gpus])
