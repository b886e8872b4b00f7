"""A run that is killed in the middle of a step: what came before is whole, on the page and in the bundles."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from garment_keypoints.pipeline.lab.commands.gpu_collect import chosen
from garment_keypoints.pipeline.runs.json_files import read_json

from tests.commands.running import run

RUN = """
import sys
from pathlib import Path
from garment_keypoints.pipeline.lab.commands import gpu_run as module
from garment_keypoints.pipeline.lab.gpu_kit import plan
from garment_keypoints.pipeline.lab.gpu_kit.jobs import Job

def job(name, code, **further):
    return Job(name, (sys.executable, "-c", code), **further)

work = Path(sys.argv[1])
a, b = work / "results" / "a", work / "results" / "b"
check = "import json; json.dump({'figures': {'ne': 5.8}}, open('%s', 'w'))" % (a / "check.json")
plan.checks = lambda place, kit, on_gpu: [job("check", check, record=a / "check.json")]
module._train = lambda run, step: run.jobs(step, [
    job("quick", f"open('{b}/quick.safetensors', 'w').write('w')"), job("slow", "import time; time.sleep(600)")])
plan.study_rows = lambda place, kit: [job("row", "print(1)")]
module.gpu_run(work)
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """What kit.sh unpacks, of a kit without content."""
    for folder in ("code", "arrived", "results", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "arrived" / "1").touch()
    (tmp_path / "data" / "folds.csv").touch()
    (tmp_path / "kit.json").write_text(
        '{"commit": "abc", "minutes": 1, "limit": 4, "parts": 1, "quality": 0, "gpu_tests": []}'
    )
    return tmp_path


def begin(work: Path) -> subprocess.Popen:
    with (work / "run.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(work)], stdout=log, stderr=log, start_new_session=True
        )
    (work / "run.pid").write_text(str(process.pid))
    return process


def wait_for(work: Path, seconds: float = 60) -> dict:
    """Return the page's step b as soon as its quick job is done."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page = work / "results" / "page.json"
        steps = read_json(page)["steps"] if page.is_file() else []
        if len(steps) > 1 and steps[1]["jobs"].get("quick", {}).get("state") == "done":
            return steps[1]
        time.sleep(0.2)
    raise AssertionError((work / "run.log").read_text())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_cut_off_costs_one_step(work: Path, tmp_path: Path, how: signal.Signals) -> None:
    process = begin(work)
    assert wait_for(work)["jobs"]["slow"]["state"] == "running"
    if how == signal.SIGKILL:  # it may be collected while it runs
        assert run("lab", "gpu-collect", "--work", work, "--out", tmp_path / "early") == 0
        assert read_json(tmp_path / "early" / "page.json")["state"] == "running"
    os.killpg(process.pid, how)
    process.wait()
    out = tmp_path / "out"
    assert run("lab", "gpu-collect", "--work", work, "--out", out) == 0
    page = read_json(out / "page.json")
    first, second = page["steps"]
    assert page["state"] == "cut off"
    assert (first["state"], first["jobs"]["check"]["figures"]) == ("done", {"ne": 5.8})
    assert second["state"] == "cut off"
    assert {name: job["state"] for name, job in second["jobs"].items()} == {"quick": "done", "slow": "cut off"}
    with tarfile.open(out / "bundle.0") as tar:
        names = tar.getnames()
    assert {"page.json", "a/check.json", "a/logs/check.log", "b/quick.safetensors", "b/logs/slow.log"} <= set(names)
    text = (out / "page.md").read_text()
    assert "| check | done |" in text
    assert "There was no GPU" in text or os.environ.get("CUDA_VISIBLE_DEVICES")


def test_the_most_wanted_comes_back_first(tmp_path: Path) -> None:
    sizes = {"b/final.safetensors": 5000, "b/val.safetensors": 5000, "b/log.txt": 100, "b/last.ckpt": 100, "a.json": 10}
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    taken, left = chosen(tmp_path, 9000)
    assert [file.name for file in taken] == ["a.json", "log.txt", "final.safetensors"]
    assert [file.name for file in left] == ["val.safetensors"]
