"""The verb that scores a keypoint network on the fold that it has not seen, in boxes of any detector."""

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.pipeline.contract.box_kinds import TRUTH, true_boxes
from garment_keypoints.pipeline.contract.boxes import read_matched
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, refuse_foreign
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import RowSet, load_training_set
from garment_keypoints.pipeline.engine.validation import VAL_FOLD, held_out, score_in_boxes
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.learning.manifests import MOST_REFINEMENTS
from garment_keypoints.pipeline.learning.training_ids import training_ids
from garment_keypoints.pipeline.learning.weights import read_trained
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.provenance import measured, provenance
from garment_keypoints.pipeline.runs.steps import inputs_of
from garment_keypoints.pipeline.settings import Settings


def evaluate_val(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    out: Path,
    name: str = "val",
    boxes: Sequence[Path] = (),
    truth: bool = False,
    refine: Sequence[int] = (0,),
    limit: int = 0,
) -> None:
    """Score a keypoint network on the fold that it left out, in several detectors' boxes, with more or fewer refinements.

    What `train-keypoints --val` tells at its end of the boxes it was given, this tells of others: to choose a detector or a
    number of refinements without looking at a test set.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        out: JSON for the figures; the points go into a folder of its name, as submission files
        name: network RUN/keypoints/NAME, trained with --val
        boxes: files of boxes out of fold, of the run's folds; without any RUN/boxes.csv
        truth: score in the true boxes too, with the margin of the first file's detector; none can better them
        refine: numbers of refinements; each is tried in each file's boxes
        limit: rehearse on so many images (0: all)
    """
    if out.suffix != ".json":
        raise UserError(f"--out is {out}; expected a name in .json")
    if not refine or not all(0 <= one <= MOST_REFINEMENTS for one in refine):
        raise UserError(f"--refine is {list(refine)}; expected numbers of 0 to {MOST_REFINEMENTS}")
    refuse_foreign(
        out, lambda file: holds(file, "network", "figures"), "what this command wrote", "choose another --out"
    )
    schema, checkpoint = load_schema(settings.schema), run / "keypoints" / f"{name}.safetensors"
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    files = list(boxes) or [run / "boxes.csv"]
    sources = [held_out(training_set, read_matched(file, training_set.rows, schema)) for file in files]
    chosen = sources[0][0]
    _refuse_seen(checkpoint, chosen, files[0])
    other = [file for file, (rows, _) in zip(files, sources, strict=True) if rows.fingerprint != chosen.fingerprint]
    if other:
        raise UserError(f"{other[0]}: of other folds than {files[0]}; expected boxes of the same ones")
    grown = truth or max(refine) > 0
    margins = {file.as_posix(): read_margin(file) if grown else 0.0 for file in files}
    given = {file.as_posix(): found for file, (_, found) in zip(files, sources, strict=True)}
    if truth:
        margins[TRUTH] = margins[files[0].as_posix()]
        given[TRUTH] = true_boxes(chosen.rows, torch.tensor(chosen.sizes_wh), margins[TRUTH]).float()
    inputs = inputs_of(training_set) | {file.as_posix(): file_hash(file) for file in files}
    record: dict[str, Any] = {"provenance": provenance(), "network": file_hash(checkpoint), "inputs": inputs}
    folder = out.with_suffix("")
    tries = {
        folder / f"boxes_{i}_refine_{number}.csv": (source, number)
        for (i, source), number in product(enumerate(given), refine)
    }
    steps = (
        partial(score_in_boxes, chosen, given[source], margins[source], schema, settings, checkpoint, points, number)
        for points, (source, number) in tries.items()
    )
    with measured(record):
        figures = [
            {"boxes": source, "refine": number, "points_file": points.name, **one}
            for (points, (source, number)), one in zip(tries.items(), ranks.in_turn(steps), strict=True)
        ]
    write_json(out, record | {"figures": figures})
    rows = [[one["boxes"], str(one["refine"]), str(one["images"]), f"{one['ne']:.3f}"] for one in figures]
    print(as_table(["boxes", "refinements", "images", "NE %"], rows))


def _refuse_seen(checkpoint: Path, chosen: RowSet, file: Path) -> None:
    """Raise UserError if the network has learned from an image of the fold that it is to be scored on."""
    content = read_trained(checkpoint, "keypoints")
    if content["config"].get("without_fold", -1) < 0:
        raise UserError(f"{checkpoint}: trained on all folds; score one that left one out (train-keypoints --val)")
    seen = {row.image_id for row in chosen.rows}.intersection(training_ids(checkpoint, content))
    if seen:
        raise UserError(
            f"{checkpoint}: has seen {len(seen)} of the {len(chosen.rows)} images that {file} has in fold {VAL_FOLD}, first "
            f"{min(seen)}; expected boxes of the folds that it was trained in"
        )
