"""Markdown tables."""

from collections.abc import Callable, Sequence
from typing import Any

MISSING = "-"


def as_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a Markdown table."""
    line: Callable[[Sequence[Any]], str] = lambda cells: "| " + " | ".join(str(c) for c in cells) + " |"  # noqa: E731
    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)]) + "\n"
