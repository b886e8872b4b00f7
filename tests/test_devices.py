"""Two processes on a CPU, connected by gloo, do what one does: the same batches, weights and submission."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import load_training_set
from garment_keypoints.pipeline.engine.shards import open_shards
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.claims import claim
from safetensors.torch import load_file

from tests.learning.tiny_training import SAVE_EVERY, Tiny, train

ROOT = Path(__file__).parent.parent
TINY = ["--config", str(ROOT / "tests" / "tiny.yaml")]
LIMIT_S = 300

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Experiment logs directory .* exists"),
]


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


def test_a_training_killed_on_two_devices_goes_on_on_one(tiny: tuple[Tiny, list[dict]], tmp_path: Path) -> None:
    alone, _ = tiny
    ended = python("tests.learning.tiny_training", tmp_path / "images", tmp_path / "cut", SAVE_EVERY + 2, 2)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed = train(tmp_path / "images", tmp_path / "cut", dropout=0.0)
    assert resumed.rows == alone.rows[SAVE_EVERY:]
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, atol=1e-5, rtol=1e-5, msg=name)


def submit_options(run: Path, test: Path) -> list[object]:
    weights = [
        "--detector",
        run / "detector" / "final.safetensors",
        "--keypoints",
        run / "keypoints" / "final.safetensors",
    ]
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
    ours, theirs = (load_file(path) for path in (a, b))
    assert ours.keys() == theirs.keys()
    trained = [name for name in ours if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    apart = torch.cat([(ours[name] - theirs[name]).flatten() for name in trained])
    # Another order of summing, such as by another number of threads, makes 0.6e-4; BatchNorm by rank made 7e-4.
    assert float(apart.square().mean().sqrt()) < 2e-4
    a, b = (torch.cat([one[n].double().flatten() for n in ours if n not in trained]) for one in (ours, theirs))
    assert float((a - b).norm() / b.norm()) < 0.01


def test_train_detector(alone: Path, drawn: Path, tmp_path: Path) -> None:
    options = [*TINY, "--detector.train.devices", 2, "--only", "fold0", "--data", drawn / "train", "--run", tmp_path]
    ended = python("pipeline", "train-detector", *options)
    assert ended.returncode == 0, ended.stderr
    assert_same_network(tmp_path / "detector" / "fold0.safetensors", alone / "detector" / "fold0.safetensors")
    assert (tmp_path / "folds.csv").read_text() == (alone / "folds.csv").read_text()


@pytest.mark.slow
def test_boxes(alone: Path, drawn: Path, tmp_path: Path, schema: Schema) -> None:
    shutil.copy(alone / "folds.csv", tmp_path / "folds.csv")
    shutil.copytree(alone / "detector", tmp_path / "detector", ignore=shutil.ignore_patterns("boxes"))
    options = [*TINY, "--detector.train.devices", 2, "--data", drawn / "train", "--run", tmp_path]
    ended = python("pipeline", "boxes", *options)
    assert ended.returncode == 0, ended.stderr
    # Batches of another size round the last digit of a score elsewhere.
    one, two = (read_boxes(run / "boxes.csv", schema) for run in (alone, tmp_path))
    assert [(box.key, box.source, box.fold) for box in two] == [(box.key, box.source, box.fold) for box in one]
    np.testing.assert_allclose(
        [[*box.box, box.score] for box in two], [[*box.box, box.score] for box in one], atol=0.01
    )
    one, two = (json.loads((run / "boxes.json").read_text())["figures"] for run in (alone, tmp_path))
    assert one.keys() == two.keys()
    for part, figures in one.items():
        assert two[part] == pytest.approx(figures, rel=1e-3)


@pytest.mark.slow
def test_train_keypoints(alone: Path, drawn: Path, tmp_path: Path) -> None:
    for name in ("folds.csv", "boxes.csv"):
        shutil.copy(alone / name, tmp_path / name)
    options = [*TINY, "--keypoints.train.devices", 2, "--data", drawn / "train", "--run", tmp_path]
    ended = python("pipeline", "train-keypoints", *options)
    assert ended.returncode == 0, ended.stderr
    assert_same_network(tmp_path / "keypoints" / "final.safetensors", alone / "keypoints" / "final.safetensors")
    left = {str(path.relative_to(tmp_path)) for path in (tmp_path / "keypoints").rglob("*") if path.is_file()}
    one = {str(path.relative_to(alone)) for path in (alone / "keypoints").rglob("*") if path.is_file()}
    assert left == one


def test_submit(alone: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    ended = python("pipeline", *submit_options(alone, drawn / "test"), "--devices", 2, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert out.read_text() == (alone / "submission.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission.csv", "submission.json"]


@pytest.fixture
def keypoints_options(alone: Path, drawn: Path, tmp_path: Path) -> list[object]:
    """A train-keypoints of two ranks on a data set of its own, whose folds are dealt already."""
    shutil.copytree(drawn / "train", tmp_path / "train")
    (tmp_path / "run").mkdir()
    for name in ("folds.csv", "boxes.csv"):
        shutil.copy(alone / name, tmp_path / "run" / name)
    where = ["--data", tmp_path / "train", "--run", tmp_path / "run"]
    return ["train-keypoints", *TINY, "--keypoints.train.devices", 2, *where]


def assert_one_message(error: str, expected: str) -> None:
    assert error.count(expected) == error.count("error:") + error.count("interrupted;") == 1, error
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_bad_file_ends_all_ranks(keypoints_options: list[object], tmp_path: Path) -> None:
    """Whichever rank meets it."""
    image = sorted((tmp_path / "train" / "Images").rglob("*.jpg"))[3]
    image.write_bytes(image.read_bytes()[:700])
    ended = python("pipeline", *keypoints_options)
    assert ended.returncode == 1
    assert_one_message(ended.stderr, image.name)


@pytest.mark.slow
def test_a_collapse_ends_all_ranks(keypoints_options: list[object], tmp_path: Path) -> None:
    alarm = ["--keypoints.alarm.steps", 1, "--keypoints.alarm.warmup", 0]
    ended = python("pipeline", *keypoints_options, *alarm)
    assert ended.returncode == 1
    assert_one_message(ended.stderr, "training has collapsed")
    assert not (tmp_path / "run" / "keypoints" / "final.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "sent", "code", "message"),
    [
        (0, signal.SIGINT, 130, "interrupted; the same command goes on from here"),
        (1, signal.SIGKILL, 1, "a process of this run was killed (signal 9)"),
        (1, signal.SIGINT, 130, "interrupted; the same command goes on from here"),
    ],
)
def test_a_signal_ends_all_ranks(
    keypoints_options: list[object], tmp_path: Path, target: int, sent: int, code: int, message: str
) -> None:
    options = [*keypoints_options, "--keypoints.train.epochs", 5000, "--keypoints.alarm.rows", 0]
    command = [sys.executable, "-m", "pipeline", *map(str, [*options, "--keypoints.train.save_every", 2])]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    ranks = [psutil.Process(process.pid)]
    limit = time.monotonic() + LIMIT_S
    while not (tmp_path / "run" / "keypoints" / "final" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.1)
    ranks += ranks[0].children()
    assert len(ranks) == 2
    ranks[target].send_signal(sent)
    start = time.monotonic()
    _, error = process.communicate(timeout=LIMIT_S)
    assert time.monotonic() - start < 30
    assert process.returncode == code
    assert_one_message(error, message)
    assert not any(rank.is_running() for rank in ranks)


@pytest.mark.slow
def test_evaluate_val(alone: Path, drawn: Path, tmp_path: Path) -> None:
    """Two predictions in turn: the other rank takes part in both."""
    run = shutil.copytree(alone, tmp_path / "run")
    where = [*TINY, "--data", drawn / "train", "--run", run, "--keypoints.train.devices"]
    assert main([*map(str, ["train-keypoints", *where, 1, "--val"])]) == 0
    figures = []
    for devices in (1, 2):
        out = tmp_path / f"{devices}.json"
        ended = python("pipeline", "evaluate-val", *where, devices, "--refine", 0, 1, "--out", out)
        assert ended.returncode == 0, ended.stderr
        figures.append([one["ne"] for one in json.loads(out.read_text())["figures"]])
    assert len(figures[1]) == 2
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)


def test_other_ranks_take_part_in_every_step_and_end_after_the_last() -> None:
    taken: list[str] = []

    def step(zero: bool, name: str) -> str:
        taken.append(name)
        strategy = SimpleNamespace(barrier=lambda: None)
        ranks.only_zero_goes_on(SimpleNamespace(strategy=strategy, is_global_zero=zero))
        return name

    assert list(ranks.in_turn(partial(step, True, name) for name in "ab")) == ["a", "b"]
    taken.clear()
    with pytest.raises(ranks.OtherRank):
        next(ranks.in_turn(partial(step, False, name) for name in "ab"))
    assert taken == ["a", "b"]


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "NODE_RANK"])
def test_other_ranks_touch_nothing(
    drawn: Path, tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Before the ranks are connected, whoever started them."""
    open_shards(tmp_path / "parts", {"a": 1})
    described = (tmp_path / "parts" / "job.json").read_text()
    monkeypatch.setenv(variable, "1")
    assert open_shards(tmp_path / "parts", {"a": 2}) == set()
    claim(tmp_path / "run", {"a": 1})
    load_training_set([drawn / "train"], schema, 2, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "parts" / "job.json").read_text() == described


@pytest.mark.parametrize(
    "said",
    [
        "[third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:4711",
        "[third_party/gloo/gloo/transport/tcp/pair.cc:534] Read error [127.0.0.1]:4711: Connection reset by peer",
        "[c10d] NCCL communicator was aborted on rank 0.",
        "Gloo AllReduce failed: Timed out waiting 1800000ms for recv operation to complete",
    ],
)
def test_a_lost_connection_is_told_without_a_traceback(said: str) -> None:
    with pytest.raises(UserError, match="the connection to another process of this run was lost"), ranks.one_voice():
        raise RuntimeError(said)


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), ranks.one_voice():
        raise RuntimeError("the size of tensor a must match: shapes")
