"""The table of played faults counts rightly, and a case that differs fails the whole."""

from tests.faults.__main__ import play, status, table
from tests.faults.playing import Case


def _raises() -> str:
    raise RuntimeError("cannot be played")


def test_the_table_counts_and_a_case_that_differs_fails() -> None:
    good, bad = Case("good", "exit 0", lambda: "exit 0"), Case("bad", "exit 0", lambda: "exit 1")
    impossible, broken = (
        Case("tmpfs", "exit 1", lambda: "not possible here: no mount"),
        Case("broken", "exit 0", _raises),
    )
    rows = play([good, bad, impossible, broken])
    lines = table(rows)
    assert lines[2:4] == ["| good | exit 0 | exit 0 | yes |", "| bad | exit 0 | exit 1 | **NO** |"]
    assert lines[-1] == "4 cases, 1 as expected, 1 not possible here."
    assert "RuntimeError: cannot be played | **NO**" in lines[5]
    assert [status([row]) for row in rows] == [0, 1, 0, 1]
    assert table(play([good]))[-1] == "1 cases, 1 as expected."
