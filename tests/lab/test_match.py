"""The match report through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.schema import Schema
from PIL import Image

from tests.commands.running import run, submit_options

CPU = ["--workers", 0, "--accelerator", "cpu"]


def match(trained: Path, drawn: Path, out: Path, *options: object) -> int:
    boxes = ["--boxes", trained / "boxes.csv", "--data", drawn / "train"]
    return run("lab", "match", *boxes, "--out", out, *CPU, *options)


def of_test(trained: Path, drawn: Path) -> list[object]:
    test, detector = drawn / "test", trained / "detector" / "final.safetensors"
    return ["--test", test, "--answers", test / "answer.csv", "--detector", detector]


def test_the_report_against_a_test_folder(trained: Path, drawn: Path, tmp_path: Path, schema: Schema, capsys) -> None:
    out = tmp_path / "match"
    assert match(trained, drawn, out, *of_test(trained, drawn)) == 0
    content = json.loads((out / "match.json").read_text())
    names = ["true boxes", "true boxes, jitter 0.05", "boxes (out of fold)", "test boxes"]
    assert list(content["match"]) == names
    assert content["to"] == "test boxes"
    assert content["match"]["test boxes"]["ks"] == 0
    assert content["match"]["true boxes"]["iou"] == pytest.approx(1)
    assert content["match"]["boxes (out of fold)"]["boxes"] == 20
    assert all(share == sorted(share) for one in content["contained"].values() for share in [list(one.values())])
    table = (out / "match.md").read_text()
    assert table in capsys.readouterr().out
    assert all(f"| {name} |" in table for name in names)
    own, true = content["match"]["boxes (out of fold)"], content["match"]["true boxes"]
    above = content["above"]["boxes (out of fold)"]["true boxes"]
    assert above["value"] == pytest.approx(own["ks"] - true["ks"])
    assert above["low"] < above["value"] < above["high"]
    assert "| boxes | true boxes | true boxes, jitter 0.05 |" in table
    assert f"{above['value']:+.3f} ({above['low']:+.3f} to {above['high']:+.3f})" in table
    picture = np.array(Image.open(out / "match.png"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 6
    # They are the boxes that a submission crops.
    answers = ["--answers", drawn / "test" / "answer.csv", "--out", tmp_path / "s.csv"]
    assert run("submit", *submit_options(trained, drawn / "test"), *answers) == 0
    submitted = json.loads((tmp_path / "s.json").read_text())["figures"]["detector"]
    assert submitted["iou"] == pytest.approx(content["match"]["test boxes"]["iou"], rel=1e-4)
    assert len(read_boxes(out / "test_boxes.csv", schema)) == 10
    # Boxes that are there give the same report, and nothing else.
    again = tmp_path / "again"
    assert match(trained, drawn, again, *of_test(trained, drawn)[:-1], out / "test_boxes.csv") == 0
    same = json.loads((again / "match.json").read_text())
    assert [same[part] for part in ("match", "above", "contained", "inputs")] == [
        content[part] for part in ("match", "above", "contained", "inputs")
    ]
    assert not (again / "test_boxes.csv").exists()
    short = tmp_path / "short.csv"
    short.write_text("".join((out / "test_boxes.csv").read_text().splitlines(keepends=True)[:-1]))
    assert match(trained, drawn, again, *of_test(trained, drawn)[:-1], short) == 1
    assert f"{short}: no box for 1 of 10 images" in " ".join(capsys.readouterr().err.split())
    assert match(trained, drawn, out, *of_test(trained, drawn)) == 0


def test_the_report_against_other_boxes(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "other" / "boxes.csv"
    other.parent.mkdir()
    other.write_bytes((trained / "boxes.csv").read_bytes())
    other.with_suffix(".json").write_text('{"margin": 0.1}')
    assert match(trained, drawn, tmp_path / "match", "--to", other) == 1
    assert "boxes are those of detectors with different margins" in capsys.readouterr().err
    assert match(trained, drawn, tmp_path / "match", "--to", other, "--margin", 0.05) == 0
    content = json.loads((tmp_path / "match" / "match.json").read_text())
    assert content["to"] == "other/boxes (out of fold)"
    assert content["match"][f"{trained.name}/boxes (out of fold)"]["ks"] == 0


def test_what_it_refuses(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    assert match(trained, drawn, tmp_path / "a", "--test", drawn / "test") == 1
    assert "--test, --answers and --detector belong together" in capsys.readouterr().err
    assert match(trained, drawn, tmp_path / "a", *of_test(trained, drawn), "--to", trained / "boxes.csv") == 1
    assert "--to and --test both name" in capsys.readouterr().err
    assert run("lab", "match", "--boxes", trained / "boxes.csv", "--out", tmp_path / "a") == 1
    assert "boxes.csv: 20 of 20 boxes are of images that --data does not annotate" in capsys.readouterr().err
