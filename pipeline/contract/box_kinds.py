"""Which boxes the second stage's crops are cut around, by name, and mixtures of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.contract.faults import UserError

OUT_OF_FOLD, IN_SAMPLE, TWO_PASS, TRUTH, IMAGE = "out_of_fold", "in_sample", "two_pass", "truth", "image"
PREDICTED = (OUT_OF_FOLD, IN_SAMPLE, TWO_PASS)
"""Boxes that a network predicted, by: a detector that had not seen the image, one that had, the points of a first pass."""
CROP_BOXES = (*PREDICTED, TRUTH, IMAGE)
"""Of these truth, the extent of the annotated points with the detector's margin, and image, the whole one, need no file."""

Mixture = Mapping[str, float]
"""The share of the crops that each kind of boxes gets, by name; together 1."""


def parse_mixture(text: str, where: str) -> Mixture:
    """Read a name of CROP_BOXES, or several with weights, such as `out_of_fold 0.7, truth 0.3`.

    Raises UserError, naming `where` it stands, for anything else.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, written = part.strip().partition(" ")
        try:
            weight = float(written) if written else 1.0
        except ValueError:
            weight = 0.0
        if name not in CROP_BOXES or name in shares or not 0 < weight < 1e6:
            expected = f"one of {', '.join(CROP_BOXES)}, or several with weights such as out_of_fold 0.7, truth 0.3"
            raise UserError(f"{where} is {text!r}; expected {expected}")
        shares[name] = weight
    total = sum(shares.values())
    return {name: weight / total for name, weight in shares.items()}


def boxes_file(file: Path, kind: str) -> Path:
    """Return where boxes of a kind lie, given the `file` of those out of fold: beside it, boxes_in_sample.csv and the like."""
    return file if kind == OUT_OF_FOLD else file.with_name(f"{file.stem}_{kind}{file.suffix}")


def beside(names: Iterable[str]) -> list[str]:
    """Return which of these kinds of boxes are read from a file of their own, beside that of the boxes out of fold."""
    return [name for name in (IN_SAMPLE, TWO_PASS) if name in set(names)]
