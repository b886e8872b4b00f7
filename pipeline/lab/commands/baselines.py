"""The verb that scores constant answers: what a network must beat to have seen anything."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.box_kinds import true_boxes
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, refuse_foreign
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.records import VISIBLE, Annotation
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.survey import image_sizes
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import measured, provenance

log = logging.getLogger("garment_keypoints")
FRAMES = {
    "pixels": "pixels of the image",
    "image": "fractions of the image's sides",
    "box": "fractions of the true box's sides",
    "crop": "fractions of the side of the square crop of the true box",
}
CENTRES: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "median": np.median}


@alone_at_out
def baselines(
    data: Sequence[Path],
    test: Path,
    answers: Path,
    out: Path,
    margin: float = 0.05,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> None:
    """Score constant answers: each point of a category always where it is in training, on the mean and in the median.

    Args:
        data: train roots
        test: folder with test.csv and Images/
        answers: its answers
        out: JSON file of the figures
        margin: true boxes are the extents of the points, grown on each side by this fraction
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
    """
    refuse_foreign(out, lambda file: holds(file, "provenance", "baselines"), "what it wrote", "choose another --out")
    loaded, reader = load_schema(schema), find_layout(layout)
    train = [row for row in reader.read_annotations(data, loaded) if row.present.any()]
    rows = {row.key: row for row in reader.read_test(test, loaded)}
    asked = [answer for answer in reader.read_answers(answers, loaded) if answer.key in rows]
    if not train or not asked:
        raise UserError(f"{answers if train else data[0]}: nothing to score with; expected rows with points")
    record: dict[str, Any] = {"provenance": provenance(), "answers": file_hash(answers)[:16], "images": len(asked)}
    with measured(record):
        frames = _frames(train, image_sizes(train), margin)
        back = _frames(asked, image_sizes([rows[answer.key] for answer in asked]), margin)
        record["baselines"] = [
            {
                "frame": FRAMES[frame],
                "centre": centre,
                "ne": _score(train, frames[frame], asked, back[frame], loaded, of),
            }
            for frame in FRAMES
            for centre, of in CENTRES.items()
        ]
    write_json(out, record)
    for one in record["baselines"]:
        log.info("NE %.1f %% of the %s, in %s", one["ne"], one["centre"], one["frame"])


def _frames(rows: Sequence[Annotation], sizes_wh: np.ndarray, margin: float) -> dict[str, np.ndarray]:
    """Return the rectangles (N, 4) xyxy in image pixels that are the unit square of each frame."""
    boxes = true_boxes(rows, torch.tensor(sizes_wh), margin)
    whole = np.concatenate([np.zeros_like(sizes_wh), sizes_wh], 1).astype(np.float64)
    return {
        "pixels": np.tile([0.0, 0.0, 1.0, 1.0], (len(rows), 1)),
        "image": whole,
        "box": boxes.numpy(),
        "crop": geometry.square_box(boxes).numpy(),
    }


def _score(
    train: Sequence[Annotation],
    frames: np.ndarray,
    asked: Sequence[Annotation],
    back: np.ndarray,
    schema: Schema,
    of: Callable[..., np.ndarray],
) -> float:
    """Return the NE in percent of the constants that `of` makes of the training points in their frames (N, 4)."""
    xy = np.stack([row.xy for row in train])
    seen = np.stack([row.visibility for row in train]) == VISIBLE  # NE counts visible points alone
    inside = (xy - frames[:, None, :2]) / (frames[:, None, 2:] - frames[:, None, :2])
    category = np.array([schema.category_index(row.category) for row in train])
    constants = np.full((len(schema.categories), *xy.shape[1:]), np.nan)
    for c, k in zip(*np.nonzero(schema.mask.numpy()), strict=True):
        counted = (category == c) & seen[:, k]
        if counted.any():
            constants[c, k] = of(inside[counted, k], axis=0)
    chosen = constants[[schema.category_index(row.category) for row in asked]]
    points = back[:, None, :2] + chosen * (back[:, None, 2:] - back[:, None, :2])
    given = np.isfinite(points).all(-1)
    return round(100 * normalized_error(asked, np.where(given[..., None], points, 0.0), given, schema).value, 3)
