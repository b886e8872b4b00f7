"""`calibrate` fits to the fold that a network has not seen, and to no other network."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pipeline.contract.schema import Schema
from pipeline.learning.calibration import Calibration
from tests.commands.running import TINY, run


@pytest.fixture(scope="module")
def validated(trained: Path, drawn: Path) -> Path:
    """The run with a network that left fold 0 out."""
    assert (
        run("train-keypoints", *TINY, "--data", drawn / "train", "--run", trained, "--name", "calibrated", "--val") == 0
    )
    return trained


def test_a_network_is_calibrated_on_the_fold_it_left_out(
    validated: Path, drawn: Path, tmp_path: Path, schema: Schema
) -> None:
    out = tmp_path / "calibration.json"
    options = (*TINY, "--data", drawn / "train", "--run", validated, "--name", "calibrated")
    assert run("calibrate", *options, "--out", out) == 0
    fitted, content = Calibration.load(out, schema), json.loads(out.read_text())
    assert fitted.error.shape == (24, len(fitted.score))
    folds = (validated / "folds.csv").read_text().splitlines()[1:]
    assert 0 < content["images"] < len(folds)
    assert content["figures"]["points"] > 0
    with Image.open(out.with_suffix(".png")) as figure:
        assert figure.width > figure.height
    assert run("calibrate", *options, "--out", out) == 0  # over its own


def test_what_cannot_be_calibrated_is_refused(validated: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    options = (*TINY, "--data", drawn / "train", "--run", validated)
    assert run("calibrate", *options, "--name", "final", "--out", tmp_path / "c.json") == 1
    assert "trained on all folds" in capsys.readouterr().err
    assert run("calibrate", *options, "--name", "calibrated", "--out", tmp_path / "c.txt") == 1
    (tmp_path / "mine.json").write_text("{}")
    assert run("calibrate", *options, "--name", "calibrated", "--out", tmp_path / "mine.json") == 1
    assert (tmp_path / "mine.json").read_text() == "{}"
