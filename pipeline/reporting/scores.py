"""Scores of a submission file, for people and for records."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.formats.submission import read_submission
from garment_keypoints.pipeline.contract.metrics import PCK_THRESHOLDS, NormalizedError, normalized_error, pck
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.compare import lacking, other_categories, other_category
from garment_keypoints.pipeline.data.survey import far_points, image_sizes

log = logging.getLogger("garment_keypoints")


def score(file: Path, answers: Sequence[Annotation], schema: Schema, variant: str = "default") -> NormalizedError:
    """Score a submission file against answers, as anyone else would: from the file. Raises DataError for other categories."""
    predictions = read_submission(file, schema)
    unknown = len(predictions.keys() - {answer.key for answer in answers})
    if unknown == len(predictions):
        raise UserError(
            f"{file}: none of its {unknown} images is in the answers; is it the submission of another test?"
        )
    if unknown:
        log.warning("%s: %d of its images are not in the answers and do not count", file, unknown)
    found = [predictions.get(answer.key) for answer in answers]
    pairs = list(zip(answers, found, strict=True))
    faults = [f for answer, one in pairs if one and (f := other_category(answer, one.category, str(file), one.csv_row))]
    if faults:
        raise DataError(faults)
    nothing = np.zeros((len(schema.keypoints), 2)), np.zeros(len(schema.keypoints), dtype=bool)
    xy, given = zip(*[(one.xy, one.given) if one else nothing for one in found], strict=True)
    return normalized_error(answers, np.stack(xy), np.stack(given), schema, variant)


def score_lines(result: NormalizedError, variant: str) -> list[str]:
    """Describe a score: by category, by keypoint, PCK, and in the last line the whole."""
    lines = ["by category"]
    lines += [f"  {name:16s} {100 * value:7.3f} %" for name, value in result.by_category.items() if value is not None]
    lines.append("by keypoint")
    lines += [f"  {name:16s} {100 * value:7.3f} %" for name, value in result.by_keypoint.items() if value is not None]
    lines.append("points within a share of the normaliser")
    lines += [f"  PCK@{threshold:<12g} {100 * pck(result.errors, threshold):7.3f} %" for threshold in PCK_THRESHOLDS]
    if result.missing:
        lines.append(f"{result.missing} predictions are missing and cost {100:.0f} % each")
    counts = f"variant {variant}, {result.points} points, {result.skipped} images skipped"
    return [*lines, f"NE {100 * result.value:.3f} % ({counts})"]


def score_figures(result: NormalizedError, variant: str) -> dict[str, Any]:
    """Return a score as plain values, in percent."""
    return {
        "variant": variant,
        "ne": 100 * result.value,
        "pck": {f"{threshold:g}": 100 * pck(result.errors, threshold) for threshold in PCK_THRESHOLDS},
        "points": result.points,
        "images_skipped": result.skipped,
        "points_missing": result.missing,
        "by_category": {name: None if v is None else 100 * v for name, v in result.by_category.items()},
        "by_keypoint": {name: None if v is None else 100 * v for name, v in result.by_keypoint.items()},
    }


def answers_of(
    rows: Sequence[ImageRow],
    file: Path,
    schema: Schema,
    layout: str = "fashionai",
    sizes_wh: np.ndarray | None = None,
) -> list[Annotation]:
    """Return the answer of each row, with the row's picture, in their order.

    sizes_wh (N, 2) of the rows' pictures are read from them where they are not given; 0 is one that cannot be read.

    Raises DataError, before anything is predicted, for rows without an answer, for answers of another category and for
    points far outside their picture; UserError when nothing in the answers can be scored.
    """
    answers = find_layout(layout).read_answers(file, schema)
    by_key = {answer.key: answer for answer in answers}
    found = [replace(by_key[row.key], path=row.path) for row in rows if row.key in by_key]
    faults = lacking(rows, by_key, file) + other_categories(rows, by_key)
    if not faults:
        pairs = zip(found, image_sizes(rows) if sizes_wh is None else sizes_wh, strict=True)
        faults = [fault for answer, size_wh in pairs if size_wh.any() for fault in far_points(answer, size_wh)]
    if faults:
        raise DataError(faults)
    nothing = np.zeros((len(found), len(schema.keypoints), 2))
    try:
        normalized_error(found, nothing, nothing[..., 0] > 0, schema)
    except UserError as error:
        raise UserError(f"{file}: {error}; nothing of these {len(found)} images could be scored") from None
    return found
