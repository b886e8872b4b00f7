"""The boxes that the runs of an ablation share: detectors are trained once, and every kind of boxes is written once."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.detector.out_of_fold import train_ids
from garment_keypoints.pipeline.commands.boxes import FoldBoxes, boxes, write_fold_boxes
from garment_keypoints.pipeline.commands.train_detector import train_detector
from garment_keypoints.pipeline.contract.faults import BusyError, UserError
from garment_keypoints.pipeline.contract.files import WAIT_S, when_free
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.fold_file import FOLDS
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.fold_boxes import predict_boxes
from garment_keypoints.pipeline.engine.inference import InferenceResult
from garment_keypoints.pipeline.lab.ablation.definition import IN_SAMPLE
from garment_keypoints.pipeline.lab.ablation.settings import of_boxes, refuse_others
from garment_keypoints.pipeline.runs.json_files import read_json
from garment_keypoints.pipeline.settings import Settings, record_as_now


def make_boxes(settings: Settings, data: Sequence[Path], run: Path, folder: Path, limit: int) -> None:
    """Train a detector a fold into `folder`, and write their boxes, unless that is done; processes share the folds.

    The folds are those of the ablation's run folder `run`.
    """
    record = folder / "boxes.json"
    if record.exists():
        made = record_as_now(read_json(record).get("settings"))
        refuse_others(record, of_boxes(made), of_boxes(asdict(settings)))
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FOLDS).exists():
        shutil.copyfile(run / FOLDS, folder / FOLDS)  # the pictures have been looked at
    left = [f"fold{fold}" for fold in range(settings.folds)]
    while left:
        name = left.pop(0)
        try:
            train_detector(settings, data, folder, limit, only=name)
        except BusyError:
            left.append(name)
            time.sleep(WAIT_S)
    when_free(lambda: record.exists() or boxes(settings, data, folder, limit))


def in_sample(file: Path) -> Path:
    """Return where boxes in sample lie: beside the `file` of those out of fold."""
    return file.with_name(f"{file.stem}_{IN_SAMPLE}{file.suffix}")


def make_in_sample(settings: Settings, data: Sequence[Path], folder: Path, limit: int) -> None:
    """Write boxes in sample, by the detector of the next fold, beside `folder`/boxes.csv, unless they are there."""
    file = in_sample(folder / "boxes.csv")
    made = FoldBoxes(file.stem, IN_SAMPLE, "boxes in sample", 1, _predict_seen)
    when_free(lambda: file.with_suffix(".json").exists() or write_fold_boxes(settings, data, folder, limit, made))


def _predict_seen(
    chosen: RowSet,
    detector: NetworkDetector,
    fold: int,
    schema: Schema,
    device: Device,
    shards: Path,
    pictures: PictureOptions | None,
) -> InferenceResult:
    """Predict the rows of a fold, as `engine.fold_boxes.predict_fold` does, by a detector that has seen all of them."""
    known = train_ids(detector)
    unseen = [row.image_id for row in chosen.rows if row.image_id not in known]
    if unseen:
        raise UserError(
            f"checkpoint {detector.name} has not seen {len(unseen)} of the {len(chosen.rows)} images of fold {fold}, first "
            f"{unseen[0]}; their boxes would not be in sample. Use a checkpoint that was trained on fold {fold}"
        )
    return predict_boxes(chosen, detector, schema, device, shards, pictures)
