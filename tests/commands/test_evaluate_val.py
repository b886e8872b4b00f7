"""`evaluate-val` scores a network on the fold that it left out, in several detectors' boxes, and on no image it has seen."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from garment_keypoints.pipeline.engine.refinement import OwnPoints

from tests.commands.running import TINY, run


@pytest.fixture(scope="module")
def validated(trained: Path, drawn: Path) -> Path:
    """The run with a network that left fold 0 out."""
    assert run("train-keypoints", *TINY, "--data", drawn / "train", "--run", trained, "--name", "scored", "--val") == 0
    return trained


def rewritten(boxes: Path, out: Path, change) -> Path:
    rows = list(csv.DictReader(boxes.read_text().splitlines()))
    kept = [changed for row in rows if (changed := change(row)) is not None]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(kept)
    return out


def test_it_tells_what_training_told_and_more(
    validated: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def moved(row: dict) -> dict:
        return row | {"x1": str((float(row["x0"]) + float(row["x1"])) / 2)}

    boxes, out = validated / "boxes.csv", tmp_path / "scores.json"
    halved = rewritten(boxes, tmp_path / "halved.csv", moved)
    (tmp_path / "halved.json").write_text('{"margin": 0.2}')
    options = (*TINY, "--data", drawn / "train", "--run", validated, "--name", "scored", "--out", out)
    assert run("evaluate-val", *options, "--boxes", boxes, halved, "--refine", 0, 1, "--truth") == 0
    assert "| boxes | refinements | images | NE % |" in capsys.readouterr().out
    figures = {(one["boxes"], one["refine"]): one for one in json.loads(out.read_text())["figures"]}
    assert len(figures) == 6
    told = json.loads((validated / "keypoints" / "scored.json").read_text())["figures"]["val"]
    assert figures[boxes.as_posix(), 0]["ne"] == pytest.approx(told["out_of_fold_boxes"]["ne"], abs=1e-6)
    assert figures["truth", 0]["ne"] == pytest.approx(told["true_boxes"]["ne"], abs=1e-6)
    assert figures[halved.as_posix(), 0]["ne"] != pytest.approx(figures[boxes.as_posix(), 0]["ne"], abs=1e-3)
    assert (tmp_path / "scores" / figures[halved.as_posix(), 1]["points_file"]).is_file()
    assert run("evaluate-val", *options) == 0  # over its own, in RUN/boxes.csv
    assert [one["refine"] for one in json.loads(out.read_text())["figures"]] == [0]


def test_refinements_have_the_margin_of_the_detector_whose_boxes_they_start_from(
    validated: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `submit` crops with that detector, whatever the settings say."""
    margins, plain = [], OwnPoints.__init__

    def noting(self: OwnPoints, source: Any, locator: Any, has: Any, margin: float, average: bool) -> None:
        margins.append(margin)
        plain(self, source, locator, has, margin, average)

    monkeypatch.setattr(OwnPoints, "__init__", noting)
    boxes, other = validated / "boxes.csv", tmp_path / "other.csv"
    shutil.copy(boxes, other)
    other.with_suffix(".json").write_text('{"margin": 0.2}')
    options = ("--data", drawn / "train", "--run", validated, "--name", "scored", "--out", tmp_path / "scores.json")
    assert run("evaluate-val", *TINY, *options, "--boxes", boxes, other, "--refine", 1, "--detector.margin", 0.1) == 0
    assert margins == [0.05, 0.2]


def test_what_cannot_be_scored_is_refused(
    validated: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ("evaluate-val", *TINY, "--data", drawn / "train", "--run", validated, "--name")
    boxes, out = validated / "boxes.csv", ("--out", tmp_path / "scores.json")
    swapped = rewritten(boxes, tmp_path / "swapped.csv", lambda row: row | {"fold": str(1 - int(row["fold"]))})
    fewer = rewritten(boxes, tmp_path / "fewer.csv", lambda row: row if row["fold"] == "0" else None)
    other = rewritten(boxes, tmp_path / "other.csv", lambda row: row | {"fold": "1"})
    for command, message in (
        ((*options, "final", *out), "trained on all folds"),
        ((*options, "scored", *out, "--boxes", swapped), "has seen "),
        ((*options, "scored", *out, "--boxes", fewer), f"{fewer}: no box for "),
        ((*options, "scored", *out, "--boxes", other), "is of fold 0 by the boxes"),
        ((*options, "scored", *out, "--refine", 3), "--refine is [3]; expected numbers of 0 to 2"),
        ((*options, "scored", "--out", tmp_path / "scores.txt"), "expected a name in .json"),
    ):
        assert run(*command) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()
