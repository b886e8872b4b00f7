"""Two processes on a CPU, connected by gloo, do what one does: the same batches, weights and submission."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.__main__ import main
from tests.learning.tiny_training import Tiny, train

ROOT = Path(__file__).parent.parent
TINY = ["--config", str(ROOT / "tests" / "tiny.yaml")]
LIMIT_S = 100

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")


def python(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, list[dict]]:
    """The tiny training in one process, and what each of two ranks saw of it: batches of three, so shares differ."""
    folder = tmp_path_factory.mktemp("tiny")
    alone = train(folder / "images", folder / "alone", dropout=0.0)
    ended = python("tests.learning.tiny_training", folder / "images", folder / "two", -1, 2)
    assert ended.returncode == 0, ended.stderr
    return alone, [torch.load(folder / "two" / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_ranks_share_the_batches_of_one(tiny: tuple[Tiny, list[dict]]) -> None:
    alone, shares = tiny
    assert [(s, a + b) for (s, a), (_, b) in zip(*(share["rows"] for share in shares), strict=True)] == alone.rows


def test_two_ranks_end_with_the_weights_of_one(tiny: tuple[Tiny, list[dict]]) -> None:
    """With BatchNorm, and averaged."""
    alone, shares = tiny
    for name, value in alone.network.state_dict().items():
        for share in shares:
            torch.testing.assert_close(share["weights"][name], value, atol=1e-5, rtol=1e-5, msg=name)
        assert torch.equal(shares[0]["weights"][name], shares[1]["weights"][name]), name


def submit_options(run: Path, test: Path) -> list[object]:
    weights = ["--detector", run / "detector" / "final.pt", "--keypoints", run / "keypoints" / "final.pt"]
    return ["submit", "--test", test, *weights, "--workers", 0, "--accelerator", "cpu", "--batch_size", 3]


@pytest.fixture(scope="module")
def alone(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after the whole chain in one process."""
    folder = tmp_path_factory.mktemp("alone")
    for verb in ("train-detector", "boxes", "train-keypoints"):
        assert main([verb, *TINY, "--data", str(drawn / "train"), "--run", str(folder)]) == 0
    options = submit_options(folder, drawn / "test")
    assert main([*map(str, options), "--out", str(folder / "submission.csv")]) == 0
    return folder


def assert_same_network(a: Path, b: Path) -> None:
    ours, theirs = (torch.load(path, weights_only=True)["state_dict"] for path in (a, b))
    assert ours.keys() == theirs.keys()
    far = {n: float((v.double() - theirs[n].double()).abs().max()) for n, v in ours.items()}
    assert max(far.values()) < 1e-4, sorted(far.items(), key=lambda item: -item[1])[:5]


def test_train_detector(alone: Path, drawn: Path, tmp_path: Path) -> None:
    options = [*TINY, "--detector.devices", 2, "--only", "fold0", "--data", drawn / "train", "--run", tmp_path]
    ended = python("pipeline", "train-detector", *options)
    assert ended.returncode == 0, ended.stderr
    assert_same_network(tmp_path / "detector" / "fold0.pt", alone / "detector" / "fold0.pt")
    assert (tmp_path / "folds.csv").read_text() == (alone / "folds.csv").read_text()


def test_train_keypoints(alone: Path, drawn: Path, tmp_path: Path) -> None:
    for name in ("folds.csv", "boxes.csv"):
        shutil.copy(alone / name, tmp_path / name)
    options = [*TINY, "--keypoints.devices", 2, "--data", drawn / "train", "--run", tmp_path]
    ended = python("pipeline", "train-keypoints", *options)
    assert ended.returncode == 0, ended.stderr
    assert_same_network(tmp_path / "keypoints" / "final.pt", alone / "keypoints" / "final.pt")
    left = {str(path.relative_to(tmp_path)) for path in (tmp_path / "keypoints").rglob("*") if path.is_file()}
    one = {str(path.relative_to(alone)) for path in (alone / "keypoints").rglob("*") if path.is_file()}
    assert left == one


def test_submit(alone: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    ended = python("pipeline", *submit_options(alone, drawn / "test"), "--devices", 2, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert out.read_text() == (alone / "submission.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission.csv", "submission.json"]
