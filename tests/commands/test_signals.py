"""Ctrl-C and SIGTERM: partial work is kept, the exit status says which, and a script's background job ends as well."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.commands.running import TINY


def interrupt(command: list[str], checkpoint: Path, number: int = signal.SIGINT) -> int:
    """Start the command as a script's background job, send the signal once it has written a checkpoint.

    Returns the step that the last checkpoint holds.
    """
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
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            break
        time.sleep(0.05)
    assert process.poll() is None, f"ended before it was interrupted: {process.communicate()[1]}"
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 128 + number, error
    assert "interrupted; the same command goes on from here" in error
    assert "Traceback" not in error
    return torch.load(checkpoint, weights_only=True)["global_step"]


def test_ctrl_c_then_sigterm(drawn: Path, tmp_path: Path) -> None:
    """Interrupted in the middle of a training, the same command goes on, and no half-trained file is left."""
    # Far more epochs than fit before the signals, however busy the machine is.
    options = [*TINY, "--detector.train.epochs", "2500", "--detector.train.save_every", "2", "--only", "fold0"]
    where = ["--data", str(drawn / "train"), "--run", str(tmp_path)]
    command = [sys.executable, "-m", "pipeline", "train-detector", *options, *where]
    checkpoint = tmp_path / "detector" / "fold0" / "last.ckpt"
    first = interrupt(command, checkpoint)
    assert first > 0
    assert interrupt(command, checkpoint, signal.SIGTERM) > first
    assert [path.name for path in (tmp_path / "detector").iterdir() if path.name.startswith("fold0")] == ["fold0"]
