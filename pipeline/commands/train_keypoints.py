"""Train stage 2: what is there already is kept, what was interrupted goes on."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.keypoints.config import CropConfig
from garment_keypoints.keypoints.data import refuse_empty_side
from garment_keypoints.pipeline import train
from garment_keypoints.pipeline.commands.boxes import checked_boxes
from garment_keypoints.pipeline.contract.box_kinds import IMAGE, TRUTH, boxes_of_kind
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone, file_hash, json_object
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.formats.pseudo_points import PSEUDO_POINTS, RECORD
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet, TrainingSet, load_pseudo_points, load_training_set
from garment_keypoints.pipeline.engine.validation import VAL_FOLD, score_on_val
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.learning.start import refuse_seen
from garment_keypoints.pipeline.learning.weights import read_trained
from garment_keypoints.pipeline.runs.claims import claim
from garment_keypoints.pipeline.runs.steps import inputs_of, kept, recorded
from garment_keypoints.pipeline.settings import Settings, as_now, claimed

FINAL, VAL = "final", "val"
BOXES, LEARNED = "boxes", "learned_boxes"
"""In records: the hash of the boxes out of fold, and of others that crops of training are cut around."""


def train_keypoints(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    boxes: Path | None = None,
    name: str = "",
    val: bool = False,
    pseudo_points: Path | None = None,
    photos: Path | None = None,
    start: str = "",
) -> None:
    """Train stage 2, the keypoint network, on the boxes out of fold.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
        boxes: the boxes out of fold; without it RUN/boxes.csv
        name: name of the network in RUN/keypoints; without it final, or val with --val
        val: leave fold 0 out, and score the network on it at the end
        pseudo_points: garments whose points another network placed, to learn from as well: a folder that `lab pseudo-points`
            wrote
        photos: folder of the photos of --pseudo_points
        start: a trained network to start from, such as one of other photos or of drawings: a checkpoint, or the name or the
            folder of a pair; it must have seen none of the images that are left out
    """
    train_in_boxes(settings, data, run, limit, boxes, name, val, pseudo_points, photos, start)


def train_in_boxes(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    boxes: Path | None = None,
    name: str = "",
    val: bool = False,
    pseudo_points: Path | None = None,
    photos: Path | None = None,
    start: str = "",
    learned: Path | None = None,
) -> None:
    """Train as `train_keypoints` does; with `learned`, a file of boxes of the same rows, crops of training are cut around those.

    The network is watched, and scored, in `boxes` all the same.
    """
    name = name or (VAL if val else FINAL)
    _check_name(name, settings.keypoints.without_fold, val)
    if val:
        settings = replace(settings, keypoints=replace(settings.keypoints, without_fold=VAL_FOLD))
    schema = load_schema(settings.schema)
    train.check_keypoints(schema, settings.keypoints)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    file, out = boxes or run / "boxes.csv", run / "keypoints" / f"{name}.safetensors"
    crop, inputs = settings.keypoints.crop, inputs_of(training_set)
    given = {BOXES: file} if learned is None else {BOXES: file, LEARNED: learned}
    tables = {one: checked_boxes(of, settings, training_set, schema) for one, of in given.items()}
    inputs |= {one: file_hash(of) for one, of in given.items()}
    refuse_empty_side(tables[BOXES], settings.keypoints.without_fold)
    margin = read_margin(file, None if _takes_true_boxes(crop, val) else settings.detector.margin)
    watched = tables[BOXES].moved(_cut_around(crop.watched, tables[BOXES], training_set, margin))
    training = _cut_around(crop.learned, tables.get(LEARNED, tables[BOXES]), training_set, margin)
    true = _cut_around(TRUTH, tables[BOXES], training_set, margin)
    rows, every = training_set.rows, watched
    if pseudo_points is not None or photos is not None:
        further, theirs = _pseudo_labelled(
            pseudo_points, photos, schema, limit, settings, {row.image_id for row in rows}
        )
        inputs[PSEUDO_POINTS] = further.fingerprint
        rows, every = [*rows, *further.rows], BoxTable.joined([watched, theirs])
        training = np.concatenate([training, theirs.boxes])
        true = np.concatenate([true, np.full_like(theirs.boxes, np.nan)])
    begun = train.begun(start, "keypoints", inputs)
    if begun is not None:
        without_fold, folds = settings.keypoints.without_fold, zip(training_set.rows, training_set.folds, strict=True)
        left_out = {row.image_id for row, fold in folds if fold == without_fold}
        refuse_seen(begun, left_out, f"fold {without_fold}, which is left out")
    claim(out.with_suffix(""), claimed(settings, training_set, schema, "keypoints") | inputs, as_now("keypoints"))
    with alone(out, "choose another --name", enabled=ranks.is_zero()):
        if kept(out):
            return
        with recorded(out, settings, data, inputs, train.interrupted(out) or out.exists()) as record:
            if not out.exists():
                train.train_keypoints(
                    rows, every, schema, settings.keypoints, out, settings.pictures, training, begun, true
                )
            record |= _training_boxes(out)
            if val:
                record["figures"] = {"val": score_on_val(training_set, watched, margin, schema, settings, out)}


def _training_boxes(out: Path) -> dict[str, Any]:
    """Return what the weights say of the boxes that they learned in; those of an older version say nothing."""
    made = read_trained(out, "keypoints")["provenance"]
    return {name: made[name] for name in (train.TRAINING_BOXES,) if name in made}


def _takes_true_boxes(crop: CropConfig, val: bool) -> bool:
    """Tell whether the detector's margin has to be known: a training with --val is scored in true boxes as well."""
    return crop.source != IMAGE and (val or TRUTH in (crop.learned, crop.watched))


def _cut_around(kind: str, table: BoxTable, training_set: TrainingSet, margin: float) -> np.ndarray:
    """Return the boxes (N, 4) of a kind; those out of fold are the table's."""
    return boxes_of_kind(kind, table.boxes, training_set.rows, training_set.sizes_wh, margin)


def _pseudo_labelled(
    pseudo_points: Path | None, photos: Path | None, schema: Schema, limit: int, settings: Settings, known: set[str]
) -> tuple[RowSet, BoxTable]:
    """Return the garments whose points another network placed, and their boxes; none of them is of the data itself."""
    if pseudo_points is None or photos is None:
        raise UserError(
            "--pseudo_points and --photos belong together: a folder of pseudo-points, and the folder of its photos"
        )
    without_fold, record = settings.keypoints.without_fold, pseudo_points / RECORD
    left_out = (json_object(record) or {}).get("without_fold") if record.is_file() else None
    if without_fold >= 0 and left_out != without_fold:
        raise UserError(
            f"{record}: the network that placed the points left out fold {left_out} (-1: none); expected fold {without_fold}, "
            "which this network is to be scored on: it would learn from one that has seen it"
        )
    weight = settings.keypoints.loss.pseudo_weight
    rows, boxes = load_pseudo_points(pseudo_points, photos, schema, weight, limit, settings.pictures)
    both = [row.image_id for row in rows.rows if row.image_id in known]
    if both:
        raise UserError(
            f"{pseudo_points}: {len(both)} of its images are training images themselves, first {both[0]}; drop them"
        )
    return rows, boxes


def _check_name(name: str, without_fold: int, val: bool) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(f"--name is {name!r}; expected letters, digits, - and _")
    if name == FINAL and (val or without_fold >= 0):
        raise UserError(
            f"{FINAL} is the network that is trained on all folds; leave one out by --val, or under another --name"
        )
