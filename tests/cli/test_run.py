"""What the command line says when something goes wrong: one line with a fitting remedy, or all of it with a request."""

import errno
import os
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError

from tests.commands.running import TINY, run


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def raising(*_: object) -> None:
        raise error

    monkeypatch.setattr("garment_keypoints.pipeline.cli.run.dispatch", raising)
    return run("sample", "--out", "my folder")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "; free space, or choose another folder"),
        (errno.EACCES, "; choose another folder"),
        (errno.EROFS, "; choose another folder"),
        (errno.ENOTDIR, "; choose another folder"),
        (errno.ENOENT, "; check the path"),
        (errno.ECONNREFUSED, ""),
    ],
)
def test_the_remedy_fits_the_error(monkeypatch: pytest.MonkeyPatch, capsys, number: int, remedy: str) -> None:
    assert fail(monkeypatch, OSError(number, os.strerror(number), "place")) == 1
    assert capsys.readouterr().err == f"error: place: {os.strerror(number)}{remedy}\n"


def test_a_failed_download_is_no_full_disk(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert fail(monkeypatch, OSError("cannot reach the server")) == 1
    assert capsys.readouterr().err == "error: cannot reach the server\n"


def test_faults_of_the_input_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert fail(monkeypatch, UserError("a.csv: wrong; mend it")) == 1
    assert capsys.readouterr().err == "error: a.csv: wrong; mend it\n"
    assert issubclass(DataError, UserError)
    assert fail(monkeypatch, DataError([Fault("a.csv", "wrong", "mend it", 2)])) == 1
    assert capsys.readouterr().err == "error: a.csv, row 2: wrong; mend it\n"


@pytest.mark.parametrize("fault", [KeyError("nowhere"), ValueError("shapes do not fit")], ids=repr)
def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys, fault: Exception) -> None:
    assert fail(monkeypatch, fault) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert f"{type(fault).__name__}: {fault}" in error
    last = error.splitlines()[-1]
    assert "please report" in last
    assert "python -m pipeline sample --out 'my folder'" in last
    assert "version 0." in last


def test_a_setting_out_of_range_is_one_line(drawn: Path, tmp_path: Path, capsys) -> None:
    options = ["--data", drawn / "train", "--run", tmp_path, "--keypoints.crop.size", 63]
    assert run("train-keypoints", *TINY, *options) == 1
    assert capsys.readouterr().err == "error: keypoints.crop.size is 63; expected a multiple of 32 from 64 to 2048\n"


def test_interrupts(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert fail(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on from here\n"
