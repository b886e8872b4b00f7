"""The matrix through the command line: its figures are those of the commands that users know."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from garment_keypoints.pipeline.lab.ablation import costs

from tests.commands.running import TINY, run, submit_options


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def ablation(tmp_path: Path) -> Path:
    file = tmp_path / "pair.yaml"
    rows = [{"name": "own"}, {"name": "true", "set": {"keypoints.crop.train_boxes": "truth"}}]
    file.write_text(yaml.safe_dump({"stage": "keypoints", "base": TINY[1], "rows": rows}))
    return file


def test_every_network_is_scored_in_every_kind_of_boxes(
    drawn: Path, trained: Path, folder: Path, ablation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(costs, "SECONDS", 0.01)
    test, detector = drawn / "test", folder / "detector" / "final.safetensors"
    of_test = ["--test", test, "--answers", test / "answer.csv", "--detector", detector, "--workers", 0]
    command = ["--ablation", ablation, "--data", drawn / "train", "--run", folder, "--accelerator", "cpu", *of_test]
    assert run("lab", "match-matrix", *command) == 0
    content = json.loads((folder / "pair_matrix.json").read_text())
    val, tested = content["matrices"].values()
    assert list(content["matrices"])[1] == "test folder, 10 images"
    columns = ["detector", "truth", "jitter", "two_pass", "image"]
    assert [list(one) for one in (val["own"], tested["true"])] == [columns, columns]
    record = json.loads((folder / "keypoints" / "true-seed0.json").read_text())["figures"]["val"]
    assert val["true"]["detector"]["ne"] == [pytest.approx(record["out_of_fold_boxes"]["ne"])]
    assert val["true"]["truth"]["ne"] == [pytest.approx(record["true_boxes"]["ne"])]
    for column, options in {"detector": [], "truth": ["--boxes", "truth"], "two_pass": ["--refine", 1]}.items():
        out, network = tmp_path / f"{column}.csv", folder / "keypoints" / "own-seed0.safetensors"
        answers = ["--answers", test / "answer.csv", "--keypoints", network, "--out", out]
        assert run("submit", *submit_options(folder, test), *answers, *options) == 0
        assert tested["own"][column]["ne"] == [
            pytest.approx(json.loads(out.with_suffix(".json").read_text())["figures"]["ne"])
        ]
    assert val["true"]["image"].keys() == {"ne", "above own", "interval"}
    text = (folder / "pair_matrix.md").read_text()
    assert (
        "| trained on | detector's boxes | true boxes | true, jitter 0.15 | two passes, averaged | whole images |"
        in text
    )
    assert (folder / "pair_matrix.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert run("lab", "match-matrix", *command, "--show", "truth") == 0
    out = capsys.readouterr().out
    assert "| trained on | true boxes |" in out
    assert "by keypoint" not in out  # nothing was predicted again
    elsewhere_nothing_is_trained_again(command, content, Path(shutil.copytree(trained, tmp_path / "other")), capsys)


def elsewhere_nothing_is_trained_again(command: list, content: dict, other: Path, capsys) -> None:
    """Given what another run folder left, of the one column that it showed last, and the boxes that its detector found."""
    folder = command[command.index("--run") + 1]
    again = [other if part == folder else part for part in command]
    again[again.index("--detector") + 1] = folder / "test_boxes.csv"
    again += ["--known", folder / "pair.json", "--show", "truth"]
    assert run("lab", "match-matrix", *again) == 0
    assert not list((other / "keypoints").glob("*-seed0*"))
    there = json.loads((other / "pair_matrix.json").read_text())["matrices"]
    for title, rows in content["matrices"].items():
        for name, columns in rows.items():
            assert there[title][name]["truth"]["ne"] == pytest.approx(columns["truth"]["ne"], rel=1e-6)
    capsys.readouterr()
    # Of other boxes nothing is taken over, where networks are shown these.
    frame = pd.read_csv(folder / "test_boxes.csv")
    frame["x0"] += 0.5
    frame.to_csv(other / "moved.csv", index=False)
    shutil.copy(folder / "test_boxes.json", other / "moved.json")
    instead = {folder / "test_boxes.csv": other / "moved.csv", "truth": "detector"}
    moved = [instead.get(part, part) for part in again]
    assert run("lab", "match-matrix", *moved) == 1
    assert "pair_matrix.npz is of other boxes than those that the networks are shown now" in capsys.readouterr().err
    (folder / "pair_matrix.npz").unlink()
    assert run("lab", "match-matrix", *again) == 1
    assert "pair_matrix.npz: expected the errors of a matrix's runs" in capsys.readouterr().err


def test_what_it_refuses(drawn: Path, folder: Path, ablation: Path, capsys) -> None:
    command = ["--ablation", ablation, "--data", drawn / "train", "--run", folder]
    assert run("lab", "match-matrix", *command, "--show", "guess") == 1
    assert "--show has 'guess'; expected detector, truth, jitter, in_sample, two_pass, image" in capsys.readouterr().err
    assert run("lab", "match-matrix", *command, "--answers", drawn / "test" / "answer.csv") == 1
    assert "--test, --answers and --detector belong together" in capsys.readouterr().err
