"""The training loop: killed and resumed, averaged weights, and a run folder that keeps to its config."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.fit import fit
from garment_keypoints.pipeline.learning.placement import devices
from garment_keypoints.pipeline.runs.claims import claim, completed

from tests.contract.test_files import no_file_larger_than
from tests.learning.tiny_training import COUNT, DECAY, SAVE_EVERY, STEPS, Data, Tiny, options, train

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Experiment logs directory .* exists"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def whole(images: Path, tmp_path: Path) -> Tiny:
    """A training that nothing interrupted."""
    return train(images, tmp_path / "whole")


def assert_same_weights(a: Tiny, b: Tiny) -> None:
    for name, value in a.network.state_dict().items():
        assert torch.equal(value, b.network.state_dict()[name]), name


def kill_at(step: int, images: Path, run: Path) -> None:
    """Start the training in a process of its own, which dies at the step without a chance to tidy up."""
    command = [sys.executable, "-m", "tests.learning.tiny_training", str(images), str(run), str(step)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_a_killed_training_ends_where_an_uninterrupted_one_does(images: Path, tmp_path: Path, whole: Tiny) -> None:
    run = tmp_path / "cut"
    kill_at(SAVE_EVERY + 2, images, run)
    assert (run / "last.ckpt").exists()
    resumed = train(images, run)
    assert resumed.rows == whole.rows[SAVE_EVERY:]
    assert_same_weights(resumed, whole)


def test_steps_epochs_and_rows(whole: Tiny) -> None:
    assert [step for step, _ in whole.rows] == list(range(STEPS))
    seen = [row for _, rows in whole.rows for row in rows]
    # Each pass shows every row once, also where a batch runs over its end.
    assert [sorted(seen[i : i + COUNT]) for i in range(0, 3 * COUNT, COUNT)] == [list(range(COUNT))] * 3


def test_the_module_holds_the_averaged_weights(whole: Tiny) -> None:
    average = {name: value.double() for name, value in whole.weights[0].items()}
    for weights in whole.weights[1:]:
        average = {name: DECAY * average[name] + (1 - DECAY) * weights[name].double() for name in average}
    for name, value in whole.network.state_dict().items():
        if value.is_floating_point():
            assert (value - average[name]).abs().max() < 1e-6, name
    assert not torch.equal(whole.network[0].weight, whole.weights[-1]["0.weight"])


def test_without_averaging_the_last_weights_stay(images: Path, tmp_path: Path) -> None:
    module = train(images, tmp_path / "raw", ema=0.0)
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, module.weights[-1][name]), name


def test_a_training_killed_after_its_last_step_still_gives_the_averaged_weights(images: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finished = train(images, run, save_every=STEPS)
    again = train(images, run, save_every=STEPS)
    assert again.rows == []
    assert_same_weights(again, finished)


def test_a_cpu_trains_in_bfloat16_with_clipped_gradients(images: Path, tmp_path: Path, whole: Tiny) -> None:
    half = train(images, tmp_path / "half", precision="bf16-mixed")
    assert half.rows == whole.rows
    for name, value in half.network.state_dict().items():
        assert value.dtype == whole.network.state_dict()[name].dtype, name
        assert (value - whole.network.state_dict()[name]).abs().max() < 0.05, name


def test_another_seed_trains_otherwise(images: Path, tmp_path: Path, whole: Tiny) -> None:
    other = train(images, tmp_path / "other", seed=1)
    assert other.rows != whole.rows


def test_a_run_folder_keeps_to_its_config(tmp_path: Path) -> None:
    config = {"keypoints": {"lr": 1e-3, "size": 224}, "folds": 2}
    claim(tmp_path / "run", config)
    claim(tmp_path / "run", config)
    changed = {"keypoints": {"lr": 3e-4, "size": 224}, "folds": 2}
    with pytest.raises(
        ValueError, match=r"other settings \(keypoints\.lr was 0\.001, now 0\.0003\); choose another run folder"
    ):
        claim(tmp_path / "run", changed)


def test_a_run_of_a_version_with_fewer_settings_is_that_of_their_defaults(tmp_path: Path) -> None:
    claim(tmp_path, {"keypoints": {"lr": 1e-3}})

    def as_now(known: dict) -> dict:
        return completed(known, {"keypoints": {"lr": 0.5, "ema": 0.03}, "folds": 2})

    claim(tmp_path, {"keypoints": {"lr": 1e-3, "ema": 0.03}, "folds": 2}, as_now)
    with pytest.raises(ValueError, match=r"other settings \(keypoints\.ema was 0\.03, now 0\.1; folds was 2, now 3\)"):
        claim(tmp_path, {"keypoints": {"lr": 1e-3, "ema": 0.1}, "folds": 3}, as_now)


def test_a_run_folder_knows_its_own_tuples_again(tmp_path: Path) -> None:
    claim(tmp_path, {"size_wh": (224, 192)})
    claim(tmp_path, {"size_wh": (224, 192)})


@pytest.mark.parametrize(("text", "expected"), [("auto", "auto"), ("2", 2), ("0,1", [0, 1]), ("1,", [1])])
def test_devices(text: str, expected: object) -> None:
    assert devices(text) == expected


@pytest.mark.parametrize("text", ["two", "1,b", "", ","])
def test_devices_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected auto, a number such as 2, or a list"):
        devices(text)


def test_an_average_of_every_third_step_has_the_same_half_life(images: Path, tmp_path: Path) -> None:
    """30 steps and a half-life of 27: weights are taken in at every third, each time with the decay of three steps."""
    module = train(images, tmp_path / "every", epochs=8, ema=0.9)
    assert len(module.weights) == 30
    taken = [weights["0.weight"].double() for weights in module.weights[::3]]
    decay = 0.5 ** (3 / 27)
    average = taken[0]
    for weight in taken[1:]:
        average = decay * average + (1 - decay) * weight
    assert (module.network[0].weight - average).abs().max() < 1e-6


@pytest.mark.parametrize("content", [b"garbage", b"PK\x03\x04", b"", {"state_dict": {}}, {"other": 1}, "cut"], ids=repr)
def test_a_damaged_checkpoint_to_resume_from_is_named(images: Path, tmp_path: Path, content: object) -> None:
    run = tmp_path / "run"
    train(images, run)
    file = run / "last.ckpt"
    if isinstance(content, dict):
        torch.save(content, file)
    else:
        file.write_bytes(file.read_bytes()[:-3000] if content == "cut" else content)
    with pytest.raises(UserError, match=r"last\.ckpt: .*; remove it, and the training starts from the beginning"):
        train(images, run)


def test_a_full_disk_keeps_the_last_whole_checkpoint(images: Path, tmp_path: Path, whole: Tiny) -> None:
    run = tmp_path / "run"
    with no_file_larger_than(2000), pytest.raises(OSError, match="File too large") as full:
        train(images, run)
    assert full.value.filename == str(run / "last.ckpt")
    assert not list(run.glob("last.ckpt*"))
    assert_same_weights(train(images, run), whole)


def test_a_disk_that_fills_under_the_loss_curves_is_named(images: Path, tmp_path: Path, whole: Tiny) -> None:
    """Before the first checkpoint, so that the same command begins anew."""
    run, data = tmp_path / "run", Data(images)
    with no_file_larger_than(30), pytest.raises(OSError, match="File too large") as full:
        fit(Tiny(), data, options(), run, "tiny")
    assert full.value.filename == str(run)
    assert_same_weights(train(images, run), whole)
