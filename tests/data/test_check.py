"""`check` compares everything with everything: test, answers, training roots and pictures."""

import shutil
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.check import check_dataset


@pytest.fixture
def data(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "data")
    return tmp_path / "data"


def edit(file: Path, row: int, **cells: str) -> str:
    """Change cells of a row (from 2 on) by column; return the row's image id."""
    lines = [line.split(",") for line in file.read_text().splitlines()]
    for name, value in cells.items():
        lines[row - 1][lines[0].index(name)] = value
    file.write_text("".join(",".join(line) + "\n" for line in lines))
    return lines[row - 1][0]


def drop(file: Path, row: int) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[: row - 1] + lines[row:]))


def faults_of(data: Path, schema: Schema, answers: bool = True) -> list[str]:
    file = data / "test" / "answer.csv"
    return [
        str(fault) for fault in check_dataset([data / "train"], data / "test", file if answers else None, schema)[1]
    ]


def test_what_was_drawn_has_no_faults(data: Path, schema: Schema) -> None:
    assert faults_of(data, schema) == []


def test_rows_without_an_answer_and_answers_without_a_row(data: Path, schema: Schema) -> None:
    drop(data / "test" / "answer.csv", 4)
    drop(data / "test" / "test.csv", 2)
    lacks, foreign = faults_of(data, schema)
    assert f"{data}/test/test.csv, row 3, column image_id: no answer (in {data}/test/answer.csv): 'Images/" in lacks
    assert f"{data}/test/answer.csv, row 2, column image_id: answer of an image that is not in the test" in foreign


def test_another_category(data: Path, schema: Schema) -> None:
    edit(data / "test" / "test.csv", 2, image_category="skirt")
    (fault,) = faults_of(data, schema)
    assert (
        f"test.csv, row 2, column image_category: another category than the answer's ({data}/test/answer.csv, " in fault
    )
    assert "row 2 has blouse): 'skirt'; correct one" in fault


def test_a_point_far_outside_its_picture(data: Path, schema: Schema) -> None:
    image_id = edit(data / "test" / "answer.csv", 2, neckline_left="99999_99999_1")
    (fault,) = faults_of(data, schema)
    assert "answer.csv, row 2: point far outside its image (of " in fault
    assert f"99999_99999 of {image_id}" in fault


def test_an_answer_without_points(data: Path, schema: Schema) -> None:
    edit(data / "test" / "answer.csv", 3, **dict.fromkeys(schema.keypoints, "-1_-1_-1"))
    (fault,) = faults_of(data, schema)
    assert "answer.csv, row 3, column image_id: answer without points" in fault


def test_a_test_picture_that_was_trained_on(data: Path, schema: Schema) -> None:
    trained = sorted((data / "train" / "Images").rglob("*.jpg"))[0]
    row = (data / "test" / "test.csv").read_text().splitlines()[5].split(",")[0]
    shutil.copy(trained, data / "test" / row)
    (fault,) = faults_of(data, schema, answers=False)
    assert (
        f"test.csv, row 6, column image_id: test picture that is a training picture too ({trained}): '{row}'" in fault
    )


def test_copies_and_links_are_described_and_no_fault(data: Path, tmp_path: Path, schema: Schema) -> None:
    one, other, moved = sorted((data / "train" / "Images").rglob("*.jpg"))[:3]
    shutil.copy(one, other)
    shutil.move(moved, tmp_path / "moved.jpg")
    moved.symlink_to(tmp_path / "moved.jpg")
    lines, faults = check_dataset([data / "train"], None, None, schema)
    assert not [fault for fault in faults if "far outside" not in fault.problem]
    assert "1 the same as others under another id, 1 through links out of the folder" in lines[1]


def test_unreadable_pictures_have_no_size_and_are_no_duplicates(data: Path, schema: Schema) -> None:
    before, _ = check_dataset([data / "train"], None, None, schema)
    for picture in sorted((data / "train" / "Images").rglob("*.jpg"))[:2]:
        picture.write_text("no picture")
    lines, faults = check_dataset([data / "train"], None, None, schema)
    assert len(faults) == 2
    assert lines[1] == f"{before[1]}, 2 unreadable"
