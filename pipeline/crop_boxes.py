"""What the second stage's crops are cut around: predicted, true and whole-image boxes.

With `assemble` and `views` the modules that import both stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detector.data import true_boxes
from detector.inference import NetworkDetector
from detector.out_of_fold import refuse_seen, refuse_unseen
from keypoints.config import KeypointsConfig
from keypoints.data import TrainingBoxes, match_boxes
from keypoints.inference import load_locator
from pipeline.contract.box_kinds import IMAGE, OUT_OF_FOLD, TRUTH
from pipeline.contract.faults import UserError
from pipeline.contract.formats.boxes import read_boxes
from pipeline.contract.images import PictureOptions
from pipeline.contract.protocols import BoxSource
from pipeline.contract.records import Annotation, Detection
from pipeline.contract.schema import Schema
from pipeline.data.select import RowSet
from pipeline.data.survey import image_sizes
from pipeline.engine.box_sources import GivenBoxes, SourceParts, build_source
from pipeline.engine.inference import Device, Inference, InferenceResult
from pipeline.engine.refinement import refined

Predicted = Mapping[str, Sequence[Detection]]
"""Boxes from files, by their name in `contract.mixture`; those out of fold are always among them."""


def read_matched(file: Path, rows: Sequence[Annotation], schema: Schema) -> list[Detection]:
    """Read a file of boxes and return each row's; raises DataError, which names the file, where rows have none."""
    return match_boxes(rows, read_boxes(file, schema), file=file)


def boxes_to_crop(
    kind: str, rows: Sequence[Annotation], sizes_wh: np.ndarray, predicted: Predicted, margin: float
) -> list[Detection]:
    """Return each row's box of a kind, with the fold of its box out of fold; true boxes get the detector's `margin`.

    sizes_wh (N, 2) are those of the rows' pictures. Raises DataError when rows have no box.
    """
    matched = match_boxes(rows, predicted[OUT_OF_FOLD])
    if kind == OUT_OF_FOLD:
        return matched
    if kind == TRUTH:
        boxes = true_boxes(rows, torch.tensor(sizes_wh), margin).numpy()
    elif kind == IMAGE:
        boxes = np.concatenate([np.zeros_like(sizes_wh), sizes_wh], 1).astype(float)
    else:
        boxes = [box.box for box in match_boxes(rows, predicted[kind])]
    return [replace(one, box=box) for one, box in zip(matched, boxes, strict=True)]


def training_boxes(
    config: KeypointsConfig, rows: Sequence[Annotation], sizes_wh: np.ndarray, predicted: Predicted, margin: float
) -> tuple[list[Detection], TrainingBoxes]:
    """Return the boxes that the network of these settings is watched in, and those that it learns on, both by row."""
    crop = config.crop
    match_boxes(rows, predicted[OUT_OF_FOLD], config.without_fold)  # refuse first what a training would refuse
    watched = boxes_to_crop(crop.watched, rows, sizes_wh, predicted, margin)
    kinds = [boxes_to_crop(kind, rows, sizes_wh, predicted, margin) for kind in crop.mixture]
    boxes = np.stack([[one.box for one in kind] for kind in kinds])
    return watched, TrainingBoxes(torch.tensor(boxes, dtype=torch.float32), torch.tensor([*crop.mixture.values()]))


def as_shown(
    rows: Sequence[Annotation], boxes: Sequence[Detection], config: KeypointsConfig, pictures: PictureOptions
) -> list[Detection]:
    """Return these boxes, one a row, or the whole images where the network of these settings is shown nothing else."""
    kind = IMAGE if config.crop.source == IMAGE else OUT_OF_FOLD
    sizes_wh = image_sizes(rows, pictures) if kind == IMAGE else np.zeros((len(rows), 2))
    return boxes_to_crop(kind, rows, sizes_wh, {OUT_OF_FOLD: boxes}, 0.0)


def box_source(
    name: str, detector: NetworkDetector, sizes_wh: np.ndarray, truth: Sequence[Annotation] | None
) -> BoxSource:
    """Return what gives the crops, by its name in `inference.box_sources`; true boxes get the detector's margin.

    sizes_wh (N, 2) are those of the pictures, `truth` their answers.
    """
    boxes = None
    if name == "truth":
        if truth is None:
            raise UserError("boxes from the truth need --answers")
        boxes = true_boxes(truth, torch.tensor(sizes_wh), detector.margin)
    return build_source(name, SourceParts(detector, detector.fallback_score, boxes=boxes))


def predict_fold(
    chosen: RowSet,
    detector: NetworkDetector,
    fold: int,
    schema: Schema,
    device: Device,
    shards: Path,
    pictures: PictureOptions | None = None,
    seen: bool = False,
) -> InferenceResult:
    """Predict the boxes of the rows of a fold as `submit` predicts those of test images; finished `shards` are kept.

    Raises UserError when the detector saw one of the rows; with `seen`, for boxes in sample, when it did not see them all.
    """
    (refuse_unseen if seen else refuse_seen)(chosen.rows, detector, fold)
    source = box_source("detector", detector, chosen.sizes_wh, None)
    inference = Inference(source, None, schema, device, pictures or PictureOptions())
    return inference.run(chosen, shards).made_by(detector.name, -1 if seen else fold)


def predict_around_points(
    chosen: RowSet,
    first: Tensor,
    network: Path,
    fold: int,
    schema: Schema,
    margin: float,
    device: Device,
    shards: Path,
    pictures: PictureOptions | None = None,
) -> InferenceResult:
    """Predict the boxes that a keypoint network's points in boxes `first` (N, 4) span, of rows of the fold that it left out.

    Raises UserError for a network that did not leave the fold out.
    """
    locator = load_locator(network, schema)
    if locator.without_fold != fold:
        raise UserError(
            f"{network} left out fold {locator.without_fold} (-1: none); expected one that was trained with "
            f"--keypoints.without_fold {fold}, since its points on images that it has seen would be too good"
        )
    source = refined(1, GivenBoxes(first, origin="detector"), locator, schema, margin)
    inference = Inference(source, None, schema, device, pictures or PictureOptions())
    return inference.run(chosen, shards).made_by(network.stem, fold)
