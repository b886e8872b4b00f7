"""Many networks in a run folder, each by its name; records that name their inputs; the score on `val`."""

import csv
import json
import logging
import shutil
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.formats.submission import read_submission
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.training_ids import ids_digest
from garment_keypoints.pipeline.learning.weights import load_checkpoint

from tests.commands.running import TINY, run, submit_options


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def train(drawn: Path, folder: Path, *options: object, data: str = "train") -> int:
    return run("train-keypoints", *TINY, "--data", drawn / data, "--run", folder, *options)


def test_named_networks_do_not_disturb_one_another(drawn: Path, folder: Path, capsys) -> None:
    before = (folder / "keypoints" / "final.safetensors").read_bytes()
    assert train(drawn, folder, "--name", "other", "--keypoints.train.lr", "0.01") == 0
    assert train(drawn, folder, "--name", "other", "--keypoints.train.lr", "0.02") == 1
    assert (
        "keypoints/other holds a run with other settings (config.train.lr was 0.01, now 0.02)"
        in capsys.readouterr().err
    )
    assert train(drawn, folder) == 0
    assert (folder / "keypoints" / "final.safetensors").read_bytes() == before
    assert (folder / "keypoints" / "other.safetensors").read_bytes() != before


def claimed_otherwise(file: Path, old: str, new: str) -> None:
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))


def test_a_run_of_an_older_version_goes_on(drawn: Path, folder: Path, capsys) -> None:
    """It had a setting that is gone, and one by another name, and lacked one that is new."""
    of_detector, of_keypoints = folder / "detector" / "config.yaml", folder / "keypoints" / "final" / "config.yaml"
    claimed_otherwise(of_detector, "  margin: 0.05\n", "  margin: 0.05\n  flip_test: false\n")
    claimed_otherwise(of_keypoints, "    train_boxes: out_of_fold\n", "")
    claimed_otherwise(of_keypoints, "    pseudo_weight: 0.5\n", "    taught_weight: 0.5\n")
    for verb in ("train-detector", "boxes"):
        assert run(verb, *TINY, "--data", drawn / "train", "--run", folder) == 0
    assert train(drawn, folder) == 0
    assert train(drawn, folder, "--keypoints.crop.train_boxes", "truth") == 1
    assert "other settings (config.crop.train_boxes was out_of_fold, now truth)" in capsys.readouterr().err


def test_a_run_that_cannot_go_on_says_why(drawn: Path, folder: Path, capsys) -> None:
    """What is gone was on."""
    of_detector, of_keypoints = folder / "detector" / "config.yaml", folder / "keypoints" / "final" / "config.yaml"
    claimed_otherwise(of_detector, "  margin: 0.05\n", "  margin: 0.05\n  flip_test: true\n")
    claimed_otherwise(of_keypoints, "train_boxes: out_of_fold\n", "train_boxes: out_of_fold 0.7, truth 0.3\n")
    assert run("boxes", *TINY, "--data", drawn / "train", "--run", folder) == 1
    assert "holds a run with other settings (config.flip_test was True, now None); choose" in capsys.readouterr().err
    assert train(drawn, folder) == 1
    error = capsys.readouterr().err
    assert "(config.crop.train_boxes was out_of_fold 0.7, truth 0.3, now out_of_fold); choose another run" in error


def test_a_network_of_whole_images_is_shown_whole_images(drawn: Path, folder: Path, tmp_path: Path) -> None:
    """In training, on `val` and in a submission that does not say where crops come from."""
    assert train(drawn, folder, "--val", "--name", "whole", "--keypoints.crop.source", "image") == 0
    assert list(json.loads((folder / "keypoints" / "whole.json").read_text())["figures"]["val"]) == ["whole_images"]
    out, network = tmp_path / "s.csv", folder / "keypoints" / "whole.safetensors"
    answers = ["--answers", drawn / "test" / "answer.csv", "--out", out]
    assert run("submit", *submit_options(folder, drawn / "test"), *answers, "--keypoints", network) == 0
    assert json.loads(out.with_suffix(".json").read_text())["figures"]["boxes"] == "image"


def test_a_network_for_each_category_is_trained_and_used(drawn: Path, folder: Path, tmp_path: Path) -> None:
    parts = ["--keypoints.network.per_category", "true", "--keypoints.network.channels", "8"]
    assert train(drawn, folder, "--name", "five", *parts) == 0
    out, network = tmp_path / "s.csv", folder / "keypoints" / "five.safetensors"
    assert run("submit", *submit_options(folder, drawn / "test"), "--out", out, "--keypoints", network) == 0
    assert len(out.read_text().splitlines()) == 1 + 10


def test_boxes_from_another_file(drawn: Path, folder: Path, tmp_path: Path, schema: Schema, capsys) -> None:
    other = tmp_path / "published" / "boxes.csv"
    other.parent.mkdir()
    other.write_bytes((folder / "boxes.csv").read_bytes().replace(b",0.000,", b",1.000,", 1))
    assert train(drawn, folder, "--boxes", other, "--name", "other") == 0
    records = [json.loads((folder / "keypoints" / f"{name}.json").read_text()) for name in ("final", "other")]
    assert records[0]["inputs"]["annotations"] == records[1]["inputs"]["annotations"]
    assert records[0]["inputs"]["boxes"] != records[1]["inputs"]["boxes"]
    assert train(drawn, folder, "--boxes", other) == 1
    assert "keypoints/final holds a run with other settings (boxes was" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../final", "a.b", "a b"])
