"""The list of mutations fits the code; `make mutants` runs it."""

import pytest

from tests.mutants.mutations import ROOT, Mutation, read_list, stale


@pytest.mark.parametrize("one", read_list(), ids=lambda one: one.breaks)
def test_each_mutation_can_be_made(one: Mutation) -> None:
    assert not stale(one)
    text = (ROOT / one.file).read_text(encoding="utf-8")
    compile(text.replace(one.old, one.new), one.file, "exec")


def test_no_mutation_stands_twice() -> None:
    made = [(one.file, one.old, one.new) for one in read_list()]
    assert len(set(made)) == len(made)
    assert len({one.breaks for one in read_list()}) == len(made)
