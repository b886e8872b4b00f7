"""The verb between the stages: the boxes of the training images, by networks that had, or had not, seen them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from detector.evaluate import detector_report, unlabelled_report
from detector.inference import load_detector
from pipeline import crop_boxes
from pipeline.contract.box_kinds import IN_SAMPLE, OUT_OF_FOLD, TWO_PASS, beside, boxes_file
from pipeline.contract.faults import UserError
from pipeline.contract.files import alone, file_hash
from pipeline.contract.formats.boxes import write_boxes
from pipeline.contract.formats.every_garment import read_every_garment
from pipeline.contract.records import EveryGarment
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.select import RowSet, TrainingSet, load_training_set
from pipeline.engine.inference import Device, InferenceResult
from pipeline.engine.validation import VAL_FOLD
from pipeline.learning import ranks
from pipeline.runs.claims import refuse_another_make, refuse_other_settings
from pipeline.runs.json_files import read_json
from pipeline.runs.steps import REMEDY, beside_data, inputs_of, recorded
from pipeline.settings import Settings, claimed, unsaid

TITLES = {OUT_OF_FOLD: "boxes out of fold", IN_SAMPLE: "boxes in sample", TWO_PASS: "boxes of a second pass"}
AGAIN = "train it again: remove it, or choose another run folder"


@dataclass(frozen=True)
class _Step:
    """What is predicted, and where."""

    settings: Settings
    schema: Schema
    training_set: TrainingSet
    run: Path
    kind: str
    every: Mapping[str, Sequence[EveryGarment]]

    @property
    def shards(self) -> Path:
        return self.run / "detector" / boxes_file(Path("boxes"), self.kind)

    @property
    def device(self) -> Device:
        return Device.of(self.settings.detector.train)


FoldInference = Callable[[RowSet, np.ndarray, int], InferenceResult]
"""Predicts the rows of a fold, given as such, by their positions and by the fold's number."""


def boxes(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    source: Literal["out_of_fold", "in_sample", "two_pass"] = "out_of_fold",
) -> None:
    """Predict the boxes of the training images, each by the detector that has not seen it, into RUN/boxes.csv.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
        source: for comparisons, in_sample takes the detector of the next fold, which has seen the image, and two_pass the
            points that RUN/keypoints/foldK, trained without fold K, finds in the boxes out of fold; they go beside
            boxes.csv, as boxes_in_sample.csv and boxes_two_pass.csv
    """
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    step = _Step(settings, schema, training_set, run, source, read_every_garment(data, schema))
    predict_fold, inputs = (_by_points if source == TWO_PASS else _by_detectors)(step)
    out = boxes_file(run / "boxes.csv", source)
    rows, chosen, found = training_set.rows, [None] * len(training_set.rows), [None] * len(training_set.rows)
    writing = alone(out, REMEDY, enabled=ranks.is_zero())
    resumed = any(step.shards.glob("*/*.jsonl"))
    with writing, recorded(out, settings, data, inputs_of(training_set) | inputs, resumed) as record:
        folds = [np.flatnonzero(training_set.folds == fold) for fold in range(settings.folds)]
        steps = (partial(predict_fold, training_set.take(own), own, fold) for fold, own in enumerate(folds))
        for members, result in zip(folds, ranks.in_turn(steps), strict=True):
            for i, box, one in zip(members, result.boxes, result.found, strict=True):
                chosen[i], found[i] = box, one
        val, every = np.flatnonzero(training_set.folds == VAL_FOLD), np.arange(len(rows))
        record["figures"] = {
            "val": _figures(step, val, chosen, found),
            # Those of two passes are out of fold as well: tables look for that name.
            IN_SAMPLE if source == IN_SAMPLE else OUT_OF_FOLD: _figures(step, every, chosen, found),
        }
        write_boxes(out, chosen)
    print_figures(TITLES[source], list(record["figures"].values())[-1])


def _by_detectors(step: _Step) -> tuple[FoldInference, dict[str, str]]:
    """Return what predicts a fold by a detector, and the inputs by hash. In sample, it is that of the next fold."""
    folder, folds, seen = step.run / "detector", step.settings.folds, step.kind == IN_SAMPLE
    checkpoints = {fold: folder / f"fold{fold}.safetensors" for fold in range(folds)}
    for checkpoint in checkpoints.values():
        refuse_another_make(checkpoint, inputs_of(step.training_set), AGAIN)
    record = checkpoints[0].with_suffix(".json")
    further = beside_data(read_json(record).get("inputs")) if record.exists() else {}
    settings = claimed(step.settings, step.training_set, step.schema, "detector")
    refuse_other_settings(folder, settings | further, unsaid("detector"))

    def predict_fold(own: RowSet, members: np.ndarray, fold: int) -> InferenceResult:
        checkpoint = checkpoints[(fold + 1) % folds if seen else fold]
        detector = load_detector(checkpoint, step.schema, with_ids=True)
        place, pictures = step.shards / f"fold{fold}", step.settings.pictures
        return crop_boxes.predict_fold(own, detector, fold, step.schema, step.device, place, pictures, seen)

    return predict_fold, {file.stem: file_hash(file) for file in checkpoints.values()}


