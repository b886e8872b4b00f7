"""`evaluate-photos`: the finds of `predict` on drawn pictures, against their classes, all their garments, or one."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_answers
from garment_keypoints.pipeline.contract.formats.registry import LAYOUTS

from tests.commands.running import run


@pytest.fixture(scope="module")
def found(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found")
    options = (
        "--out",
        folder / "out",
        "--workers",
        0,
        "--threshold",
        0.1,
        "--overlays",
        "false",
        "--flip_test",
        "false",
    )
    assert run("predict", drawn / "test", *options) == 0
    rows = csv.DictReader((drawn / "test" / "test.csv").read_text().splitlines())
    lines = [f"{row['image_id']},{row['image_category'].title()}" for row in rows]
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    return folder


NAMES = ("Skirt=skirt", "Dress=dress", "Blouse=blouse", "Outwear=outwear", "Trousers=trousers")


def test_against_classes(found: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = ("--predictions", found / "out" / "predictions.jsonl", "--photos", drawn / "test")
    options = (*given, "--labels", found / "labels.csv", "--names", *NAMES, "--json", tmp_path / "scores.json")
    assert run("evaluate-photos", *options) == 0
    assert "| threshold | finds a photo | correct % |" in capsys.readouterr().out
    figures = json.loads((tmp_path / "scores.json").read_text())["figures"]
    thresholds = [one["threshold"] for one in figures]
    assert thresholds == sorted(thresholds)
    finds = [one["finds_a_photo"] for one in figures]
    assert finds == sorted(finds, reverse=True)
    assert finds[0] > 0
    assert run("evaluate-photos", *options) == 0  # over its own
    (tmp_path / "scores.json").write_text("{}")
    assert run("evaluate-photos", *options) == 1


def test_against_all_garments(found: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = ("--predictions", found / "out" / "predictions.jsonl", "--photos", drawn / "test")
    truth, out = drawn / "test" / "all_garments.json", tmp_path / "scores.json"
    assert run("evaluate-photos", *given, "--garments", truth, "--json", out, "--threshold", 0.25) == 0
    assert "at 0.25, " in capsys.readouterr().out
    figures = json.loads(out.read_text())["figures"]
    assert figures[0]["garments"] == sum(map(len, json.loads(truth.read_text()).values()))
    assert 0 < figures[0]["recall"] <= 1


def test_against_the_annotated_garment(
    found: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--predictions", found / "out" / "predictions.jsonl", "--photos", drawn / "test", "--threshold", 0.1)
    answers, out = drawn / "test" / "answer.csv", tmp_path / "scores.json"
    assert run("evaluate-photos", *given, "--answers", answers, "--json", out) == 0
    assert "| threshold | finds a photo | recall % | found % |" in capsys.readouterr().out
    figures = json.loads(out.read_text())["figures"][0]
    rows = list(csv.DictReader(answers.read_text().splitlines()))
    assert figures["garments"] == len(rows)
    assert 0 < figures["recall"] <= figures["found"] < 1
    assert sum(sum(counts.values()) for counts in figures["taken_for"].values()) == len(rows)
    doubled = tmp_path / "answer.csv"
    doubled.write_text("".join([answers.read_text(), answers.read_text().splitlines(keepends=True)[1]]))
    capsys.readouterr()
    assert run("evaluate-photos", *given, "--answers", doubled) == 1
    assert "duplicate image id" in capsys.readouterr().err
    nowhere = ",".join("-1_-1_-1" for name in rows[0] if name not in ("image_id", "image_category"))
    doubled.write_text(answers.read_text().splitlines()[0] + f"\n{rows[0]['image_id']},skirt,{nowhere}\n")
    assert run("evaluate-photos", *given, "--answers", doubled) == 1
    assert "no garment has a point" in capsys.readouterr().err
    # A layout of several garments a photo, which this score is not for.
    monkeypatch.setitem(LAYOUTS, "pairs", SimpleNamespace(read_answers=lambda *given: read_answers(*given) * 2))
    assert run("evaluate-photos", *given, "--answers", answers, "--layout", "pairs") == 1
    assert f"{rows[0]['image_id']} has several garments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("predictions", b'{"photo": 1', "line 1: no result of `predict`"),
        ("predictions", b"\xff", "line 1: no result of `predict`"),
        ("predictions", b'{"photo": "other.jpg", "error": "gone"}', "nothing of "),
        ("garments", b"[]", "expected a list of garments by photo"),
        ("garments", b'{"a.jpg": [{"category": "kilt", "box": [0, 0, 1, 1]}]}', "expected a list of garments by photo"),
        ("garments", b'{"a.jpg": [{"category": "skirt", "box": [0, 0, 1]}]}', "expected a list of garments by photo"),
        ("garments", b'{"a.jpg": 3}', "expected a list of garments by photo"),
        ("garments", b'{"a.jpg": []}', "no garment in any photo"),
    ],
)
def test_files_of_something_else(
    found: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str, content: bytes, message: str
) -> None:
    files = {"predictions": found / "out" / "predictions.jsonl", "garments": drawn / "test" / "all_garments.json"}
    files[name] = tmp_path / "bad.json"
    files[name].write_bytes(content)
    options = [part for key, file in files.items() for part in (f"--{key}", file)]
    assert run("evaluate-photos", *options, "--photos", drawn / "test") == 1
    assert message in capsys.readouterr().err


def test_one_truth(found: Path, drawn: Path, capsys: pytest.CaptureFixture) -> None:
    given = ("--predictions", found / "out" / "predictions.jsonl", "--photos", drawn / "test")
    assert run("evaluate-photos", *given) == 1
    assert "expected one of --labels" in capsys.readouterr().err
