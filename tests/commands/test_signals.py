"""Ctrl-C and SIGTERM: partial work is kept, the exit status says which, and a script's background job ends as well."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.commands.running import TINY, submit_options


def interrupt(command: list[str], checkpoint: Path, number: int = signal.SIGINT) -> None:
    """Start the command as a script's background job, send the signal once it has written a checkpoint."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    limit = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < limit:
        # A file that has only been opened holds nothing yet.
        if checkpoint.exists() and checkpoint.stat().st_size and checkpoint.stat().st_mtime_ns != before:
            break
        time.sleep(0.05)
    assert process.poll() is None, f"ended before it was interrupted: {process.communicate()[1]}"
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 128 + number, error
    assert "interrupted; the same command goes on from here" in error
    assert "Traceback" not in error


def step_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)["global_step"]


def test_ctrl_c_then_sigterm(drawn: Path, tmp_path: Path) -> None:
    """Interrupted in the middle of a training, the same command goes on, and no half-trained file is left."""
    # Far more epochs than fit before the signals, however busy the machine is.
    options = [*TINY, "--detector.network.backbone", "conv4", "--detector.network.backbone_weights", "none"]
    options += ["--detector.train.epochs", "2500", "--detector.train.save_every", "2", "--only", "fold0"]
    where = ["--data", str(drawn / "train"), "--run", str(tmp_path)]
    command = [sys.executable, "-m", "pipeline", "train-detector", *options, *where]
    checkpoint = tmp_path / "detector" / "fold0" / "last.ckpt"
    interrupt(command, checkpoint)
    first = step_of(checkpoint)
    assert first > 0
    interrupt(command, checkpoint, signal.SIGTERM)
    assert step_of(checkpoint) > first
    assert [path.name for path in (tmp_path / "detector").iterdir() if path.name.startswith("fold0")] == ["fold0"]


def many(drawn: Path, folder: Path, times: int) -> Path:
    """Return a test folder with so many copies of each picture, more than can be predicted before the signal."""
    header, *rows = (drawn / "test" / "test.csv").read_text().splitlines()
    lines = [header]
    for row in rows:
        image_id, category = row.split(",")
        for number in range(times):
            name = image_id.replace(".jpg", f"-{number}.jpg")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn / "test" / image_id, folder / name)
            lines.append(f"{name},{category}")
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
def test_sigterm_ends_a_prediction_with_its_part_kept(trained: Path, drawn: Path, tmp_path: Path) -> None:
    test, shard = many(drawn, tmp_path / "test", 60), tmp_path / "s.parts" / "rank0.jsonl"
    options = [*submit_options(trained, test), "--out", tmp_path / "s.csv", "--batch_size", 2]
    command = [sys.executable, "-m", "pipeline", "submit", *map(str, options)]
    interrupt(command, shard, signal.SIGTERM)
    first = len(shard.read_bytes().splitlines())
    assert 0 < first < 600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.parts", "test"]
