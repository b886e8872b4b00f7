"""CSV files: exact round trips, and every kind of faulty input with the message that it gives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.contract.faults import DataError
from pipeline.contract.formats.fashionai import read_annotations
from pipeline.contract.formats.submission import read_submission, write_submission
from pipeline.contract.records import ImageRow
from pipeline.contract.schema import Schema
from pipeline.data.select import load_test_rows

SKIRT = {"waistband_left": "10_10_1", "waistband_right": "50_12_0", "hemline_left": "5_60_1"}


class Root:
    """A train root whose CSV can be made wrong in one place."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self.folder, self.schema = folder, schema
        self.file = folder / "Annotations" / "train.csv"
        self.header = ["image_id", "image_category", *schema.keypoints]
        self.rows: list[dict[str, str]] = []
        for name in ("a", "b"):
            self.add(f"Images/skirt/{name}.jpg", "skirt", SKIRT)

    def add(self, image_id: str, category: str, points: dict[str, str]) -> dict[str, str]:
        path = self.folder / image_id
        if ".." not in image_id and not image_id.startswith("/"):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64)).save(path)
        row = dict.fromkeys(self.header, "-1_-1_-1") | {"image_id": image_id, "image_category": category} | points
        self.rows.append(row)
        return row

    def write(self) -> Path:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = [self.header, *([row[name] for name in self.header] for row in self.rows)]
        self.file.write_text("\n".join(",".join(line) for line in lines) + "\n")
        return self.folder


@pytest.fixture
def root(tmp_path: Path, schema: Schema) -> Root:
    return Root(tmp_path / "data", schema)


def test_reads_what_is_there(root: Root, schema: Schema) -> None:
    rows = read_annotations([root.write()], schema)
    assert [row.image_id for row in rows] == ["Images/skirt/a.jpg", "Images/skirt/b.jpg"]
    k = schema.keypoints.index("waistband_right")
    assert rows[0].xy[k].tolist() == [50, 12]
    assert rows[0].visibility[k] == 0
    assert rows[0].present.sum() == 3


def test_cells_of_other_categories_do_not_count(root: Root, schema: Schema) -> None:
    root.rows[0]["crotch"] = "30_30_1"
    assert not read_annotations([root.write()], schema)[0].present[schema.keypoints.index("crotch")]


def test_a_picture_in_two_roots_is_taken_once(root: Root, tmp_path: Path, schema: Schema) -> None:
    other = Root(tmp_path / "other", schema)
    other.add("Images/skirt/c.jpg", "skirt", SKIRT)
    rows = read_annotations([root.write(), other.write()], schema)
    assert sorted(row.path.name for row in rows) == ["a.jpg", "b.jpg", "c.jpg"]
    assert [row.path.parent.parent.parent.name for row in rows if row.path.name == "a.jpg"] == ["data"]


def set_cell(root: Root, column: str, value: str) -> None:
    root.rows[1][column] = value


