"""Time and memory in the record of a run, against a known sleep and known amounts."""

import subprocess
import sys
import time

import pytest
from garment_keypoints.pipeline.runs import provenance
from garment_keypoints.pipeline.runs.provenance import measured


def test_the_wall_time_is_that_of_the_work_in_seconds() -> None:
    record: dict = {}
    with measured(record):
        time.sleep(0.7)
    assert 0.7 <= record["wall_s"] < 2.5


def test_memory_is_the_largest_seen_in_units_of_1e9_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([3_000_000_000, 7_000_000_000])  # at the start and at the end
    monkeypatch.setattr(provenance, "_memory", lambda: next(held))
    record: dict = {}
    with measured(record):
        pass
    assert record["peak_memory_gb"] == 7.0


def test_memory_is_watched_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [1_000_000_000]
    monkeypatch.setattr(provenance, "_memory", lambda: held[0])
    monkeypatch.setattr(provenance, "MEMORY_EVERY_S", 0.01)
    record: dict = {}
    with measured(record):
        held[0] = 5_000_000_000
        time.sleep(0.2)
        held[0] = 1_000_000_000
    assert record["peak_memory_gb"] == 5.0


def test_the_memory_of_workers_counts() -> None:
    code = "held = b'1' * 400_000_000; print('ready', flush=True); input()"
    alone = provenance._memory()
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"ready\n"
        together = provenance._memory()
        worker.communicate(b"\n")
    assert 350_000_000 < together - alone < 600_000_000
