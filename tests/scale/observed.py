"""What a run of processes took: its time, how much memory at which time, and what its rows say."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from garment_keypoints.pipeline.engine.catalogue import photos_done

EVERY_S = 2.0
WHAT = "garment", "category", "error"
BOX = dict.fromkeys(("x0", "y0", "x1", "y1"), 0.1) | {"score": 1e-3}
POINT = {"x": 0.1, "y": 0.1, "score": 1e-3}
"""How far apart two numbers may be, in pixels and scores, since threads and batches take sums in another order."""


@dataclass
class Observed:
    """Seconds from the start, and how many GB the processes that predict had at which second."""

    seconds: float = 0.0
    memory_gb: list[tuple[float, float]] = field(default_factory=list)

    def peak(self, first: float, last: float) -> float:
        """Return the most memory in a part of the run, from and to given as fractions of its time."""
        inside = [gb for at, gb in self.memory_gb if first * self.seconds <= at <= last * self.seconds]
        return max(inside, default=float("nan"))


@contextmanager
def observed() -> Iterator[Observed]:
    """Measure what runs meanwhile: all processes that predict, of whatever parent, since Ray's are no children of ours."""
    seen, over, start = Observed(), threading.Event(), time.monotonic()

    def watch() -> None:
        while not over.wait(EVERY_S):
            seen.memory_gb.append((time.monotonic() - start, memory_gb()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        seen.seconds = time.monotonic() - start
        over.set()
        thread.join()


def predicting() -> list[psutil.Process]:
    """Return the processes that predict: actors of Ray, and those of `predict`."""
    found = []
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        if any(word.startswith(("ray::CatalogueActor", "ray::Poisoned")) for word in words) or {
            "pipeline",
            "predict",
        } <= set(words):
            found.append(one)
    return found


def memory_gb() -> float:
    """Return the memory of all that predict and their children; what they share is counted once (PSS)."""
    everything: dict[int, psutil.Process] = {}
    for one in predicting():
        with suppress(psutil.Error):
            everything |= {process.pid: process for process in [one, *one.children(recursive=True)]}
    total = 0
    for process in everything.values():
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1e9


def done(out: Path, shard_size: int) -> int:
    """Return how many photos are on the disk."""
    return len(list(out.glob("part-*.parquet"))) * shard_size + sum(
        photos_done(one) for one in out.glob("part-*.parts")
    )


def rows_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows by id."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(out.glob("part-*.parquet")):
        for row in pq.read_table(file).to_pylist():
            rows.setdefault(row["id"], []).append(row)
    return rows


def compared(rows: dict[str, list[dict[str, Any]]], expected: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Count the ids that are lost, there twice, or have other rows than expected, and the photos with an error.

    Others have another garment, box, score or error; `points` are those that differ in points alone.
    """
    twice = [id for id, own in rows.items() if max(Counter(row["garment"] for row in own).values()) > 1]
    there = rows.keys() & expected.keys()
    others = {id for id in there if not same(rows[id], expected[id], BOX, WHAT)}
    return {
        "ids": len(rows),
        "lost": len(expected.keys() - rows.keys()),
        "twice": len(twice),
        "others": len(others),
        "points": sum(
            not same(_points(rows[id]), _points(expected[id]), POINT, ("keypoint",)) for id in there - others
        ),
        "errors": sum(bool(row["error"]) for own in rows.values() for row in own),
    }


def same(
    rows: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], close: dict[str, float], equal: Sequence[str]
) -> bool:
    """Tell whether rows agree in what must be equal, and in numbers as far as `close` says."""
    return len(rows) == len(expected) and all(
        all(a[name] == b[name] for name in equal)
        and all(abs((a[name] or 0) - (b[name] or 0)) < most for name, most in close.items())
        for a, b in zip(rows, expected, strict=True)
    )


def _points(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [point for row in rows for point in row["points"] or ()]
