"""boxed.csv: garments with a box and no points."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.formats.boxed import read_boxed, write_boxed
from garment_keypoints.pipeline.contract.records import NOTHING, BoxedImage
from garment_keypoints.pipeline.contract.schema import Schema

HEAD = "image_id,category,x0,y0,x1,y1\n"


def boxed(name: str, category: str = "skirt", box: tuple[float, ...] = (1.25, 2, 30, 40.5)) -> BoxedImage:
    return BoxedImage(name, category, Path(name), np.array(box))


def test_a_round_trip_with_two_garments_in_a_photo(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "boxed.csv"
    write_boxed(file, [boxed("shop/a.jpg"), boxed("b.jpg", "dress"), boxed("shop/a.jpg", "blouse", (0, 0, 9, 9))])
    rows = read_boxed(file, tmp_path / "photos", schema)
    assert [(row.key, row.category) for row in rows] == [
        (("shop/a.jpg", 0), "skirt"), (("b.jpg", 0), "dress"), (("shop/a.jpg", 1), "blouse"),
    ]  # fmt: skip
    assert rows[0].path == tmp_path / "photos" / "shop" / "a.jpg"
    assert rows[0].box.tolist() == [1.25, 2, 30, 40.5]
    assert (rows[1].csv, rows[1].csv_row) == (str(file), 3)


def test_photos_without_garments(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "boxed.csv"
    write_boxed(file, [boxed("a.jpg"), boxed("floor.jpg", NOTHING, (0, 0, 0, 0))])
    assert file.read_text() == HEAD + "a.jpg,skirt,1.25,2.00,30.00,40.50\nfloor.jpg,,,,,\n"
    rows = read_boxed(file, tmp_path, schema, without=True)
    assert [(row.image_id, row.category) for row in rows] == [("a.jpg", "skirt"), ("floor.jpg", NOTHING)]
    with pytest.raises(DataError, match=r"row 3: category '': 'floor.jpg'; expected one of"):
        read_boxed(file, tmp_path, schema)
    file.write_text(file.read_text() + "a.jpg,,,,,\nwall.jpg,,0,0,9,9\n")
    with pytest.raises(DataError) as error:
        read_boxed(file, tmp_path, schema, without=True)
    assert [(fault.row, fault.problem) for fault in error.value.faults] == [
        (5, "category ''"), (4, "photo without any garment that has other rows"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../a.jpg,skirt,0,0,9,9", "row 2: image id that leaves the data folder: '../a.jpg'"),
        ("a.jpg,kilt,0,0,9,9", "row 2: category 'kilt': 'a.jpg'; expected one of"),
        ("a.jpg,skirt,0,nan,9,9", "row 2: box 0, nan, 9, 9: 'a.jpg'; expected four numbers"),
        ("a.jpg,skirt,0,0,9,1e90", "expected four numbers"),
        ("a.jpg,skirt,9,0,9,9", "row 2: box 9, 0, 9, 9 without area: 'a.jpg'; expected x0 < x1"),
        ("a.jpg,skirt,0,0,9", "row with fewer cells"),
    ],
)
def test_a_fault_names_its_row(tmp_path: Path, schema: Schema, row: str, message: str) -> None:
    file = tmp_path / "boxed.csv"
    file.write_text(HEAD + row + "\n")
    with pytest.raises(DataError) as error:
        read_boxed(file, tmp_path, schema)
    assert message in str(error.value)


def test_all_faults_come_at_once(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "boxed.csv"
    file.write_text(HEAD + "a.jpg,kilt,0,0,9,9\nb.jpg,skirt,0,0,9,9\nc.jpg,skirt,5,5,5,5\n")
    with pytest.raises(DataError) as error:
        read_boxed(file, tmp_path, schema)
    assert [fault.row for fault in error.value.faults] == [2, 4]
