"""Files appear whole or not at all, under no name that is somebody else's, and by one process at a time."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract import files
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone, refuse_foreign, write_bytes, write_once, write_text


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let a write beyond so many bytes fail as on a full disk; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_full_disk_keeps_the_old_file_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old\n")
    with no_file_larger_than(1000), pytest.raises(OSError, match="File too large") as full:
        write_bytes(file, bytes(2000))
    assert full.value.filename == str(file)
    assert file.read_text() == "old\n"
    assert names(tmp_path) == ["a.txt"]


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 255, "漢" * 85, "y" * 250 + ".txt"])
def test_a_name_may_take_all_that_a_file_system_allows(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "whole")
    assert names(tmp_path) == [name]
    with no_file_larger_than(10), pytest.raises(OSError, match="File too large"):
        write_text(tmp_path / name, "too much of it")
    assert names(tmp_path) == [name]


def test_a_foreign_partial_file_and_a_link_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.txt.partial").symlink_to(tmp_path / "victim")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt", "a.txt.partial", "victim"]


def test_of_processes_that_come_together_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    assert (write_once(file, "first"), write_once(file, "second")) == (True, False)

    @contextmanager
    def after_another(path: Path) -> Iterator[None]:
        write_text(path, "other's")
        yield

    monkeypatch.setattr(files, "alone", after_another)
    assert not write_once(tmp_path / "b.txt", "mine")
    assert (file.read_text(), (tmp_path / "b.txt").read_text()) == ("first", "other's")


def test_only_what_is_ours_is_overwritten(tmp_path: Path) -> None:
    ours = lambda path: path.read_text() == "ours"  # noqa: E731
    file = tmp_path / "a.txt"
    refuse_foreign(file, ours, "what this writes", "choose another --out")
    file.write_text("ours")
    refuse_foreign(file, ours, "what this writes", "choose another --out")
    file.write_text("mine")
    message = f"{file} exists and is not what this writes; choose another --out, or remove it"
    with pytest.raises(UserError, match=re.escape(message)):
        refuse_foreign(file, ours, "what this writes", "choose another --out")
    with pytest.raises(UserError, match="exists and is not"):
        refuse_foreign(tmp_path, ours, "what this writes", "choose another --out")


HOLD = """
import os, sys, time
from pathlib import Path
from garment_keypoints.pipeline.contract.files import alone
with alone(Path(sys.argv[1])):
    if not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "new" / "s.csv"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True) as other:
        worker = int(other.stdout.readline())  # type: ignore[union-attr]
        message = r"another process is writing .*s\.csv; wait for it, or choose another --out"
        with pytest.raises(UserError, match=message), alone(out, "choose another --out"):
            pass
        with alone(out, enabled=False):
            pass
        other.kill()
        other.wait()
    with alone(out):  # a killed one is in nobody's way, nor is a worker that outlives it
        assert names(out.parent) == [".s.csv.lock"]
        os.kill(worker, signal.SIGKILL)
    assert names(out.parent) == []


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    for name in ("s.csv.12-0123abcd.partial", "s.json.12-0123abcd.partial", "s.ids.txt.12-0123abcd.partial"):
        (tmp_path / name).write_text("half")
    for name in ("s.old.csv.12-0123abcd.partial", "s.csv.partial", "s.csv"):
        (tmp_path / name).write_text("not this one")
    with alone(tmp_path / "s.csv"):
        assert names(tmp_path) == [".s.csv.lock", "s.csv", "s.csv.partial", "s.old.csv.12-0123abcd.partial"]
