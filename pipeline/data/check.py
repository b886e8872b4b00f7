"""Describe a dataset and find all its faults, without running anything on it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.contract.faults import DataError, Fault
from pipeline.contract.formats.registry import find_layout
from pipeline.contract.records import ABSENT, OCCLUDED, VISIBLE, Annotation, ImageRow
from pipeline.contract.schema import Schema
from pipeline.data.folds import near_duplicates
from pipeline.data.survey import progress, survey


def check_dataset(
    roots: Sequence[Path], test: Path | None, answers: Path | None, schema: Schema, layout: str = "fashionai"
) -> tuple[list[str], list[Fault]]:
    """Look at everything a dataset consists of; return lines that describe it, and all faults."""
    lines: list[str] = []
    faults: list[Fault] = []
    reader = find_layout(layout)
    if roots:
        rows = reader.read_annotations(roots, schema, faults)
        lines += _describe(rows, ", ".join(map(str, roots)), schema, faults)
    if test is not None:
        lines += _describe(reader.read_test(test, schema, faults), str(test), schema, faults)
    if answers is not None:
        try:
            lines.append(f"{answers}: {len(reader.read_answers(answers, schema))} answers")
        except DataError as error:
            faults.extend(error.faults)
    return lines, faults


def _describe(rows: Sequence[ImageRow], name: str, schema: Schema, faults: list[Fault]) -> list[str]:
    if not rows:
        return [f"{name}: no readable row"]
    found = survey(rows, progress("looking at images"))
    faults.extend(found.faults)
    categories = Counter(row.category for row in rows)
    lines = [f"{name}: {len(rows)} images, " + ", ".join(f"{c} {categories[c]}" for c in schema.categories)]
    groups = len(set(near_duplicates(found.hashes).tolist()))
    (w0, h0), (w1, h1) = found.sizes_wh.min(0), found.sizes_wh.max(0)
    lines.append(f"  sizes {w0}x{h0} to {w1}x{h1} pixels, {len(rows) - groups} near-duplicates of others")
    annotated = [row for row in rows if isinstance(row, Annotation)]
    if annotated:
        visibility = np.stack([row.visibility for row in annotated])
        possible = sum(len(schema.members[row.category]) for row in annotated)
        absent = possible - int((visibility != ABSENT).sum())
        counts = (visibility == VISIBLE).sum(), (visibility == OCCLUDED).sum()
        lines.append(f"  points: {counts[0]} visible, {counts[1]} occluded, {absent} of the category absent")
    return lines
