"""Two garments a picture, by a layout of one's own: from the check to a scored submission."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import Fault
from garment_keypoints.pipeline.contract.formats import fashionai
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.formats.registry import LAYOUTS
from garment_keypoints.pipeline.contract.formats.submission import read_submission, write_submission
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.scores import score

from tests.commands.running import TINY, run, submit_options


class Pairs:
    """FashionAI's files; in every picture there is a skirt as well, whose points lie in the picture's middle."""

    def read_annotations(
        self, roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None
    ) -> list[Annotation]:
        return self._doubled(fashionai.read_annotations(roots, schema, faults), schema)

    def read_test(self, folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
        rows = fashionai.read_test(folder, schema, faults)
        return [one for row in rows for one in (row, replace(row, category="skirt", instance=1))]

    def read_answers(self, file: Path, schema: Schema) -> list[Annotation]:
        return self._doubled(fashionai.read_answers(file, schema), schema)[::-1]

    def _doubled(self, rows: list[Annotation], schema: Schema) -> list[Annotation]:
        xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
        for k, point in zip(schema.members["skirt"], ((40, 40), (80, 40), (30, 100), (90, 100)), strict=True):
            xy[k], visibility[k] = point, 1
        of_skirt = {"category": "skirt", "instance": 1, "xy": xy, "visibility": visibility}
        return [one for row in rows for one in (row, replace(row, **of_skirt))]


def test_from_the_check_to_a_scored_submission(
    drawn: Path, tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(LAYOUTS, "pairs", Pairs())
    layout, test, folder = ["--layout", "pairs"], drawn / "test", tmp_path / "run"
    answers = ["--answers", test / "answer.csv"]
    assert run("check", "--data", drawn / "train", "--test", test, *answers, *layout) == 0
    assert "40 garments in 20 images" in capsys.readouterr().out
    where = [*TINY, *layout, "--data", drawn / "train", "--run", folder]
    for verb, *options in (["train-detector"], ["boxes"], ["train-keypoints", "--val"], ["train-keypoints"]):
        assert run(verb, *where, *options) == 0
    boxes = {box.key: box for box in read_boxes(folder / "boxes.csv", schema)}
    rows = Pairs().read_annotations([drawn / "train"], schema)
    assert [boxes[row.key].category for row in rows] == [row.category for row in rows]
    assert len({boxes[row.key].fold for row in rows[:2]}) == 1  # both garments of a picture are of one fold
    val = json.loads((folder / "keypoints" / "val.json").read_text())["figures"]["val"]
    assert val["out_of_fold_boxes"]["images"] == sum(box.fold == 0 for box in boxes.values())

    out = tmp_path / "s.csv"
    assert run("submit", *submit_options(folder, test), *answers, *layout, "--out", out) == 0
    with out.open() as lines:
        table = list(csv.DictReader(lines))
    assert list(table[0])[:3] == ["image_id", "image_category", "instance"]
    tested = Pairs().read_test(test, schema)
    assert [(one["image_id"], int(one["instance"]), one["image_category"]) for one in table] == [
        (*row.key, row.category) for row in tested
    ]
    figures = json.loads(out.with_suffix(".json").read_text())["figures"]
    capsys.readouterr()
    scored = tmp_path / "scored.json"
    assert run("evaluate", "--submission", out, *answers, *layout, "--json", scored) == 0
    assert json.loads(scored.read_text())["ne"] == figures["ne"]
    assert run("errors", "--submission", out, *answers, *layout, "--out", tmp_path / "errors") == 0
    first = (tmp_path / "errors" / "points.csv").read_text().splitlines()[0]
    assert first.endswith(",kind,instance")


def test_each_garment_is_scored_against_its_own_answer(drawn: Path, tmp_path: Path, schema: Schema) -> None:
    """Answers given as a submission have no error; with the garments of each picture exchanged they have."""
    file, layout = drawn / "test" / "answer.csv", Pairs()
    rows = [row for row in layout.read_answers(file, schema) if row.instance == 1]
    rows += [replace(row, instance=row.instance + 1, xy=row.xy + np.array([25.0, 12.0])) for row in rows]
    sizes = np.full((len(rows), 2), 1000)
    write_submission(tmp_path / "s.csv", rows, np.stack([row.xy for row in rows]), sizes, schema)
    assert score(tmp_path / "s.csv", rows, schema).value == 0
    exchanged = [replace(row, instance=3 - row.instance) for row in rows]
    assert score(tmp_path / "s.csv", exchanged, schema).value > 0.5
    assert set(read_submission(tmp_path / "s.csv", schema)) == {row.key for row in rows}


def test_a_csv_may_number_the_garments(drawn: Path, tmp_path: Path, schema: Schema) -> None:
    """FashionAI's own files have no such column, nor do submissions of them."""
    lines = (drawn / "test" / "answer.csv").read_text().splitlines()[:3]
    head, *cells = [line.split(",") for line in lines]
    several = tmp_path / "answer.csv"

    def write(instances: Sequence[str], image: int = 0) -> None:
        rows = [[cells[image][0], one[1], number, *one[2:]] for one, number in zip(cells, instances, strict=True)]
        several.write_text("\n".join(",".join(row) for row in [[*head[:2], "instance", *head[2:]], *rows]))

    write(["0", "1"])
    assert [row.key for row in fashionai.read_answers(several, schema)] == [(cells[0][0], 0), (cells[0][0], 1)]
    for instances, fault in ((["1", "01"], "duplicate image id, instance 1"), (["0", "-1"], "malformed instance")):
        write(instances)
        with pytest.raises(ValueError, match=fault):
            fashionai.read_answers(several, schema)
    (tmp_path / "test.csv").write_text("image_id,image_category,instance\na.jpg,skirt,0\na.jpg,skirt,2\n")
    assert [row.key for row in fashionai.read_test(tmp_path, schema)] == [("a.jpg", 0), ("a.jpg", 2)]
    plain = fashionai.read_answers(drawn / "test" / "answer.csv", schema)
    write_submission(tmp_path / "s.csv", plain, np.zeros((10, 24, 2)), np.ones((10, 2)), schema)
    assert (tmp_path / "s.csv").read_text().startswith("image_id,image_category,neckline_left,")
