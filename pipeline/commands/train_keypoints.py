"""Train stage 2: what is there already is kept, what was interrupted goes on."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline import crop_boxes, train
from pipeline.commands.boxes import read_predicted
from pipeline.contract.faults import UserError
from pipeline.contract.files import alone, json_object
from pipeline.contract.formats.pseudo_points import RECORD
from pipeline.contract.records import Detection
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.select import RowSet, load_taught, load_training_set
from pipeline.engine.validation import VAL_FOLD, score_on_val
from pipeline.learning import ranks
from pipeline.learning.start import refuse_seen
from pipeline.runs.claims import claim
from pipeline.runs.steps import inputs_of, kept, recorded
from pipeline.settings import Settings, claimed, unsaid

FINAL, VAL, TAUGHT = "final", "val", "taught"


def train_keypoints(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    boxes: Path | None = None,
    name: str = "",
    val: bool = False,
    taught: Path | None = None,
    photos: Path | None = None,
    start: str = "",
) -> None:
    """Train stage 2, the keypoint network, on the boxes out of fold.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
        boxes: the boxes out of fold, other kinds of boxes lie beside them; without it RUN/boxes.csv
        name: name of the network in RUN/keypoints; without it final, or val with --val
        val: leave fold 0 out, and score the network on it at the end
        taught: garments whose points another network placed, to learn from as well: a folder that pseudo-points wrote
        photos: folder of the photos of --taught
        start: a trained network to start from, such as one of other photos or of drawings: a checkpoint, or the name or the
            folder of a pair; it must have seen none of the images that are left out
    """
    name = name or (VAL if val else FINAL)
    _check_name(name, settings.keypoints.without_fold, val)
    if val:
        settings = replace(settings, keypoints=replace(settings.keypoints, without_fold=VAL_FOLD))
    schema = load_schema(settings.schema)
    train.check_keypoints(schema, settings.keypoints)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    file, out = boxes or run / "boxes.csv", run / "keypoints" / f"{name}.safetensors"
    predicted, read = read_predicted(file, settings, training_set, schema)
    inputs = inputs_of(training_set) | read
    rows, margin = training_set.rows, settings.detector.margin
    watched, training = crop_boxes.training_boxes(settings.keypoints, rows, training_set.sizes_wh, predicted, margin)
    if taught is not None or photos is not None:
        further, theirs = _taught(taught, photos, schema, limit, settings, {row.image_id for row in rows})
        inputs[TAUGHT] = further.fingerprint
        rows, watched = [*rows, *further.rows], [*watched, *theirs]
        training = training.joined(theirs)
    begun = train.begun(start, "keypoints", inputs)
    if begun is not None:
        without_fold, folds = settings.keypoints.without_fold, zip(training_set.rows, training_set.folds, strict=True)
        left_out = {row.image_id for row, fold in folds if fold == without_fold}
        refuse_seen(begun, left_out, f"fold {without_fold}, which is left out")
    claim(out.with_suffix(""), claimed(settings, training_set, schema, "keypoints") | inputs, unsaid("keypoints"))
    with alone(out, "choose another --name", enabled=ranks.is_zero()):
        if kept(out):
            return
        with recorded(out, settings, data, inputs, train.interrupted(out) or out.exists()) as record:
            if not out.exists():
                train.train_keypoints(
                    rows, watched, schema, settings.keypoints, out, settings.pictures, training, begun
                )
            if val:
                record["figures"] = {"val": score_on_val(training_set, watched, schema, settings, out)}


def _taught(
    taught: Path | None, photos: Path | None, schema: Schema, limit: int, settings: Settings, known: set[str]
) -> tuple[RowSet, list[Detection]]:
    """Return the garments, and their boxes, that a network is taught by another one; none of them is of the data itself."""
    if taught is None or photos is None:
        raise UserError(
            "--taught and --photos belong together: a folder of pseudo-points, and the folder of its photos"
        )
    without_fold, record = settings.keypoints.without_fold, taught / RECORD
    left_out = (json_object(record) or {}).get("without_fold") if record.is_file() else None
    if without_fold >= 0 and left_out != without_fold:
        raise UserError(
            f"{record}: the teacher left out fold {left_out} (-1: none); expected fold {without_fold}, which this network is "
            "to be scored on: it would learn from one that has seen it"
        )
    weight = settings.keypoints.loss.taught_weight
    rows, boxes = load_taught(taught, photos, schema, weight, limit, settings.pictures)
    both = [row.image_id for row in rows.rows if row.image_id in known]
    if both:
        raise UserError(
            f"{taught}: {len(both)} of its images are training images themselves, first {both[0]}; drop them"
        )
    return rows, boxes


def _check_name(name: str, without_fold: int, val: bool) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(f"--name is {name!r}; expected letters, digits, - and _")
    if name == FINAL and (val or without_fold >= 0):
        raise UserError(
            f"{FINAL} is the network that is trained on all folds; leave one out by --val, or under another --name"
        )
