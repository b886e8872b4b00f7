"""A layout of a user's own module: what it lacks is said before anything runs, and what its rows lack row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.formats.outside import OutsideLayout, load_layout
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema

WHOLE = """
def read_annotations(roots, schema, faults=None): return []
def read_test(folder, schema, faults=None): return []
def read_answers(file, schema): return []
class Layout:
    pass
"""


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "layout", "my_layout.py has no 'layout'; it has nothing"),
        (WHOLE, "Layout", "a class; name an object of it, such as layout = Layout()"),
        (
            WHOLE + "layout = Layout()",
            "layout",
            r"of type Layout, has no function read_annotations\(roots, schema, faults\)",
        ),
        ("layout = {}", "layout", "of type dict, has no function read_annotations"),
        (
            WHOLE + "import types\ndef read(roots, schema): pass\n"
            "layout = types.SimpleNamespace(read_annotations=read, read_test=read_test, read_answers=read_answers)",
            "layout",
            r"read_annotations is called as read_annotations\(roots, schema, faults\): too many positional arguments",
        ),
    ],
)
def test_what_is_no_layout(outside: Path, text: str, name: str, message: str) -> None:
    (outside / "my_layout.py").write_text(text)
    with pytest.raises(UserError, match=rf"--layout my_layout:{name}: .*{message}|{message}"):
        find_layout(f"my_layout:{name}")


def test_a_module_of_a_package_may_be_the_layout(outside: Path) -> None:
    (outside / "my_package").mkdir()
    (outside / "my_package" / "__init__.py").write_text("from my_package import mine\n")
    (outside / "my_package" / "mine.py").write_text(WHOLE)
    assert load_layout("my_package:mine").name == "my_package:mine"


class Given:
    """Gives these rows, or raises what it is given."""

    def __init__(self, *rows: Any) -> None:
        self.rows = rows

    def read_annotations(self, roots: Any, schema: Schema, faults: Any) -> Any:
        for one in self.rows:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, Fault):
                faults.append(one)
            else:
                yield one

    def read_test(self, folder: Any, schema: Schema, faults: Any) -> Any:
        return self.read_annotations([], schema, faults)

    def read_answers(self, file: Any, schema: Schema) -> Any:
        return self.read_annotations([], schema, [])


def row(schema: Schema, image_id: Any = "a.jpg", category: str = "skirt", **changes: Any) -> Annotation:
    xy, visibility = np.zeros((24, 2), dtype=int), np.full(24, -1)
    visibility[schema.keypoints.index("hemline_left")] = 1
    values = {"xy": xy, "visibility": visibility} | changes
    return Annotation(image_id, category, Path("a.jpg"), **values)


def test_rows_become_records(schema: Schema) -> None:
    layout = OutsideLayout("my:own", Given(row(schema), row(schema, instance=1), ImageRow("b.jpg", "dress", Path("b"))))
    assert [one.key for one in layout.read_test(Path(), schema)] == [("a.jpg", 0), ("a.jpg", 1), ("b.jpg", 0)]
    faults: list[Fault] = []
    rows = layout.read_annotations([Path()], schema, faults)
    assert [one.key for one in rows] == [("a.jpg", 0), ("a.jpg", 1)]
    assert (rows[0].xy.dtype, rows[0].visibility.dtype) == (np.float64, np.int8)
    assert [str(one) for one in faults] == [
        "--layout my:own, read_annotations, row 3: row that is a ImageRow: 'b.jpg'; return "
        "garment_keypoints.pipeline.contract.records.Annotation"
    ]


def test_rows_that_do_not_fit(schema: Schema) -> None:
    nan, hidden = np.full((24, 2), np.nan), np.full(24, -1)
    wrong = [
        (None, "row that is a NoneType"),
        (row(schema, 7), "image id that is no text"),
        (row(schema, "../a.jpg"), "image id that leaves the data folder"),
        (row(schema, category="sock"), "unknown category 'sock'"),
        (row(schema, instance="one"), "instance 'one'"),
        (
            row(schema, xy=nan),
            r"points (24, 2): 'a.jpg'; expected finite numbers (24, 2), also where a point is absent",
        ),
        (row(schema, xy=np.zeros((3, 2)), visibility=np.ones(3)), "points (3, 2)"),
        (row(schema, visibility=hidden + 3), "visibility [2]"),
        (row(schema, visibility=hidden + 2), "points that a skirt does not have (neckline_left, "),
        (row(schema, visibility=hidden), "row with no points"),
        (row(schema, csv="my.json", csv_row=8, category="sock"), "my.json, row 8: unknown category"),
    ]
    rows = [one for one, _ in wrong]
    with pytest.raises(DataError) as caught:
        OutsideLayout("my:own", Given(*rows)).read_annotations([], schema)
    for fault, (_, message) in zip(caught.value.faults, wrong, strict=True):
        assert message in str(fault)
    with pytest.raises(DataError, match="garment that stands twice"):
        OutsideLayout("my:own", Given(row(schema), row(schema))).read_answers(Path(), schema)
    (answer,) = OutsideLayout("my:own", Given(row(schema, visibility=hidden))).read_answers(Path(), schema)
    assert not answer.present.any()


def test_faults_of_the_layout_itself_are_kept(schema: Schema) -> None:
    own = Fault("my.json", "broken", "mend it", 3)
    layout, faults = OutsideLayout("my:own", Given(own, row(schema))), []
    assert len(layout.read_annotations([], schema, faults)) == 1
    assert faults == [own]
    with pytest.raises(DataError, match=r"my\.json, row 3: broken; mend it"):
        layout.read_annotations([], schema)


def test_a_function_that_fails(schema: Schema) -> None:
    with pytest.raises(UserError, match=r"^--layout my:own: read_test fails \(KeyError: 'points'\); mend it$"):
        OutsideLayout("my:own", Given(KeyError("points"))).read_test(Path(), schema)
    with pytest.raises(UserError, match=r"^as it is$"):
        OutsideLayout("my:own", Given(UserError("as it is"))).read_test(Path(), schema)
    with pytest.raises(FileNotFoundError):
        OutsideLayout("my:own", Given(FileNotFoundError())).read_test(Path(), schema)
