"""The boxes that the runs of a study share: detectors are trained once, and every kind of boxes is written once."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pipeline.commands.boxes import boxes
from pipeline.commands.train_detector import train_detector
from pipeline.commands.train_keypoints import train_keypoints
from pipeline.contract.box_kinds import OUT_OF_FOLD, TWO_PASS, boxes_file
from pipeline.contract.faults import BusyError
from pipeline.contract.files import WAIT_S, when_free
from pipeline.data.fold_file import FOLDS
from pipeline.lab.ablation.settings import of_boxes, refuse_others
from pipeline.runs.claims import completed
from pipeline.runs.json_files import read_json
from pipeline.settings import Settings


def make_boxes(settings: Settings, data: Sequence[Path], run: Path, folder: Path, limit: int) -> None:
    """Train a detector a fold into `folder`, and write their boxes, unless that is done; processes share the folds.

    The folds are those of the study's run folder `run`.
    """
    record = folder / "boxes.json"
    if record.exists():
        made = completed(read_json(record).get("settings"), asdict(Settings()))
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


def make_beside(settings: Settings, kinds: Sequence[str], data: Sequence[Path], folder: Path, limit: int) -> None:
    """Write boxes of these kinds beside `folder`/boxes.csv, unless they are there.

    A first pass is that of keypoint networks of `settings`, trained for it on boxes out of fold.
    """
    for kind in kinds:
        if boxes_file(folder / "boxes.csv", kind).with_suffix(".json").exists():
            continue
        if kind == TWO_PASS:
            for fold in range(settings.folds):
                when_free(partial(_first_pass, settings, data, folder, limit, fold))
        when_free(partial(boxes, settings, data, folder, limit, kind))


def _first_pass(settings: Settings, data: Sequence[Path], folder: Path, limit: int, fold: int) -> None:
    """Train the keypoint network that makes a first pass over a fold."""
    crop = replace(settings.keypoints.crop, train_boxes=OUT_OF_FOLD, val_boxes=OUT_OF_FOLD)
    own = replace(settings, keypoints=replace(settings.keypoints, crop=crop, without_fold=fold))
    train_keypoints(own, data, folder, limit, name=f"fold{fold}")
