"""The record of a run: resolved config, command, commit, versions, seed, hardware, times, results. Written by programs."""

import json
import logging
import platform
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml

from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash, write_text
from pipeline.learning import ranks

log = logging.getLogger("pipeline")
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


def claim(folder: Path, config: dict[str, Any]) -> None:
    """Make `folder` the run of this config; raise ValueError when it already holds a run of another one."""
    file = folder / "config.yaml"
    text = yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)
    if file.exists():
        differing = _differences(yaml.safe_load(file.read_text(encoding="utf-8")) or {}, yaml.safe_load(text))
        if differing:
            raise UserError(
                f"{folder} holds a run with other settings ({'; '.join(differing[:5])}); "
                "choose another run folder (RUN=), or remove this one"
            )
        return
    if ranks.is_zero():
        write_text(file, text)


def refuse_another_make(file: Path, inputs: dict[str, Any], remedy: str) -> None:
    """Raise ValueError when the record beside `file` describes another file, or one made from other inputs than these.

    A file without a record, such as one that was published, is taken as it is.
    """
    record = file.with_suffix(".json")
    known = read_json(record) if record.exists() else {}
    if "outputs" not in known:
        log.warning("%s: no record beside it says what it was made from; taken as it is", file)
        return
    differing = _differences(known["outputs"].get(file.name), file_hash(file), "its own hash")
    differing += _differences({name: known["inputs"].get(name) for name in inputs}, inputs)
    if differing:
        raise UserError(f"{file} is not what this step needs: by {record.name}, {'; '.join(differing[:5])}; {remedy}")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


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


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [d for k in keys for d in _differences(old.get(k), new.get(k), f"{name}.{k}" if name else k)]
    return [] if old == new else [f"{name} was {old}, now {new}"]


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
