"""How long the program takes to start: most of it is what Python imports."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from garment_keypoints.pipeline.contract.faults import UserError

PACKAGE = __name__.rpartition(".engine")[0]
HELP, LOAD, PREDICT = "--help", "load()", "predict, one photo"


def start_times(weights: str, photo: Path, rounds: int) -> dict[str, float]:
    """Return the seconds from start to exit of three processes, the least of so many rounds.

    They are the command line's --help, `load()` in Python, and `predict` of one photo with everything that it writes.
    """
    with TemporaryDirectory() as folder:
        loading = f"from {PACKAGE}.api import load; load({weights!r}, device='cpu')"
        predicting = ["predict", str(photo), "--weights", weights, "--accelerator", "cpu", "--out"]
        commands = {HELP: ["-m", PACKAGE, "--help"], LOAD: ["-c", loading], PREDICT: ["-m", PACKAGE, *predicting]}
        seconds: dict[str, float] = dict.fromkeys(commands, float("inf"))
        for number in range(rounds):
            for name, command in commands.items():
                own = [f"{folder}/{number}"] if name == PREDICT else []
                seconds[name] = min(seconds[name], _seconds([sys.executable, *command, *own]))
    return {name: round(value, 2) for name, value in seconds.items()}


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"{' '.join(command)}: ended with {ended.returncode}: {ended.stderr.strip()}")
    return time.perf_counter() - start
