"""Verbs that train, and the boxes in between: what is there already is kept, what was interrupted goes on."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import assemble
from pipeline.assemble import Settings
from pipeline.commands.validation import VAL_FOLD, score_on_val
from pipeline.contract.faults import UserError
from pipeline.contract.files import alone, file_hash
from pipeline.contract.formats.boxes import read_boxes, write_boxes
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.select import RowSet, TrainingSet, load_boxed, load_training_set
from pipeline.inference.predict import Device
from pipeline.learning import ranks
from pipeline.reporting.records import (
    claim,
    measured,
    provenance,
    read_json,
    refuse_another_make,
    refuse_other_settings,
    write_json,
)

log = logging.getLogger("pipeline")
FINAL, VAL, BOXED = "final", "val", "boxed"
PLACE = ("accelerator", "devices", "num_nodes", "strategy", "workers", "save_every")
"""Settings of a training that say where it runs, and decide nothing about its weights."""
REMEDY = "choose another run folder (RUN=)"


def train_detector(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    only: str = "",
    boxed: Path | None = None,
    photos: Path | None = None,
) -> None:
    """Train stage 1: one detector a fold, and the final one on everything; those that are there already are kept.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
        only: train just this one, such as fold0 or final
        boxed: garments without points that every detector learns from too: a CSV of image_id,category,x0,y0,x1,y1
        photos: folder of the photos of --boxed
    """
    names = [*(f"fold{k}" for k in range(settings.folds)), FINAL]
    if only and only not in names:
        raise UserError(f"--only is {only!r}; expected one of {', '.join(names)}")
    schema = load_schema(settings.schema)
    assemble.check_detector(schema, settings.detector)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    folder = run / "detector"
    inputs, further = inputs_of(training_set), _further(boxed, photos, schema, limit, settings)
    if further is not None:
        inputs[BOXED] = further.fingerprint
    claim(folder, _claimed(settings, training_set, schema, asdict(settings.detector)) | _boxed_of(inputs))
    for name in [only] if only else names:
        out = folder / f"{name}.safetensors"
        fold = None if name == FINAL else int(name.removeprefix("fold"))
        rows = [row for row, f in zip(training_set.rows, training_set.folds, strict=True) if f != fold]
        with alone(out, REMEDY, enabled=ranks.is_zero()):
            if kept(out):
                continue
            with recorded(out, settings, data, inputs, assemble.interrupted(out)):
                assemble.train_detector(
                    rows, schema, settings.detector, out, fold, settings.pictures, further.rows if further else ()
                )


def boxes(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Predict the boxes of the training images, each by the detector of its fold, into RUN/boxes.csv.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
    """
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    rows, folds = training_set.rows, training_set.folds
    chosen: list[Any] = [None] * len(rows)
    found: list[Any] = [None] * len(rows)
    shards, device = run / "detector" / "boxes", Device.of(settings.detector.train)
    checkpoints = {fold: run / "detector" / f"fold{fold}.safetensors" for fold in range(settings.folds)}
    for checkpoint in checkpoints.values():
        refuse_another_make(
            checkpoint, inputs_of(training_set), "train it again: remove it, or choose another run folder"
        )
    record = checkpoints[0].with_suffix(".json")
    further = _boxed_of(read_json(record).get("inputs")) if record.exists() else {}
    claimed = _claimed(settings, training_set, schema, asdict(settings.detector)) | further
    refuse_other_settings(run / "detector", claimed)
    inputs = inputs_of(training_set) | {file.stem: file_hash(file) for file in checkpoints.values()}
    out = run / "boxes.csv"
    writing = alone(out, REMEDY, enabled=ranks.is_zero())
    with writing, recorded(out, settings, data, inputs, any(shards.glob("*/*.jsonl"))) as record:
        for fold in range(settings.folds):
            detector = assemble.load_detector(checkpoints[fold], schema, with_ids=True)
            members = np.flatnonzero(folds == fold)
            own = training_set.take(members)
            place = shards / f"fold{fold}"
            result = assemble.predict_fold(own, detector, fold, schema, device, place, settings.pictures)
            if result is None:
                continue
            for i, box, one in zip(members, result.boxes, result.found, strict=True):
                chosen[i], found[i] = box, one
        if None in found:
            raise SystemExit(0)  # the first process has the boxes, and writes them
        val = np.flatnonzero(folds == 0)
        record["figures"] = {
            "val": _figures(training_set.take(val), [chosen[i] for i in val], [found[i] for i in val], settings),
            "out_of_fold": _figures(training_set, chosen, found, settings),
        }
        write_boxes(out, chosen)
    print_figures("boxes out of fold", record["figures"]["out_of_fold"])


