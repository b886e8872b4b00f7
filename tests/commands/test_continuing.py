"""What an interrupted `submit` continues, and what a run folder holds to: the same job, and no other."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.weights import load_checkpoint

from tests.commands.running import TINY, run, submit_options


def interrupted_before_writing(monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    """Run `submit` until everything is predicted and nothing is written."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("garment_keypoints.pipeline.commands.submit.write_submission", interrupt)
        assert run("submit", *options) == 130


@pytest.mark.parametrize("other", [["--boxes", "image"], ["--flip_test", "false"]], ids=["boxes", "flip-test"])
def test_predictions_of_other_options_are_not_continued(
    trained: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: list[str]
) -> None:
    options = submit_options(trained, drawn / "test")
    interrupted_before_writing(monkeypatch, *options, "--out", tmp_path / "s.csv")
    assert run("submit", *options, *other, "--out", tmp_path / "s.csv") == 0
    assert run("submit", *options, *other, "--out", tmp_path / "fresh.csv") == 0
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()
    assert not json.loads((tmp_path / "s.json").read_text())["resumed"]


def test_predictions_of_the_same_options_are_continued(
    trained: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*submit_options(trained, drawn / "test"), "--out", tmp_path / "s.csv"]
    interrupted_before_writing(monkeypatch, *options)
    monkeypatch.setattr(
        "garment_keypoints.pipeline.orchestrator.TwoStage.predict_step", None
    )  # everything is predicted already
    assert run("submit", *options) == 0
    assert json.loads((tmp_path / "s.json").read_text())["resumed"]


def test_another_answer_is_another_run(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    """The ids and their folds are the same; a detector that was trained on other points is not kept."""
    data, folder = tmp_path / "train", tmp_path / "run"
    shutil.copytree(drawn / "train", data)
    shutil.copytree(trained, folder)
    file = data / "Annotations" / "train.csv"
    with file.open(newline="") as lines:
        rows = list(csv.reader(lines))
    column = next(i for i, cell in enumerate(rows[1]) if cell.endswith("_1"))
    rows[1][column] = "3_4_1"
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    assert run("train-detector", *TINY, "--data", data, "--run", folder) == 1
    assert "holds a run with other settings (data was " in capsys.readouterr().err


def test_submit_with_workers_writes_the_same_file(trained: Path, drawn: Path, tmp_path: Path) -> None:
    """Pictures are decoded by two processes, as by default."""
    options = submit_options(trained, drawn / "test")
    for workers in (0, 2):
        assert run("submit", *options, "--workers", workers, "--out", tmp_path / f"{workers}.csv") == 0
    assert (tmp_path / "2.csv").read_bytes() == (tmp_path / "0.csv").read_bytes()


def test_a_run_with_workers_is_the_same_run(trained: Path, drawn: Path, tmp_path: Path, schema: Schema) -> None:
    where = [*TINY, "--detector.train.workers", 2, "--data", drawn / "train", "--run", tmp_path]
    for verb in ("train-detector", "boxes"):
        assert run(verb, *where) == 0
    assert (tmp_path / "boxes.csv").read_bytes() == (trained / "boxes.csv").read_bytes()
    both = (
        load_checkpoint(folder / "detector" / "final.safetensors", "detector", schema) for folder in (tmp_path, trained)
    )
    first, second = (content["state_dict"] for content in both)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
