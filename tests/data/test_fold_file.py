"""RUN/folds.csv: what a run begins with is what later steps get, and a picture that changed is noticed."""

import os
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.fold_file import COLUMNS, FoldAssignment, read_assignment, write_assignment
from garment_keypoints.pipeline.data.survey import survey

from tests.oracle import Case, make_rows


@pytest.fixture
def rows(tmp_path: Path, schema: Schema) -> list[Annotation]:
    return make_rows(tmp_path, schema, [Case((60, 50), "skirt"), Case((40, 70), "skirt")], apart=2)


def begin(file: Path, rows: list[Annotation]) -> FoldAssignment:
    found = survey(rows)
    assignment = FoldAssignment(np.array([1, 0]), found.sizes_wh, found.digests)
    write_assignment(file, rows, assignment)
    return assignment


def test_a_later_step_gets_what_the_first_found(tmp_path: Path, rows: list[Annotation]) -> None:
    file = tmp_path / "folds.csv"
    assignment = begin(file, rows)
    again = read_assignment(file, rows, 2)
    assert again.folds.tolist() == [1, 0]
    assert again.sizes_wh.tolist() == [[60, 50], [40, 70]]
    assert again.digests == assignment.digests
    assert all(len(one) == 64 for one in again.digests)


def test_a_changed_picture_is_refused_and_a_touched_one_is_not(tmp_path: Path, rows: list[Annotation]) -> None:
    file = tmp_path / "folds.csv"
    begin(file, rows)
    os.utime(rows[0].path, (1, 1))
    read_assignment(file, rows, 2)
    rows[1].path.write_bytes(rows[0].path.read_bytes())
    with pytest.raises(
        DataError, match=r"picture that has changed since this run began: 'Images/skirt/1\.jpg'; put it back"
    ):
        read_assignment(file, rows, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_id", "picture", "wrong header"),
        ("0.jpg,1,", "0.jpg,x,", "row 2, column fold: no fold of 0 to 1: 'x'; restore the file"),
        ("0.jpg,1,", "0.jpg,-1,", "row 2, column fold: no fold of 0 to 1: '-1'"),
        ("0.jpg,1,", "0.jpg,2,", "row 2, column fold: no fold of 0 to 1: '2'"),
        (",60,50,", ",60,fifty,", "row 2, column height: no whole number: 'fifty'"),
        ("0.jpg,1,", "other.jpg,1,", "assigns other images to folds; choose another run folder"),
        ("0.jpg,1,", "0.jpg,0,", "assigns another number of folds than 2"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, rows: list[Annotation], old: str, new: str, message: str) -> None:
    file = tmp_path / "folds.csv"
    begin(file, rows)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=rf"folds\.csv.*{message}"):
        read_assignment(file, rows, 2)


def test_an_empty_file_is_named(tmp_path: Path, rows: list[Annotation]) -> None:
    (tmp_path / "folds.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(DataError, match=r"folds\.csv: empty CSV; restore the file"):
        read_assignment(tmp_path / "folds.csv", rows, 2)
