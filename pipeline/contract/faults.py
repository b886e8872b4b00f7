"""Faults of what a user hands in: one line each, and those of input data gathered so that one report names them all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 20
LONGEST_VALUE = 200
"""Characters of a value that a message shows."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the input: where it stands, what it is, and what to do."""

    file: str
    problem: str
    remedy: str
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = self.file + (f", row {self.row}" if self.row is not None else "")
        place += f", column {self.column}" if self.column else ""
        value = f": {_shortened(self.value)}" if self.value is not None else ""
        return f"{place}: {self.problem}{value}; {self.remedy}"


def _shortened(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}... ({len(value)} characters)"


class UserError(ValueError):
    """What a user can cause and mend: the message names file, row and value, what was expected, and what to do.

    The command line prints it as one line; any other exception is a fault of the program and keeps its traceback.
    """


class BusyError(UserError):
    """Another process is writing what this one would write."""


class DataError(UserError):
    """Input that cannot be used, with every fault found (rows count from 1, the header being row 1)."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__(describe(self.faults))

    def __reduce__(self) -> tuple[type, tuple[list[Fault]]]:
        """Travel from a loader's worker with every fault, not as the text alone."""
        return type(self), (self.faults,)


def describe(faults: Sequence[Fault]) -> str:
    """Describe the faults: counts by kind, then the first of them in full."""
    if len(faults) == 1:
        return str(faults[0])
    kinds = Counter(fault.problem.split(" (")[0] for fault in faults)
    lines = [f"{len(faults)} faults: " + ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())]
    lines += [f"  {fault}" for fault in faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"  and {len(faults) - SHOWN} more")
    return "\n".join(lines)
