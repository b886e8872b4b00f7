"""Objects of a user's own module: found in the present folder, and refused by one line that says what to do."""

import sys
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.plugins import load_object


def test_a_module_of_the_present_folder(outside: Path) -> None:
    (outside / "mine_folder.py").write_text("thing = 7\n")
    (outside / "mine_package").mkdir()
    (outside / "mine_package" / "inner.py").write_text("thing = 8\n")
    assert load_object("mine_folder:thing", "--columns") == 7
    assert load_object("mine_package.inner:thing", "--columns") == 8
    assert load_object("json:dumps", "--columns").__module__ == "json"


def test_no_file_of_a_user_takes_the_place_of_a_package(outside: Path) -> None:
    (outside / "mine_json.py").write_text("import json\nthing = json.dumps({})\n")
    (outside / "json.py").write_text("raise RuntimeError\n")
    (outside / "numpy.py").write_text("raise RuntimeError\n")
    assert load_object("mine_json:thing", "--columns") == "{}"
    assert sys.path[-1] == str(outside)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", r"--layout mine: expected MODULE:OBJECT, such as"),
        ("mine.py:thing:other", "expected MODULE:OBJECT"),
        ("../mine:thing", "expected MODULE:OBJECT"),
        (
            "mine_gone:thing",
            r"--layout mine_gone:thing: no module 'mine_gone', neither in /.* nor in the environment; start",
        ),
        ("mine_gone.inner:thing", "no module 'mine_gone'"),
        ("mine_needs:thing", "module mine_needs needs mine_other, which is not installed"),
        ("mine_broken:thing", r"module mine_broken cannot be imported \(SyntaxError: "),
        ("mine_fails:thing", r"module mine_fails cannot be imported \(ZeroDivisionError: division by zero\); mend it"),
        ("mine_lacks:thing", r"mine_lacks.py has no 'thing'; it has thong"),
    ],
)
def test_what_is_refused(outside: Path, name: str, message: str) -> None:
    contents = {"needs": "import mine_other", "broken": "def", "fails": "1 / 0", "lacks": "thong = _hidden = 1"}
    for one, text in contents.items():
        (outside / f"mine_{one}.py").write_text(text + "\n")
    with pytest.raises(UserError, match=message) as caught:
        load_object(name, "--layout")
    assert "\n" not in str(caught.value)
