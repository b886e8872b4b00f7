"""`--start`: trainings of both stages that go on from networks of other photos."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from garment_keypoints.pipeline.learning.training_ids import training_ids
from garment_keypoints.pipeline.learning.weights import read_checkpoint
from safetensors.torch import load_file

from tests.commands.running import TINY, run

STILL = [
    part
    for stage in ("detector", "keypoints")
    for part in (f"--{stage}.train.lr", "1e-12", f"--{stage}.train.ema", "0")
]
"""Steps that move no weight."""


@pytest.fixture(scope="module")
def others(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawings under other names: photos that no network has seen."""
    folder = tmp_path_factory.mktemp("others") / "train"
    shutil.copytree(drawn / "train", folder)
    names = [file.name for file in sorted(folder.glob("Images/*/*"))]
    for file in sorted(folder.glob("Images/*/*")):
        file.rename(file.with_name(f"other_{file.name}"))
    for file in folder.glob("Annotations/*.csv"):
        text = file.read_text()
        for name in names:
            text = text.replace(f"/{name},", f"/other_{name},")
        file.write_text(text)
    return folder


def options(data: Path, folder: Path) -> tuple[object, ...]:
    return (*TINY, *STILL, "--data", data, "--run", folder)


def same_weights(one: Path, other: Path) -> bool:
    """Tell whether all that is learned, other than BatchNorm's statistics, is the same."""
    ours, theirs = load_file(one), load_file(other)
    return all(
        torch.allclose(ours[key].float(), value.float(), atol=1e-6)
        for key, value in theirs.items()
        if "running" not in key and "num_batches" not in key
    )


def test_both_stages_go_on_from_networks_of_other_photos(trained: Path, others: Path, tmp_path: Path, capsys) -> None:
    folder, detector, keypoints = (
        tmp_path / "run", trained / "detector" / "final.safetensors", trained / "keypoints" / "final.safetensors",
    )  # fmt: skip
    assert run("train-detector", *options(others, folder), "--start", detector) == 0
    assert run("boxes", *options(others, folder)) == 0
    assert run("train-keypoints", *options(others, folder), "--start", keypoints, "--val") == 0
    for file, start in (
        (folder / "detector" / "fold0.safetensors", detector),
        (folder / "keypoints" / "val.safetensors", keypoints),
    ):
        assert same_weights(file, start)
        ids = training_ids(file, read_checkpoint(file))
        assert set(training_ids(start, read_checkpoint(start))) < set(ids)
        assert any("other_" in one for one in ids)
        assert "start" in json.loads(file.with_suffix(".json").read_text())["inputs"]
    assert run("train-detector", *options(others, folder)) == 1
    assert "holds a run with other settings (start was" in capsys.readouterr().err


def test_a_network_that_has_seen_the_images(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    """Its boxes and its score would be too good; where nothing is left out there is nothing to leak."""
    detector, keypoints = trained / "detector" / "final.safetensors", trained / "keypoints" / "final.safetensors"
    given = options(drawn / "train", tmp_path / "run")
    assert run("train-detector", *given, "--start", detector) == 1
    assert "has seen 20 of the 20 images of the folds, each of which a detector leaves out" in capsys.readouterr().err
    assert run("train-detector", *given, "--start", detector, "--only", "final") == 0
    boxes = ("--boxes", trained / "boxes.csv")
    assert run("train-keypoints", *given, *boxes, "--start", keypoints, "--val") == 1
    assert "images of fold 0, which is left out, first " in capsys.readouterr().err
    assert run("train-keypoints", *given, *boxes, "--start", keypoints) == 0


def test_a_network_of_unknown_images(trained: Path, drawn: Path, others: Path, tmp_path: Path, capsys) -> None:
    start = tmp_path / "found.safetensors"
    shutil.copyfile(trained / "detector" / "final.safetensors", start)
    assert run("train-detector", *options(others, tmp_path / "run"), "--start", start) == 1
    assert "found.ids.txt: missing, the list of the images" in capsys.readouterr().err
    assert run("train-detector", *options(others, tmp_path / "run"), "--start", start, "--only", "final") == 0
    assert not (tmp_path / "run" / "detector" / "final.ids.txt").exists()
