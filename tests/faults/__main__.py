"""Play real faults on the commands and see what they do: `make faults`.

Full disks, kills, two processes at once, foreign files in the way, pictures that change meanwhile. Each command is a process
of its own, on a drawn sample with networks that learn nothing. Their results are compared with those of an undisturbed run,
byte by byte.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.runs.provenance import provenance

from tests.faults import disturbed, inputs, photos, together
from tests.faults.playing import PHOTOS, Case, World

NOT_POSSIBLE = "not possible here"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="just the cases whose name contains this text")
    parser.add_argument("--photos", type=int, default=PHOTOS, help="files of the case of many photos; at least 200")
    parser.add_argument("--out", type=Path, help="write the table there as well, such as docs/faults.md")
    options = parser.parse_args(arguments)
    made = provenance()  # the commit as it is now: the checkout may move on meanwhile
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = World(Path(folder), options.photos)
        every = (case for part in (disturbed, together, inputs, photos) for case in part.cases(world))
        chosen = [case for case in every if options.only in case.name]
        if not chosen:
            print(f"no case has {options.only!r} in its name", file=sys.stderr)
            return 1
        world.prepare()
        rows = play(chosen)
    print("\n".join(table(rows)))
    if options.out:
        write_text(options.out, document(rows, made))
    return status(rows)


def play(cases: Sequence[Case]) -> list[tuple[Case, str]]:
    """Play the cases in turn; return what was seen in each. One that cannot be played is said to have differed."""
    rows = []
    for case in cases:
        try:
            seen = case.play()
        except Exception as error:  # the other cases are to be played all the same
            seen = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        rows.append((case, seen))
        print(line(case, seen), file=sys.stderr, flush=True)
    return rows


def line(case: Case, seen: str) -> str:
    cells = case.name, case.expected, seen, verdict(case, seen)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def verdict(case: Case, seen: str) -> str:
    if seen.startswith(NOT_POSSIBLE):
        return "-"
    return "yes" if seen == case.expected else "**NO**"


def table(rows: Sequence[tuple[Case, str]]) -> list[str]:
    verdicts = [verdict(case, seen) for case, seen in rows]
    head = ["| case | expected | seen | ok |", "| --- | --- | --- | --- |"]
    last = f"{len(rows)} cases, {verdicts.count('yes')} as expected"
    last += f", {verdicts.count('-')} not possible here." if "-" in verdicts else "."
    return [*head, *(line(case, seen) for case, seen in rows), "", last]


def status(rows: Sequence[tuple[Case, str]]) -> int:
    return int(any(verdict(case, seen) == "**NO**" for case, seen in rows))


def document(rows: Sequence[tuple[Case, str]], made: dict[str, Any]) -> str:
    head = "<!-- written by `make faults`; do not edit -->\n\n# Faults played on the commands\n"
    meant = (
        "Each case is played on processes of their own. *Identical*: every byte of what the command makes equals that of an\n"
        "undisturbed run; of weights all but their provenance, which holds the time.\n"
    )
    command = " ".join(["python -m tests.faults", *sys.argv[1:]])
    foot = f"`{command}` at {made['commit']}, {made['date']}, on {made['machine']}."
    return "\n".join([head, meant, *table(rows), "", foot, ""])


if __name__ == "__main__":
    raise SystemExit(main())
