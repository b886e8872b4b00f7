"""Layouts of a dataset by name: what reads its train roots, its test folder and its answers.

Another layout is one file beside this one, and one line here; or a module of a user's own, which `--layout mine:layout` names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from garment_keypoints.pipeline.contract.faults import Fault, UserError
from garment_keypoints.pipeline.contract.formats import coco_layout, deepfashion2, fashionai
from garment_keypoints.pipeline.contract.formats.outside import load_layout
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema


class Layout(Protocol):
    """A module or an object with these three functions. Faults go into the list, or without one raise DataError at the end."""

    def read_annotations(
        self, roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None
    ) -> list[Annotation]:
        """Return the annotated rows of all train roots, in image pixels, each picture once."""

    def read_test(self, folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
        """Return the rows to predict."""

    def read_answers(self, file: Path, schema: Schema) -> list[Annotation]:
        """Return the true points of a test folder's rows."""


LAYOUTS: dict[str, Layout] = {"fashionai": fashionai, "coco": coco_layout, "deepfashion2": deepfashion2}


def find_layout(name: str) -> Layout:
    """Return the layout of this name, or the one that MODULE:OBJECT names; raises UserError for what is none."""
    if name in LAYOUTS:
        return LAYOUTS[name]
    if ":" not in name:
        known = ", ".join(LAYOUTS)
        raise UserError(
            f"layout is {name!r}; expected one of {known}, or MODULE:OBJECT of your own, such as mine:layout"
        )
    return load_layout(name)
