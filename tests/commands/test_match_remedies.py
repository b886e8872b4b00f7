"""Remedies through the command line: all of them, and no network that has seen the images."""

import json
import shutil
from pathlib import Path

import pytest

from tests.commands.running import TINY, run


def test_each_remedy_is_measured(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    where = [*TINY, "--data", drawn / "train", "--run", folder, "--keypoints.codec.name", "softmax"]
    where += ["--keypoints.loss.name", "cross_entropy"]
    assert run("train-keypoints", *where, "--val") == 0
    assert run("train-keypoints", *where, "--val", "--name", "far", "--keypoints.crop.source", "image") == 0
    assert run("match-remedies", *where, "--context", "far") == 0
    content = json.loads((folder / "val_remedies.json").read_text())["remedies"]
    record = json.loads((folder / "keypoints" / "val.json").read_text())["figures"]["val"]
    assert content["one crop"]["ne"] == pytest.approx(record["out_of_fold_boxes"]["ne"])
    assert len(content) == 20
    assert len({one["ne"] for one in content.values()}) > 5
    assert "| second pass, margin 0.05 |" in (folder / "val_remedies.md").read_text()
    capsys.readouterr()
    assert run("match-remedies", *where, "--name", "final") == 1
    assert "final.safetensors has seen fold 0; expected a network that left it out" in capsys.readouterr().err