def test_a_name_that_is_no_file_name(drawn: Path, folder: Path, capsys, name: str) -> None:
    assert train(drawn, folder, "--name", name) == 1
    assert f"--name is {name!r}" in capsys.readouterr().err


def test_edited_boxes_are_refused(drawn: Path, folder: Path, capsys) -> None:
    file = folder / "boxes.csv"
    file.write_text(file.read_text().replace(",0.000,", ",1.000,", 1))
    assert train(drawn, folder, "--name", "other") == 1
    error = capsys.readouterr().err
    assert "boxes.csv is not what this step needs: by boxes.json, its own hash was " in error
    assert "write it again with the boxes command" in error
    assert not (folder / "keypoints" / "other").exists()
    assert run("boxes", *TINY, "--data", drawn / "train", "--run", folder) == 0
    assert train(drawn, folder, "--name", "other") == 0


def test_boxes_of_other_detectors_are_refused(drawn: Path, folder: Path, capsys) -> None:
    (folder / "detector" / "fold1.safetensors").write_bytes((folder / "detector" / "fold0.safetensors").read_bytes())
    assert train(drawn, folder, "--name", "other") == 1
    assert "boxes.csv is not what this step needs: by boxes.json, fold1 was " in capsys.readouterr().err
    assert run("boxes", *TINY, "--data", drawn / "train", "--run", folder) == 1
    assert "fold1.safetensors is not what this step needs: by fold1.json, its own hash was " in capsys.readouterr().err


def test_boxes_of_other_annotations_are_refused(drawn: Path, folder: Path, tmp_path: Path, capsys) -> None:
    data = Path(shutil.copytree(drawn / "train", tmp_path / "train"))
    file = data / "Annotations" / "train.csv"
    with file.open(newline="") as lines:
        rows = list(csv.reader(lines))
    column = next(i for i, cell in enumerate(rows[1]) if cell.endswith("_1"))
    rows[1][column] = "3_4_1"
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    for verb, made in (("train-keypoints", "boxes.csv"), ("boxes", "fold0.safetensors")):
        assert run(verb, *TINY, "--data", data, "--run", folder) == 1
        error = capsys.readouterr().err
        assert f"{made} is not what this step needs" in error
        assert "annotations was " in error


def test_a_file_without_a_record_is_taken_as_it_is(drawn: Path, folder: Path, caplog, capsys) -> None:
    caplog.set_level(logging.WARNING)
    (folder / "boxes.json").unlink()
    assert train(drawn, folder, "--name", "other") == 0
    assert "boxes.csv: no record beside it" in caplog.text
    # True boxes, which --val scores in too, have a margin that somebody has to say.
    assert train(drawn, folder, "--val") == 1
    assert "boxes.json: expected margin, the detector.margin of the boxes in boxes.csv; write it there" in (
        " ".join(capsys.readouterr().err.split())
    )
    (folder / "boxes.json").write_text('{"margin": 0.05}')
    assert train(drawn, folder, "--val") == 0


def test_val_scores_the_fold_left_out(drawn: Path, folder: Path, schema: Schema, capsys) -> None:
    assert train(drawn, folder, "--val") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("val, ", "NE "))]
    assert [line.split(" ")[0] for line in lines] == ["val,", "NE", "val,", "NE"]
    boxes = read_boxes(folder / "boxes.csv", schema)
    held_out = {box.image_id for box in boxes if box.fold == 0}
    content = load_checkpoint(folder / "keypoints" / "val.safetensors", "keypoints", schema)
    assert content["train_ids_digest"] == ids_digest({box.image_id for box in boxes} - held_out)
    figures = json.loads((folder / "keypoints" / "val.json").read_text())["figures"]["val"]
    assert list(figures) == ["out_of_fold_boxes", "true_boxes"]
    for name, one in figures.items():
        file = folder / "keypoints" / "val" / f"{name}.csv"
        assert {image_id for image_id, _ in read_submission(file, schema)} == held_out
        assert one["images"] == len(held_out)
        assert set(one["by_category"]) == set(schema.categories)
        assert set(one["by_keypoint"]) == set(schema.keypoints)
    assert figures["out_of_fold_boxes"]["ne"] != figures["true_boxes"]["ne"]


def test_a_network_without_a_fold_is_never_the_final_one(drawn: Path, folder: Path, capsys) -> None:
    for options in (["--val", "--name", "final"], ["--keypoints.without_fold", "0"]):
        assert train(drawn, folder, *options) == 1
        assert "final is the network that is trained on all folds" in capsys.readouterr().err


def test_val_is_scored_after_an_interrupt(drawn: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained but not yet scored is not done: the same command scores, and does not train again."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("garment_keypoints.pipeline.commands.train_keypoints.score_on_val", interrupted)
        assert train(drawn, folder, "--val") == 130
    trained = (folder / "keypoints" / "val.safetensors").read_bytes()
    assert not (folder / "keypoints" / "val.json").exists()
    assert train(drawn, folder, "--val") == 0
    record = json.loads((folder / "keypoints" / "val.json").read_text())
    assert record["resumed"]
    assert record["figures"]["val"]["true_boxes"]["ne"] > 0
    assert (folder / "keypoints" / "val.safetensors").read_bytes() == trained
