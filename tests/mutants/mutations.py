"""The list of mutations, and what makes an entry of it stale."""

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("list.yaml")


@dataclass(frozen=True)
class Mutation:
    """What it breaks in words, where `old` becomes `new`, and the tests (files or node ids) that should notice."""

    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read_list() -> list[Mutation]:
    entries = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def stale(one: Mutation) -> list[str]:
    """Return what is wrong with an entry: the code has moved on, or it never was a mutation."""
    text = (ROOT / one.file).read_text(encoding="utf-8") if (ROOT / one.file).is_file() else ""
    found = text.count(one.old)
    faults = [] if found == 1 else [f"{one.old!r} stands {found} times in {one.file}, expected once"]
    if one.old == one.new:
        faults.append("old and new are the same")
    faults += [f"no such test: {test}" for test in one.tests if not _names_a_test(test)]
    return [f"list.yaml, {one.breaks!r}: {fault}" for fault in faults]


def _names_a_test(test: str) -> bool:
    file, _, function = test.partition("::")
    name = function.partition("[")[0]
    return (ROOT / file).exists() and (not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"))