def _by_points(step: _Step) -> tuple[FoldInference, dict[str, str]]:
    """Return what predicts a fold by the points of a first pass, and the inputs by hash."""
    networks = {fold: step.run / "keypoints" / f"fold{fold}.safetensors" for fold in range(step.settings.folds)}
    missing = [file for file in networks.values() if not file.exists()]
    if missing:
        fold = missing[0].stem.removeprefix("fold")
        raise UserError(
            f"{missing[0]}: missing, the keypoint network that makes a first pass over fold {fold}; train it: "
            f"train-keypoints --name fold{fold} --keypoints.without_fold {fold}"
        )
    first = step.run / "boxes.csv"
    for file in (first, *networks.values()):
        refuse_another_make(file, inputs_of(step.training_set), AGAIN)
    matched = crop_boxes.read_matched(first, step.training_set.rows, step.schema)
    given = torch.tensor(np.stack([box.box for box in matched]), dtype=torch.float32)

    def predict_fold(own: RowSet, members: np.ndarray, fold: int) -> InferenceResult:
        margin, place, pictures = step.settings.detector.margin, step.shards / f"fold{fold}", step.settings.pictures
        return crop_boxes.predict_around_points(
            own, given[members], networks[fold], fold, step.schema, margin, step.device, place, pictures
        )

    return predict_fold, {"boxes": file_hash(first)} | {file.stem: file_hash(file) for file in networks.values()}


def _figures(step: _Step, members: np.ndarray, chosen: Sequence[Any], found: Sequence[Any]) -> dict[str, float]:
    of, settings = step.training_set.take(members), step.settings
    own, seen = [chosen[i] for i in members], None if step.kind == TWO_PASS else [found[i] for i in members]
    margin, padding = settings.detector.margin, settings.keypoints.crop.padding
    figures = detector_report(of.rows, of.sizes_wh, own, seen, step.schema, margin, padding)
    if seen is not None and all(row.image_id in step.every for row in of.rows):
        every = [step.every[row.image_id] for row in of.rows]
        figures |= unlabelled_report(of.sizes_wh, seen, every, step.schema, margin)
    return figures


def print_figures(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def read_predicted(
    file: Path, settings: Settings, training_set: TrainingSet, schema: Schema
) -> tuple[crop_boxes.Predicted, dict[str, str]]:
    """Read the boxes that these settings train on: `file`, those out of fold, and others that lie beside it.

    Returns them by name, a box a row, and the hash of each file. Raises UserError for one that is not there, or is of another
    make, and DataError for one that has no box of a row.
    """
    present = _present(file.parent / "detector", settings.folds)
    predicted, hashes = {}, {}
    for kind, own in kinds_of(file, settings.keypoints.crop).items():
        made_from = {} if kind == TWO_PASS else present
        remedy = "write it again with the boxes command, or name other --boxes"
        refuse_another_make(own, inputs_of(training_set) | made_from, remedy)
        predicted[kind] = crop_boxes.read_matched(own, training_set.rows, schema)
        hashes[input_name(kind)] = file_hash(own)
    return predicted, hashes


def kinds_used(crop: Any) -> list[str]:
    """Return the kinds of boxes that these settings of crops read from a file; those out of fold come first."""
    return [OUT_OF_FOLD, *beside([*crop.mixture, crop.watched])]


def input_name(kind: str) -> str:
    """Return what records call the file of a kind of boxes."""
    return boxes_file(Path("boxes"), kind).name


def kinds_of(file: Path, crop: Any) -> dict[str, Path]:
    """Return the files, by kind, of the boxes that these settings of crops train on, beside `file`, those out of fold.

    Raises UserError for one that is not there.
    """
    kinds = {kind: boxes_file(file, kind) for kind in kinds_used(crop)}
    for kind, own in kinds.items():
        if kind != OUT_OF_FOLD and not own.exists():
            raise UserError(f"{own}: not there yet; write it with the boxes command, --source {kind}")
    return kinds


def _present(folder: Path, folds: int) -> dict[str, str]:
    """Return the hash of each fold's detector that is there; published boxes come without theirs."""
    files = [folder / f"fold{fold}.safetensors" for fold in range(folds)]
    return {file.stem: file_hash(file) for file in files if file.exists()}
