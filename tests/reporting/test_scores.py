"""Answers are checked against the test before anything is predicted; submissions against the answers."""

import re
import shutil
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.formats.fashionai import read_answers, read_test
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.scores import answers_of, score

from tests.commands.running import run
from tests.data.test_check import drop, edit


@pytest.fixture
def test(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn / "test", tmp_path / "test")
    return tmp_path / "test"


def faults_of(test: Path, schema: Schema) -> str:
    with pytest.raises(DataError) as caught:
        answers_of(read_test(test, schema), test / "answer.csv", schema)
    return str(caught.value)


def test_answers_come_in_the_order_of_the_rows(test: Path, schema: Schema) -> None:
    file = test / "answer.csv"
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(lines)]))
    rows = read_test(test, schema)
    found = answers_of(rows[:3], file, schema)
    assert [answer.image_id for answer in found] == [row.image_id for row in rows[:3]]
    assert [answer.path for answer in found] == [row.path for row in rows[:3]]


def test_every_row_needs_an_answer(test: Path, schema: Schema) -> None:
    drop(test / "answer.csv", 3)
    assert f"test.csv, row 3, column image_id: no answer (in {test}/answer.csv): 'Images/" in faults_of(test, schema)


def test_an_answer_of_another_category_is_refused(test: Path, schema: Schema) -> None:
    edit(test / "answer.csv", 2, image_category="skirt", waistband_left="1_1_1")
    assert "test.csv, row 2, column image_category: another category than the answer's" in faults_of(test, schema)


def test_a_slip_of_the_pen_does_not_become_a_score(test: Path, schema: Schema) -> None:
    edit(test / "answer.csv", 2, neckline_left="99999_99999_1")
    assert "answer.csv, row 2: point far outside its image" in faults_of(test, schema)


def test_answers_that_can_score_nothing_are_refused_beforehand(test: Path, schema: Schema) -> None:
    for row in range(2, 12):
        edit(test / "answer.csv", row, **dict.fromkeys(schema.keypoints, "-1_-1_-1"))
    with pytest.raises(UserError, match=r"answer\.csv: no point counts.*nothing of these 10 images could be scored"):
        answers_of(read_test(test, schema), test / "answer.csv", schema)


def test_a_submission_of_other_categories_is_no_score(test: Path, schema: Schema, tmp_path: Path) -> None:
    file = shutil.copy(test / "answer.csv", tmp_path / "s.csv")
    edit(file, 3, image_category="skirt")
    message = (
        rf"{file}, row 3, column image_category: another category than the answer's \({test}/answer.csv, row 3 has "
    )
    with pytest.raises(DataError, match=message):
        score(file, read_answers(test / "answer.csv", schema), schema)


def test_evaluate_says_why_it_fails(test: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    answers = test / "answer.csv"
    file = shutil.copy(answers, tmp_path / "s.csv")
    edit(file, 2, neckline_left="500_500_1", neckline_right="500_500_1", center_front="500_500_1")
    assert run("evaluate", "--submission", file, "--answers", answers, "--at-most", 0.01) == 1
    out, error = capsys.readouterr()
    value = re.search(r"NE ([0-9.]+) %", out)[1]
    assert error == f"NE {value} % is above --at_most 0.01 %\n"
    assert run("evaluate", "--submission", file, "--answers", answers, "--at-most", 100) == 0
    assert capsys.readouterr().err == ""
    assert run("evaluate", "--submission", file, "--answers", answers, "--at-most", ".nan") == 1
    assert "--at_most is nan; expected percent" in capsys.readouterr().err
