"""What a command may overwrite, and what it leaves when it is refused or interrupted."""

import json
import os
import shutil
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.files import alone

from tests.commands.running import TINY, run, submit_options


def submit(trained: Path, drawn: Path, out: Path, *options: object) -> int:
    return run("submit", *submit_options(trained, drawn / "test"), "--out", out, *options)


@pytest.mark.parametrize("name", ["s.csv", "s.png", "s.json", "s.parts/thesis.txt"])
def test_submit_overwrites_nothing_foreign(trained: Path, drawn: Path, tmp_path: Path, capsys, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    assert submit(trained, drawn, tmp_path / "s.csv") == 1
    error = capsys.readouterr().err
    assert "choose another" in error
    assert mine.name in error
    assert [file.read_text() for file in tmp_path.rglob("*") if file.is_file()] == ["mine"]


@pytest.mark.parametrize("name", ["s.json", "s.png", "s"])
def test_a_submission_is_a_csv(trained: Path, drawn: Path, tmp_path: Path, capsys, name: str) -> None:
    assert submit(trained, drawn, tmp_path / name) == 1
    assert "expected a name in .csv, such as s.csv" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_submission_is_written_again_unless_it_was_changed(
    trained: Path, drawn: Path, tmp_path: Path, capsys
) -> None:
    out, answers = tmp_path / "s.csv", ("--answers", drawn / "test" / "answer.csv")
    assert submit(trained, drawn, out, *answers) == 0
    before = out.read_bytes()
    assert set(json.loads((tmp_path / "s.json").read_text())["outputs"]) == {"s.csv", "s.png"}
    assert submit(trained, drawn, out) == 0
    assert out.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.csv", "s.json"]  # no picture of an earlier one
    out.write_text("changed")
    assert submit(trained, drawn, out) == 1
    assert "s.csv exists and is not what this command wrote, or was changed since" in capsys.readouterr().err
    assert out.read_text() == "changed"


def test_an_interrupted_publication_is_ended(
    trained: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the CSV and the record, which is what make looks for."""
    out = tmp_path / "s.csv"

    with monkeypatch.context() as patch:
        real = os.replace

        def replace(source: Path, target: Path) -> None:
            if Path(target).name == "s.json":
                raise KeyboardInterrupt
            real(source, target)

        patch.setattr("os.replace", replace)
        assert submit(trained, drawn, out) == 130
    assert out.exists()
    assert not (tmp_path / "s.json").exists()
    assert submit(trained, drawn, out) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.csv", "s.json"]


def test_two_at_once(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    with alone(tmp_path / "s.csv"):
        assert submit(trained, drawn, tmp_path / "s.csv") == 1
    assert "another process is writing" in capsys.readouterr().err


def test_evaluate_and_report_overwrite_nothing_foreign(drawn: Path, tmp_path: Path) -> None:
    answer, mine = drawn / "test" / "answer.csv", tmp_path / "mine.json"
    mine.write_text("{}")
    assert run("evaluate", "--submission", answer, "--answers", answer, "--json", mine) == 1
    assert run("lab", "report", "--out", mine) == 1
    assert mine.read_text() == "{}"


@pytest.mark.parametrize(
    "options",
    [
        ["--only", "foo"],
        ["--detector.network.fpn_channels", -8],
        ["--detector.train.precision", "foo"],
        ["--detector.train.strategy", "foo"],
        ["--detector.train.accelerator", "foo"],
        ["--detector.train.devices", 99],
        ["--detector.train.batch_size", 1, "--detector.train.devices", 2, "--detector.train.accelerator", "cpu"],
    ],
)
def test_a_refused_option_does_not_claim_the_run(drawn: Path, tmp_path: Path, capsys, options: list[object]) -> None:
    assert run("train-detector", *TINY, "--data", drawn / "train", "--run", tmp_path / "run", *options) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(options[1]) in error
    assert not (tmp_path / "run").exists()


def test_a_fold_that_no_box_is_of_does_not_claim_the_network(
    trained: Path, drawn: Path, tmp_path: Path, capsys
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    options = ["--name", "other", "--keypoints.without_fold", 4, "--data", drawn / "train", "--run", folder]
    assert run("train-keypoints", *TINY, *options) == 1
    assert "keypoints.without_fold is 4, and no box is of that fold" in capsys.readouterr().err
    assert not (folder / "keypoints" / "other").exists()


def test_boxes_keep_to_the_settings_of_their_detectors(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    before = (folder / "boxes.json").read_bytes()
    assert run("boxes", *TINY, "--data", drawn / "train", "--run", folder, "--detector.margin", 0.3) == 1
    assert "other settings (config.margin was 0.05, now 0.3)" in capsys.readouterr().err
    assert (folder / "boxes.json").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("detector/config.yaml", "- 1"),
        ("detector/config.yaml", "{"),
        ("detector/fold0.json", "[]"),
        ("boxes.json", "{"),
    ],
)
def test_a_damaged_run_file_is_named(
    trained: Path, drawn: Path, tmp_path: Path, capsys, file: str, content: str
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    (folder / file).write_text(content)
    verb = "boxes" if file.startswith("detector") else "train-keypoints"
    assert run(verb, *TINY, "--data", drawn / "train", "--run", folder) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder / file}: ")
    assert "damaged" in error