FAULTS: dict[str, tuple[Callable[[Root], object], str]] = {
    "malformed cell": (
        lambda r: set_cell(r, "hemline_left", "12_30"),
        r"train\.csv, row 3, column hemline_left: malformed cell: '12_30'; expected x_y_v",
    ),
    "fractional cell": (
        lambda r: set_cell(r, "hemline_left", "1.5_30_1"),
        r"column hemline_left: malformed cell: '1\.5_30_1'",
    ),
    "number beyond any picture": (lambda r: set_cell(r, "hemline_left", f"{10**20}_1_1"), "malformed cell: '1000"),
    "visibility of 2": (lambda r: set_cell(r, "hemline_left", "1_30_2"), r"malformed cell: '1_30_2'"),
    "empty cell": (lambda r: set_cell(r, "hemline_left", ""), r"row 3, column hemline_left: malformed cell: ''"),
    "wrong header": (
        lambda r: r.header.remove("crotch"),
        r"row 1: wrong header \(missing \['crotch'\].*; expected image_id,",
    ),
    "unknown category": (
        lambda r: r.add("Images/kilt/k.jpg", "kilt", SKIRT),
        r"row 4, column image_category: unknown category: 'kilt'; expected one of blouse, outwear",
    ),
    "duplicate image id": (
        lambda r: r.rows.append(dict(r.rows[0])),
        r"row 4, column image_id: duplicate image id \(first in row 2\): 'Images/skirt/a.jpg'; keep one",
    ),
    "missing image": (
        lambda r: (r.folder / "Images/skirt/b.jpg").unlink(),
        r"row 3, column image_id: missing image: 'Images/skirt/b.jpg'; expected the file below",
    ),
    "id with ..": (
        lambda r: r.add("Images/../../x.jpg", "skirt", SKIRT),
        r"row 4, column image_id: image id that leaves the data folder: 'Images/\.\./\.\./x.jpg'",
    ),
    "absolute id": (lambda r: r.add("/x.jpg", "skirt", SKIRT), r"image id that leaves the data folder: '/x.jpg'"),
    "row with no points": (
        lambda r: r.add("Images/skirt/d.jpg", "skirt", {}),
        r"row 4: row with no points: 'Images/skirt/d.jpg'; annotate the picture, or drop the row",
    ),
    "no rows": (lambda r: r.rows.clear(), r"train\.csv: empty CSV; expected one row an image"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_annotations(root: Root, schema: Schema, name: str) -> None:
    spoil, message = FAULTS[name]
    spoil(root)
    with pytest.raises(DataError, match=message):
        read_annotations([root.write()], schema)


def test_all_faults_come_in_one_report(root: Root, schema: Schema) -> None:
    set_cell(root, "hemline_left", "oops")
    root.rows[0]["image_category"] = "kilt"
    root.add("../b.jpg", "skirt", {})
    with pytest.raises(DataError) as caught:
        read_annotations([root.write()], schema)
    assert len(caught.value.faults) == 3
    for part in (
        "3 faults: ",
        "1 x malformed cell",
        "1 x unknown category",
        "1 x image id that leaves",
        "oops",
        "'kilt'",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty CSV; expected one row an image"),  # no bytes at all
        (b"\xff\xfe\x00", "not a readable CSV"),  # not UTF-8
        (b'a,b\n"1', "not a readable CSV|wrong header"),  # an open quote
    ],
)
def test_files_that_are_no_tables(root: Root, schema: Schema, content: bytes, message: str) -> None:
    root.write()
    root.file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_annotations([root.folder], schema)


def test_blank_lines_at_the_end_do_not_matter(root: Root, schema: Schema) -> None:
    root.write()
    root.file.write_text(root.file.read_text() + "\n\n")
    assert len(read_annotations([root.folder], schema)) == 2


def test_commas_after_the_last_cell_do_not_shift_the_columns(root: Root, schema: Schema) -> None:
    root.write()
    header, *rows = root.file.read_text().splitlines()
    root.file.write_text("\n".join([header, *(row + "," for row in rows)]))
    with pytest.raises(DataError, match=r"train\.csv, row 2: row with more cells than the header"):
        read_annotations([root.folder], schema)


def test_order_is_that_of_the_roots(root: Root, tmp_path: Path, schema: Schema) -> None:
    other = Root(tmp_path / "other", schema)
    other.add("Images/skirt/c.jpg", "skirt", SKIRT)
    rows = read_annotations([root.write(), other.write()], schema)
    assert [row.path.name for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]


def test_image_ids_with_commas_survive_a_submission(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "submission.csv"
    rows = [ImageRow("Images/skirt/red, long.jpg", "skirt", tmp_path)]
    write_submission(file, rows, np.zeros((1, 24, 2)), np.array([[8, 8]]), schema)
    assert list(read_submission(file, schema)) == ["Images/skirt/red, long.jpg"]


def test_a_folder_without_annotations(tmp_path: Path, schema: Schema) -> None:
    with pytest.raises(DataError, match="no annotation CSV; name a folder that has Annotations"):
        read_annotations([tmp_path], schema)


def test_test_csv_without_images(tmp_path: Path, schema: Schema) -> None:
    (tmp_path / "test.csv").write_text("image_id,image_category\nImages/skirt/a.jpg,skirt\nImages/skirt/b.jpg,skirt\n")
    with pytest.raises(DataError, match=r"2 faults: 2 x missing image") as caught:
        load_test_rows(tmp_path, schema)
    assert "test.csv, row 3: missing image" in str(caught.value)


def test_submission_is_rounded_clipped_and_complete(tmp_path: Path, schema: Schema) -> None:
    rows = [ImageRow("Images/skirt/a.jpg", "skirt", tmp_path), ImageRow("Images/trousers/b.jpg", "trousers", tmp_path)]
    xy = np.full((2, 24, 2), 7.4)
    left = schema.keypoints.index("waistband_left")
    xy[0, left], xy[1, left] = (-3.0, 512.6), (2.5, 100.51)
    file = tmp_path / "new" / "submission.csv"
    write_submission(file, rows, xy, np.array([[512, 512], [300, 101]]), schema)
    header, first, second = file.read_text().splitlines()
    assert header.split(",") == ["image_id", "image_category", *schema.keypoints]
    assert first.split(",")[2:] == [
        "0_512_1" if k == left else "7_7_1" if k in (16, 17, 18) else "-1_-1_-1" for k in range(24)
    ]
    assert second.split(",")[2 + left] == "2_101_1"
    read = read_submission(file, schema)
    assert read["Images/skirt/a.jpg"][1].sum() == 4
    with pytest.raises(ValueError, match="finite"):
        write_submission(file, rows, xy * np.nan, np.full((2, 2), 512), schema)


def test_submission_with_negative_and_missing_cells(tmp_path: Path, schema: Schema) -> None:
    cells = ["-3_-1_1"] + ["-1_-1_-1"] * 23
    file = tmp_path / "s.csv"
    file.write_text(
        ",".join(["image_id", "image_category", *schema.keypoints]) + "\n" + ",".join(["x", "dress", *cells]) + "\n"
    )
    xy, given = read_submission(file, schema)["x"]
    assert xy[0].tolist() == [-3, -1]
    assert given.tolist() == [True] + [False] * 23
