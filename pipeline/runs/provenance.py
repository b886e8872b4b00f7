"""What produced a result, how long it took, and how much memory: command, commit, versions, machine."""

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

log = logging.getLogger("garment_keypoints")
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
