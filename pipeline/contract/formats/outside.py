"""A layout of a user's own module, `--layout MODULE:OBJECT`: its functions are called with care, and their rows checked.

Not checked here, since that is done for every layout: that pictures can be read, and that points lie near them.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.formats.csv_files import wrong_id
from garment_keypoints.pipeline.contract.plugins import load_object
from garment_keypoints.pipeline.contract.records import ABSENT, OCCLUDED, VISIBLE, Annotation, ImageRow, Key
from garment_keypoints.pipeline.contract.schema import Schema

ANNOTATIONS, TEST, ANSWERS = "read_annotations", "read_test", "read_answers"
ARGUMENTS = {ANNOTATIONS: "roots, schema, faults", TEST: "folder, schema, faults", ANSWERS: "file, schema"}
"""The functions of a layout, and what each is called with."""


@dataclass(frozen=True)
class OutsideLayout:
    """A layout by the text that names it; its three functions are those of registry.Layout."""

    name: str
    layout: Any

    def read_annotations(
        self, roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None
    ) -> list[Annotation]:
        return self._read(ANNOTATIONS, [Path(root) for root in roots], schema, faults)

    def read_test(self, folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
        return self._read(TEST, Path(folder), schema, faults)

    def read_answers(self, file: Path, schema: Schema) -> list[Annotation]:
        return self._read(ANSWERS, Path(file), schema, None)

    def _read(self, function: str, place: Any, schema: Schema, faults: list[Fault] | None) -> list[Any]:
        """Return the rows without faults; the others' go into the list, or without one are raised as DataError."""
        found: list[Fault] = []
        arguments = (place, schema) if function == ANSWERS else (place, schema, found)
        try:
            rows = list(getattr(self.layout, function)(*arguments))
        except (UserError, OSError):
            raise
        except Exception as error:  # a user's function may raise whatever it likes
            fails = f"--layout {self.name}: {function} fails ({type(error).__name__}: {error}); mend it"
            raise UserError(fails) from error
        kept: dict[Key, ImageRow] = {}
        for number, row in enumerate(rows, 1):
            problem = _problem(row, schema, function)
            if problem is None and row.key in kept:
                problem = "garment that stands twice", "give the garments of a picture an `instance` each: 0, 1 ..."
            if problem is None:
                kept[row.key] = _typed(row)
            else:
                where = getattr(row, "csv", "") or f"--layout {self.name}, {function}"
                value, line = getattr(row, "image_id", row), getattr(row, "csv_row", None) or number
                found.append(Fault(where, *problem, line, value=str(value)))
        if faults is None and found:
            raise DataError(found)
        if faults is not None:
            faults.extend(found)
        return list(kept.values())


def load_layout(name: str) -> OutsideLayout:
    """Import the layout that MODULE:OBJECT names. Raises UserError unless it has the three functions, with their arguments."""
    layout = load_object(name, "--layout")
    if inspect.isclass(layout):
        raise UserError(f"--layout {name}: a class; name an object of it, such as layout = {layout.__name__}()")
    for function, arguments in ARGUMENTS.items():
        own = getattr(layout, function, None)
        if not callable(own):
            raise UserError(
                f"--layout {name}: of type {type(layout).__name__}, has no function {function}({arguments}); expected a module "
                f"or object with {', '.join(ARGUMENTS)}, as garment_keypoints.pipeline.contract.formats.registry.Layout says"
            )
        try:
            inspect.signature(own).bind(*arguments.split(", "))
        except TypeError as error:
            raise UserError(f"--layout {name}: {function} is called as {function}({arguments}): {error}") from None
    return OutsideLayout(name, layout)


def _problem(row: Any, schema: Schema, function: str) -> tuple[str, str] | None:
    """Say what is wrong with a row that a layout gave, and what was expected."""
    kind = ImageRow if function == TEST else Annotation
    if not isinstance(row, kind):
        return (
            f"row that is a {type(row).__name__}",
            f"return garment_keypoints.pipeline.contract.records.{kind.__name__}",
        )
    if not isinstance(row.image_id, str):
        return "image id that is no text", "expected a path below the data folder"
    if wrong := wrong_id(row.image_id):
        return wrong
    if row.category not in schema.categories:
        return f"unknown category {row.category!r}", f"expected one of {', '.join(schema.categories)}"
    if not isinstance(row.instance, int) or row.instance < 0:
        return f"instance {row.instance!r}", "expected 0, 1 ... among the garments of a picture"
    return _problem_of_points(row, schema, function) if isinstance(row, Annotation) else None


def _problem_of_points(row: Annotation, schema: Schema, function: str) -> tuple[str, str] | None:
    points = len(schema.keypoints)
    if row.xy.shape != (points, 2) or not np.isfinite(row.xy).all():
        return f"points {row.xy.shape}", f"expected finite numbers ({points}, 2), also where a point is absent"
    if not np.isin(row.visibility, (VISIBLE, OCCLUDED, ABSENT)).all():
        return f"visibility {sorted({*row.visibility.tolist()})}", "expected 1 visible, 0 occluded, -1 absent"
    foreign = row.present & ~schema.mask[schema.category_index(row.category)].numpy()
    if foreign.any():
        names = ", ".join(schema.keypoints[k] for k in np.flatnonzero(foreign))
        return f"points that a {row.category} does not have ({names})", "give them the visibility -1"
    if function == ANNOTATIONS and not row.present.any():
        return "row with no points", "annotate the picture, or leave it out"
    return None


def _typed(row: ImageRow) -> ImageRow:
    """Return a row with arrays of the types that records have."""
    if not isinstance(row, Annotation):
        return row
    return replace(row, xy=row.xy.astype(np.float64), visibility=row.visibility.astype(np.int8))
