"""Two "nodes" of torchrun on this machine: one is lost, both end, and the same commands go on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from garment_keypoints.pipeline.learning.fit import RESUME

from tests.commands.running import TINY
from tests.scale.training import ROOT, Setting, launchers, placed

pytestmark = pytest.mark.scale
LIMIT_S = 240
STEPS = 40
"""Long enough to be interrupted in the middle."""


def begin(drawn: Path, folder: Path, stderr: list[Path]) -> list[subprocess.Popen]:
    options = ["train-keypoints", *TINY, "--data", drawn / "train", "--run", folder]
    options += placed("keypoints", Setting("2 nodes", nodes=2))
    options += ["--keypoints.train.epochs", STEPS // 5, "--keypoints.train.save_every", 2]
    environment, nodes = os.environ | {"OMP_NUM_THREADS": "1"}, []
    for launcher, file in zip(launchers(2), stderr, strict=True):
        command = [*launcher, *map(str, options)]
        with file.open("w") as said:
            nodes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said, env=environment))
    return nodes


def lose(node: subprocess.Popen) -> None:
    """Kill a launcher and what it has started, as a machine that is switched off."""
    launcher = psutil.Process(node.pid)
    for process in [launcher, *launcher.children(recursive=True)]:
        process.kill()


def test_a_lost_node_ends_the_other_and_both_go_on(drawn: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("folds.csv", "boxes.csv"):
        (folder / name).write_bytes((trained / name).read_bytes())
    said = [tmp_path / "first.txt", tmp_path / "second.txt"]
    first, second = begin(drawn, folder, said)
    resume, over = folder / "keypoints" / "final" / RESUME, time.monotonic() + LIMIT_S
    while not resume.exists():
        assert first.poll() is None
        assert time.monotonic() < over
        time.sleep(0.05)
    lose(second)
    assert second.wait(LIMIT_S) == -signal.SIGKILL
    assert first.wait(LIMIT_S) not in (0, None)
    message = said[0].read_text()
    assert message.count("error: the connection to another process of this run was lost") == 1
    assert "Traceback" not in message.split("error: the connection")[0]
    assert not (folder / "keypoints" / "final.safetensors").exists()
    assert [node.wait(LIMIT_S) for node in begin(drawn, folder, said)] == [0, 0]
    assert (folder / "keypoints" / "final.safetensors").exists()
