"""The verb between the stages: the boxes of the training images, by detectors that had not seen them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.detector.evaluate import detector_report, unlabelled_report
from garment_keypoints.detector.inference import NetworkDetector, load_detector
from garment_keypoints.pipeline.contract.box_kinds import OUT_OF_FOLD
from garment_keypoints.pipeline.contract.boxes import BoxTable, read_matched
from garment_keypoints.pipeline.contract.files import alone, file_hash
from garment_keypoints.pipeline.contract.formats.boxes import MARGIN, write_boxes
from garment_keypoints.pipeline.contract.formats.every_garment import read_every_garment
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import EveryGarment
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet, TrainingSet, load_training_set
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.fold_boxes import predict_fold
from garment_keypoints.pipeline.engine.inference import InferenceResult
from garment_keypoints.pipeline.engine.validation import VAL_FOLD
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.claims import refuse_another_make, refuse_other_settings
from garment_keypoints.pipeline.runs.json_files import read_json
from garment_keypoints.pipeline.runs.steps import REMEDY, beside_data, inputs_of, recorded
from garment_keypoints.pipeline.settings import Settings, as_now, claimed

AGAIN = "train it again: remove it, or choose another run folder"
FoldPrediction = Callable[[RowSet, NetworkDetector, int, Schema, Device, Path, PictureOptions | None], InferenceResult]
"""Predicts the rows of a fold by a detector; as `engine.fold_boxes.predict_fold`."""


@dataclass(frozen=True)
class FoldBoxes:
    """Boxes of all training rows, fold by fold: by the detector of the fold that is `shift` further, in a way of predicting.

    `name` is what the file, RUN/NAME.csv, and its shards are called, `kind` what they are in the record.
    """

    name: str
    kind: str
    title: str
    shift: int
    predict: FoldPrediction


@dataclass(frozen=True)
class _Step:
    """What is predicted, and of what."""

    settings: Settings
    schema: Schema
    training_set: TrainingSet
    run: Path
    every: Mapping[str, Sequence[EveryGarment]]


def boxes(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Predict the boxes of the training images, each by the detector that has not seen it, into RUN/boxes.csv.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
    """
    write_fold_boxes(settings, data, run, limit, FoldBoxes("boxes", OUT_OF_FOLD, "boxes out of fold", 0, predict_fold))


def write_fold_boxes(settings: Settings, data: Sequence[Path], run: Path, limit: int, made: FoldBoxes) -> None:
    """Predict the boxes of every fold into RUN/NAME.csv, with a record of what they come from and how good they are."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    step = _Step(settings, schema, training_set, run, read_every_garment(data, schema))
    checkpoints = _checkpoints(step)
    inputs = inputs_of(training_set) | {file.stem: file_hash(file) for file in checkpoints}
    out, shards = run / f"{made.name}.csv", run / "detector" / made.name
    chosen, found = [None] * len(training_set.rows), [None] * len(training_set.rows)
    writing = alone(out, REMEDY, enabled=ranks.is_zero())
    with writing, recorded(out, settings, data, inputs, any(shards.glob("*/*.jsonl"))) as record:
        record[MARGIN] = margin = load_detector(checkpoints[0], schema).margin
        folds = [np.flatnonzero(training_set.folds == fold) for fold in range(settings.folds)]
        steps = (partial(_predict, step, made, checkpoints, own, fold) for fold, own in enumerate(folds))
        for members, result in zip(folds, ranks.in_turn(steps), strict=True):
            for i, box, one in zip(members, result.boxes, result.found, strict=True):
                chosen[i], found[i] = box, one
        table = BoxTable.of(chosen)
        parts = {"val": training_set.folds == VAL_FOLD, made.kind: training_set.folds >= 0}
        record["figures"] = {
            name: _figures(step, np.flatnonzero(these), table, found, margin) for name, these in parts.items()
        }
        write_boxes(out, chosen)
    print_figures(made.title, record["figures"][made.kind])


def _predict(
    step: _Step, made: FoldBoxes, checkpoints: Sequence[Path], members: np.ndarray, fold: int
) -> InferenceResult:
    """Predict a fold, the rows `members`, by the detector of the fold that is made.shift further."""
    detector = load_detector(checkpoints[(fold + made.shift) % len(checkpoints)], step.schema, with_ids=True)
    device, place = Device.of(step.settings.detector.train), step.run / "detector" / made.name / f"fold{fold}"
    own, pictures = step.training_set.take(members), step.settings.pictures
    return made.predict(own, detector, fold, step.schema, device, place, pictures)


def _checkpoints(step: _Step) -> list[Path]:
    """Return the detector of each fold; raise UserError for one of another make."""
    folder = step.run / "detector"
    checkpoints = [folder / f"fold{fold}.safetensors" for fold in range(step.settings.folds)]
    for checkpoint in checkpoints:
        refuse_another_make(checkpoint, inputs_of(step.training_set), AGAIN)
    record = checkpoints[0].with_suffix(".json")
    further = beside_data(read_json(record).get("inputs")) if record.exists() else {}
    settings = claimed(step.settings, step.training_set, step.schema, "detector")
    refuse_other_settings(folder, settings | further, as_now("detector"))
    return checkpoints


def _figures(
    step: _Step, members: np.ndarray, table: BoxTable, found: Sequence[Any], margin: float
) -> dict[str, float]:
    of, seen, padding = (
        step.training_set.take(members),
        [found[i] for i in members],
        step.settings.keypoints.crop.padding,
    )
    figures = detector_report(of.rows, of.sizes_wh, table.take(members), seen, step.schema, margin, padding)
    if all(row.image_id in step.every for row in of.rows):
        every = [step.every[row.image_id] for row in of.rows]
        figures |= unlabelled_report(of.sizes_wh, seen, every, step.schema, margin)
    return figures


def print_figures(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def checked_boxes(file: Path, settings: Settings, training_set: TrainingSet, schema: Schema) -> BoxTable:
    """Read the boxes that these settings train on, a box a row.

    Raises UserError for a file that is of another make than what is there, and DataError for one that has no box of a row.
    """
    made_from = inputs_of(training_set) | _present(file.parent / "detector", settings.folds)
    refuse_another_make(file, made_from, "write it again with the boxes command, or name other --boxes")
    return read_matched(file, training_set.rows, schema)


def _present(folder: Path, folds: int) -> dict[str, str]:
    """Return the hash of each fold's detector that is there; published boxes come without theirs."""
    files = [folder / f"fold{fold}.safetensors" for fold in range(folds)]
    return {file.stem: file_hash(file) for file in files if file.exists()}