def train_keypoints(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    boxes: Path | None = None,
    name: str = "",
    val: bool = False,
) -> None:
    """Train stage 2, the keypoint network, on the boxes out of fold.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
        boxes: the boxes to train on; without it RUN/boxes.csv
        name: name of the network in RUN/keypoints; without it final, or val with --val
        val: leave fold 0 out, and score the network on it at the end
    """
    name = name or (VAL if val else FINAL)
    _check_name(name, settings.keypoints.without_fold, val)
    if val:
        settings = replace(settings, keypoints=replace(settings.keypoints, without_fold=VAL_FOLD))
    schema = load_schema(settings.schema)
    assemble.check_keypoints(schema, settings.keypoints)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    file, out = boxes or run / "boxes.csv", run / "keypoints" / f"{name}.safetensors"
    chosen = read_boxes(file, schema)
    remedy = "write it again with the boxes command, or name other --boxes"
    refuse_another_make(file, inputs_of(training_set) | _present(file.parent / "detector", settings.folds), remedy)
    inputs = inputs_of(training_set) | {"boxes": file_hash(file)}
    chosen = assemble.to_crop(training_set.rows, chosen, settings.keypoints, training_set.sizes_wh)
    claim(out.with_suffix(""), _claimed(settings, training_set, schema, asdict(settings.keypoints)) | inputs)
    with alone(out, "choose another --name", enabled=ranks.is_zero()):
        if kept(out):
            return
        with recorded(out, settings, data, inputs, assemble.interrupted(out) or out.exists()) as record:
            if not out.exists():
                assemble.train_keypoints(training_set.rows, chosen, schema, settings.keypoints, out, settings.pictures)
            if val:
                record["figures"] = {"val": score_on_val(training_set, chosen, schema, settings, out)}


@contextmanager
def recorded(
    out: Path, settings: Settings, data: Sequence[Path], inputs: dict[str, str], resumed: bool = False
) -> Iterator[dict[str, Any]]:
    """Write beside `out`, when the step is done, what ran, on what, how long, and with what result.

    Files are named by hash. The time of a resumed step is that of its last part alone; the record says so.
    """
    record: dict[str, Any] = {
        "provenance": provenance(),
        "settings": asdict(settings),
        "data": [Path(root).name for root in data],
        "inputs": inputs,
        "resumed": resumed,
    }
    with measured(record):
        yield record
    if ranks.is_zero():
        record["outputs"] = {out.name: file_hash(out)}
        write_json(out.with_suffix(".json"), record)


def kept(out: Path) -> bool:
    """Tell whether a step is done: its result is there, and the record, which is written last; make sees them as new."""
    record = out.with_suffix(".json")
    if not (out.exists() and record.exists()):
        return False
    read_json(record)  # a damaged one is none
    log.info("%s is there already", out)
    out.touch()
    record.touch()
    return True


def inputs_of(training_set: TrainingSet) -> dict[str, str]:
    return {"annotations": training_set.fingerprint}


def _further(boxed: Path | None, photos: Path | None, schema: Schema, limit: int, settings: Settings) -> RowSet | None:
    """Return the garments without points that a detector learns from beside the rows."""
    if (boxed is None) != (photos is None):
        raise UserError("--boxed and --photos belong together: a CSV of boxes, and the folder of its photos")
    return None if boxed is None else load_boxed(boxed, photos, schema, limit, settings.pictures)


def _boxed_of(inputs: Any) -> dict[str, str]:
    """Return what of a detector's inputs says which garments without points it learned from; empty where there were none."""
    return {BOXED: inputs[BOXED]} if isinstance(inputs, dict) and BOXED in inputs else {}


def _present(folder: Path, folds: int) -> dict[str, str]:
    """Return the hash of each fold's detector that is there; published boxes come without theirs."""
    files = [folder / f"fold{fold}.safetensors" for fold in range(folds)]
    return {file.stem: file_hash(file) for file in files if file.exists()}


def _check_name(name: str, without_fold: int, val: bool) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(f"--name is {name!r}; expected letters, digits, - and _")
    if name == FINAL and (val or without_fold >= 0):
        raise UserError(
            f"{FINAL} is the network that is trained on all folds; leave one out by --val, or under another --name"
        )


def _claimed(settings: Settings, training_set: TrainingSet, schema: Schema, stage: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides about a stage's weights; where it runs does not."""
    return {
        "data": training_set.fingerprint,
        "schema": schema.fingerprint,
        "folds": settings.folds,
        "detail": settings.pictures.detail,
        "config": stage | {"train": {name: value for name, value in stage["train"].items() if name not in PLACE}},
    }


def _figures(of: RowSet, chosen: list, found: list, settings: Settings) -> dict[str, float]:
    margin, padding = settings.detector.margin, settings.keypoints.crop.padding
    return assemble.detector_report(of.rows, of.sizes_wh, chosen, found, load_schema(settings.schema), margin, padding)


def print_figures(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
