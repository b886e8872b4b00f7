"""A data set of another form is learned from without an edit of the package: `--layout` names a module of a user's own."""

import json
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations, read_answers
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema

from tests.commands.running import TINY, run, submit_options

MODULE = '''
"""One JSON file a folder: [{"picture", "category", "points": {NAME: [x, y]}}]."""
import json
import numpy as np
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow

class Lists:
    def read_annotations(self, roots, schema, faults=None):
        return [row for root in roots for row in self.read_answers(root / "garments.json", schema)]

    def read_test(self, folder, schema, faults=None):
        entries = json.loads((folder / "garments.json").read_text())
        return [ImageRow(one["picture"], one["category"], folder / one["picture"]) for one in entries]

    def read_answers(self, file, schema):
        return [self._row(one, file.parent, schema) for one in json.loads(file.read_text())]

    def _row(self, one, folder, schema):
        xy, visibility = np.zeros((len(schema.keypoints), 2)), np.full(len(schema.keypoints), -1)
        for name, place in one["points"].items():
            k = schema.keypoints.index(name)
            xy[k], visibility[k] = place, 1
        return Annotation(one["picture"], one["category"], folder / one["picture"], xy, visibility)

layout = Lists()
'''
NAMED = ("--layout", "my_data:layout")


@pytest.fixture
def lists(outside: Path, drawn: Path, schema: Schema) -> Path:
    """The present folder, with my_data.py and two data sets of its form: train and test, pictures in one folder."""
    (outside / "my_data.py").write_text(MODULE)
    write(outside / "train", read_annotations([drawn / "train"], schema)[:12], schema)
    write(outside / "test", read_answers(drawn / "test" / "answer.csv", schema)[:3], schema)
    return outside


def write(folder: Path, rows: list[Annotation], schema: Schema) -> None:
    folder.mkdir()
    entries = []
    for row in rows:
        (folder / row.path.name).write_bytes(row.path.read_bytes())
        points = {schema.keypoints[k]: row.xy[k].tolist() for k in range(24) if row.present[k]}
        entries.append({"picture": row.path.name, "category": row.category, "points": points})
    (folder / "garments.json").write_text(json.dumps(entries))


def test_a_layout_is_added_from_outside(lists: Path, capsys: pytest.CaptureFixture) -> None:
    answers = ("--answers", "test/garments.json")
    assert run("check", "--data", "train", "--test", "test", *answers, *NAMED) == 0
    told = capsys.readouterr().out
    assert "train: 12 images" in told
    assert "test/garments.json: 3 answers" in told
    for verb in ("train-detector", "boxes", "train-keypoints"):
        assert run(verb, *TINY, "--data", "train", "--run", "run", *NAMED) == 0
    assert run("look", *TINY, "--data", "train", "--run", "run", *NAMED, "--stage", "keypoints", "--out", "seen") == 0
    assert Path("seen/crops.png").exists()
    options = (*submit_options(Path("run"), Path("test")), *NAMED, *answers)
    assert run("submit", *options, "--out", "out/submission.csv", "--most_fallback", 1) == 0
    assert Path("out/submission.csv").read_text().count("\n") == 1 + 3
    capsys.readouterr()
    assert run("evaluate", "--submission", "out/submission.csv", *answers, *NAMED) == 0
    assert "NE" in capsys.readouterr().out


def test_its_faults_are_told(lists: Path, capsys: pytest.CaptureFixture) -> None:
    entries = json.loads(Path("train/garments.json").read_text())
    entries[0]["category"], entries[1]["picture"] = "sock", "gone.jpg"
    Path("train/garments.json").write_text(json.dumps(entries))
    assert run("check", "--data", "train", *NAMED) == 1
    told = capsys.readouterr().out
    assert "--layout my_data:layout, read_annotations, row 1: unknown category 'sock'" in told
    assert "gone.jpg" in told
    entries[2]["points"]["heel"] = [1, 2]
    Path("train/garments.json").write_text(json.dumps(entries))
    assert run("train-detector", *TINY, "--data", "train", "--run", "run", *NAMED) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --layout my_data:layout: read_annotations fails (ValueError: ")
    assert not Path("run/detector").exists()


def test_a_layout_that_is_not_there(outside: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("check", "--data", ".", "--layout", "my_dato:layout") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --layout my_dato:layout: no module 'my_dato', neither in ")
