"""What a wrong command line is answered with: one line, and the nearest thing that is right."""

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError

COMMAND, PACKAGE = "garment-keypoints", "garment_keypoints"


class UsageError(UserError):
    """A command line that no command can be made of; the exit status is 2."""


def program() -> str:
    """Return how this program was called."""
    called = Path(sys.argv[0])
    if called.stem == COMMAND:
        return COMMAND
    return f"python -m {PACKAGE if called.parent.name == PACKAGE else 'pipeline'}"


def guess(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `; did you mean X?` for the nearest of the known words, or nothing where none is near.

    A last part that is exactly the word's wins: keypoints.train.lr for lr.
    """
    known = sorted(known)
    leaf = word.rpartition(".")[2]
    near = [one for one in known if one.rpartition(".")[2] == leaf and "." in one]
    near = near if len(near) <= 2 else get_close_matches(word, near, n=2)
    near = near or get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        leaves = {one.rpartition(".")[2]: one for one in known}
        near = [leaves[one] for one in get_close_matches(leaf, leaves, n=1, cutoff=0.75)]
    return f"; did you mean {' or '.join(f'{prefix}{one}' for one in near)}?" if near else ""
