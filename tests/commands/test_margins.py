"""Where the commands take true boxes: the extent of the points, grown by the detector's margin on each side."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations, read_answers
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from PIL import Image

from tests.commands.running import TINY, run, submit_options


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The boxes of every GivenBoxes that a command makes."""
    made: list[np.ndarray] = []
    plain = GivenBoxes.__init__

    def noting(self: GivenBoxes, boxes: object, *more: object) -> None:
        plain(self, boxes, *more)
        made.append(self.boxes.numpy())

    monkeypatch.setattr(GivenBoxes, "__init__", noting)
    return made


def assert_grown(boxes: np.ndarray, rows: list[Annotation], margin: float) -> None:
    """Each box is the extent of its row's points, grown on each side, as far as the picture reaches."""
    for box, row in zip(boxes, rows, strict=True):
        low, high = row.xy[row.present].min(0), row.xy[row.present].max(0)
        grown = np.concatenate([low - margin * (high - low), high + margin * (high - low)])
        with Image.open(row.path) as picture:
            np.testing.assert_allclose(box, grown.clip(0, picture.size * 2), atol=0.01)


def test_true_boxes_of_submit_have_the_margin_of_the_detector(
    trained: Path, drawn: Path, tmp_path: Path, schema: Schema, given: list[np.ndarray]
) -> None:
    answers = drawn / "test" / "answer.csv"
    options = [*submit_options(trained, drawn / "test"), "--answers", answers, "--boxes", "truth"]
    assert run("submit", *options, "--out", tmp_path / "s.csv") == 0
    assert_grown(given[0], read_answers(answers, schema), 0.05)


def test_true_boxes_of_val_have_the_margin_that_is_recorded_with_the_boxes(
    trained: Path, drawn: Path, tmp_path: Path, schema: Schema, given: list[np.ndarray]
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    record = json.loads((folder / "boxes.json").read_text())
    assert record["margin"] == 0.05
    (folder / "boxes.json").write_text(json.dumps(record | {"margin": 0.2}))
    assert run("train-keypoints", *TINY, "--data", drawn / "train", "--run", folder, "--val") == 0
    assert len(given) == 2
    rows = read_annotations([drawn / "train"], schema)
    folds = dict(line.split(",")[:2] for line in (folder / "folds.csv").read_text().splitlines()[1:])
    assert_grown(given[1], [row for row in rows if folds[row.image_id] == "0"], 0.2)
