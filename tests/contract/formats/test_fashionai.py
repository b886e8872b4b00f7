"""CSV files: exact round trips, and every kind of faulty input with the message that it gives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.formats.submission import read_submission, write_submission
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import load_test_rows
from PIL import Image

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
        self.file.write_text("\n".join(",".join(line) for line in lines) + "\n", encoding="utf-8")
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
    "digits of another script": (lambda r: set_cell(r, "hemline_left", "\u0661_30_1"), "malformed cell: '\u0661_30_1'"),
    "id with NUL": (
        lambda r: r.rows[1].update(image_id="Images/skirt/b\0.jpg"),
        r"row 3, column image_id: image id with control characters: 'Images/skirt/b\\x00\.jpg'; expected a path",
    ),
    "id of 5,000 characters": (
        lambda r: r.rows[1].update(image_id="b" * 5000),
        r"row 3, column image_id: image id of 5000 characters: 'b{199}\.\.\. \(5000 characters\); expected a path",
    ),
    "id with a name longer than any": (
        lambda r: r.rows[1].update(image_id="\u00fc" * 200 + ".jpg"),
        "image id of 204 characters",
    ),
    "id that begins with ./": (
        lambda r: r.rows.append(r.rows[0] | {"image_id": "./Images/skirt/a.jpg"}),
        r"row 4, column image_id: image id that is not in its shortest form: './Images/skirt/a.jpg'; write Images/skirt/a",
    ),
    "id with //": (
        lambda r: r.rows.append(r.rows[0] | {"image_id": "Images//skirt/a.jpg"}),
        r"row 4, column image_id: image id that is not in its shortest form",
    ),
    "column twice": (lambda r: r.header.append("crotch"), "row 1: column that stands twice: 'crotch'; keep one"),
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


def test_a_row_that_is_cut_off(root: Root, schema: Schema) -> None:
    root.write()
    root.file.write_text(root.file.read_text().rsplit(",", 3)[0])
    with pytest.raises(DataError, match=r"train\.csv, row 3: row with fewer cells than the header \(23 of 26\)"):
        read_annotations([root.folder], schema)


def test_pictures_may_lie_elsewhere_through_links(root: Root, tmp_path: Path, schema: Schema) -> None:
    """People keep one copy of their pictures; what an id says is another matter."""
    root.write()
    (root.folder / "Images").rename(tmp_path / "elsewhere")
    (root.folder / "Images").symlink_to(tmp_path / "elsewhere")
    assert len(read_annotations([root.folder], schema)) == 2


def test_order_is_that_of_the_roots(root: Root, tmp_path: Path, schema: Schema) -> None:
    other = Root(tmp_path / "other", schema)
    other.add("Images/skirt/c.jpg", "skirt", SKIRT)
    rows = read_annotations([root.write(), other.write()], schema)
    assert [row.path.name for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]


def test_image_ids_with_commas_survive_a_submission(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "submission.csv"
    rows = [ImageRow("Images/skirt/red, long.jpg", "skirt", tmp_path)]
    write_submission(file, rows, np.zeros((1, 24, 2)), np.array([[8, 8]]), schema)
    assert list(read_submission(file, schema)) == [("Images/skirt/red, long.jpg", 0)]


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
    assert read["Images/skirt/a.jpg", 0].given.sum() == 4
    with pytest.raises(ValueError, match="finite"):
        write_submission(file, rows, xy * np.nan, np.full((2, 2), 512), schema)


def test_submission_with_negative_and_missing_cells(tmp_path: Path, schema: Schema) -> None:
    cells = ["-3_-1_1"] + ["-1_-1_-1"] * 23
    file = tmp_path / "s.csv"
    file.write_text(
        ",".join(["image_id", "image_category", *schema.keypoints]) + "\n" + ",".join(["x", "dress", *cells]) + "\n"
    )
    read = read_submission(file, schema)["x", 0]
    assert read.xy[0].tolist() == [-3, -1]
    assert read.given.tolist() == [True] + [False] * 23


def submission(folder: Path, schema: Schema, image_id: str = "x", category: str = "dress", **cells: str) -> Path:
    file = folder / "s.csv"
    row = dict.fromkeys(schema.keypoints, "5_5_1") | cells
    lines = [["image_id", "image_category", *row], [image_id, category, *row.values()]]
    file.write_text("".join(",".join(line) + "\n" for line in lines))
    return file


def test_a_cell_that_takes_itself_back_is_refused(tmp_path: Path, schema: Schema) -> None:
    message = (
        r"s\.csv, row 2, column hemline_left: cell that is absent by its v and has a position: '0_0_-1'; write x_y_1"
    )
    with pytest.raises(DataError, match=message):
        read_submission(submission(tmp_path, schema, hemline_left="0_0_-1"), schema)
    read = read_submission(submission(tmp_path, schema, crotch="0_0_-1", hemline_left="-4_7_0"), schema)["x", 0]
    k = schema.keypoints.index("hemline_left")
    assert (read.xy[k].tolist(), bool(read.given[k]), read.category, read.csv_row) == ([-4, 7], True, "dress", 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [({"category": "kilt"}, "row 2, column image_category: unknown category: 'kilt'"), ({"image_id": "/x"}, "leaves")],
)
def test_rows_of_a_submission_are_checked_like_others(tmp_path: Path, schema: Schema, row: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_submission(submission(tmp_path, schema, **row), schema)
