"""Describe a dataset and find all its faults, without running anything on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import ABSENT, OCCLUDED, VISIBLE, Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.compare import (
    copies,
    foreign,
    lacking,
    linked,
    other_categories,
    seen_in_training,
    without_points,
)
from garment_keypoints.pipeline.data.folds import near_duplicates
from garment_keypoints.pipeline.data.survey import Survey, far_points, progress, survey


@dataclass(frozen=True)
class _Part:
    """Rows of a dataset and what the survey found in their pictures."""

    rows: Sequence[ImageRow]
    found: Survey


def check_dataset(
    roots: Sequence[Path],
    test: Path | None,
    answers: Path | None,
    schema: Schema,
    layout: str = "fashionai",
    pictures: PictureOptions | None = None,
) -> tuple[list[str], list[Fault]]:
    """Look at everything a dataset consists of, and compare its parts; return lines that describe it, and all faults."""
    lines: list[str] = []
    faults: list[Fault] = []
    reader = find_layout(layout)
    trained = tested = None
    if roots:
        rows = reader.read_annotations(roots, schema, faults)
        trained = _look(rows, ", ".join(map(str, roots)), schema, lines, faults, pictures)
    if test is not None:
        tested = _look(reader.read_test(test, schema, faults), str(test), schema, lines, faults, pictures)
    if trained and tested:
        faults += seen_in_training(tested.rows, tested.found.digests, trained.rows, trained.found.digests)
    if answers is not None:
        try:
            answered = reader.read_answers(answers, schema)
        except DataError as error:
            return lines, faults + error.faults
        lines.append(f"{answers}: {len(answered)} answers")
        faults += without_points(answered)
        if tested:
            faults += _compare(tested, answered, Path(str(test)), answers)
    return lines, faults


def _compare(tested: _Part, answered: Sequence[Annotation], test: Path, answers: Path) -> list[Fault]:
    by_key = {answer.key: answer for answer in answered}
    sizes = {row.image_id: size for row, size in zip(tested.rows, tested.found.sizes_wh, strict=True) if size.any()}
    far = [f for one in answered if one.image_id in sizes for f in far_points(one, sizes[one.image_id])]
    rows = tested.rows
    keys = {row.key for row in rows}
    return lacking(rows, by_key, answers) + foreign(answered, keys, test) + other_categories(rows, by_key) + far


def _look(
    rows: Sequence[ImageRow],
    name: str,
    schema: Schema,
    lines: list[str],
    faults: list[Fault],
    pictures: PictureOptions | None,
) -> _Part | None:
    """Survey the rows' pictures; add what describes them and what is wrong with them."""
    if not rows:
        lines.append(f"{name}: no readable row")
        return None
    found = survey(rows, progress("looking at images"), pictures)
    faults.extend(found.faults)
    categories = Counter(row.category for row in rows)
    images = len({row.image_id for row in rows})
    counted = f"{images} images" if images == len(rows) else f"{len(rows)} garments in {images} images"
    lines.append(f"{name}: {counted}, " + ", ".join(f"{c} {categories[c]}" for c in schema.categories))
    lines.append("  " + _pictures(rows, found))
    annotated = [row for row in rows if isinstance(row, Annotation)]
    if annotated:
        visibility = np.stack([row.visibility for row in annotated])
        possible = sum(len(schema.members[row.category]) for row in annotated)
        absent = possible - int((visibility != ABSENT).sum())
        counts = (visibility == VISIBLE).sum(), (visibility == OCCLUDED).sum()
        lines.append(f"  points: {counts[0]} visible, {counts[1]} occluded, {absent} of the category absent")
    return _Part(rows, found)


def _pictures(rows: Sequence[ImageRow], found: Survey) -> str:
    """Describe the pictures that could be read."""
    once = np.sort(np.unique([row.image_id for row in rows], return_index=True)[1])
    pictures = [rows[i] for i in once]
    readable = once[found.sizes_wh[once].any(1)]
    if not len(readable):
        return "no readable picture"
    sizes, hashes = found.sizes_wh[readable], found.hashes[readable]
    (w0, h0), (w1, h1) = sizes.min(0), sizes.max(0)
    near = len(sizes) - len(set(near_duplicates(hashes).tolist()))
    told = [f"sizes {w0}x{h0} to {w1}x{h1} pixels", f"{near} near-duplicates of others"]
    told += [f"{count} the same as others under another id"] if (count := copies(rows, found.digests)) else []
    told += [f"{count} through links out of the folder"] if (count := linked(pictures)) else []
    told += [f"{count} unreadable"] if (count := len(once) - len(readable)) else []
    return ", ".join(told)
