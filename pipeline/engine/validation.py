"""The score on `val`: both stages over the fold that a keypoint network has not seen, to choose settings by."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.box_kinds import IMAGE, OUT_OF_FOLD, TRUTH, target_boxes, true_extents
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.crops import BoxSet
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone
from garment_keypoints.pipeline.contract.formats.submission import write_submission
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import RowSet, TrainingSet
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference
from garment_keypoints.pipeline.engine.refinement import refined
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.reporting.scores import score, score_figures, score_lines
from garment_keypoints.pipeline.runs.claims import refuse_another_make
from garment_keypoints.pipeline.runs.steps import kept, recorded
from garment_keypoints.pipeline.settings import Settings

VAL_FOLD = 0
NAMED = {OUT_OF_FOLD: "out_of_fold_boxes", TRUTH: "true_boxes", IMAGE: "whole_images"}
"""Where crops come from, as the figures on `val` name it."""
SHOWN = ("contained_in_square", "zoom")
"""What of the garment the squared crops show: the share of its visible points, and of the crop's side that it takes."""


def score_on_val(
    training_set: TrainingSet, boxes: BoxTable, margin: float, schema: Schema, settings: Settings, checkpoint: Path
) -> dict[str, Any]:
    """Return the figures of a network that was trained without fold 0 on the rows of that fold, by where crops come from.

    First in `boxes`, those of the setting val_boxes: out of fold, they are what a detector gives on a picture that it has not
    seen. The true ones, the answers' extents with the detector's margin, show what the boxes cost; a network of whole images
    is not shown any. Predictions are kept beside the checkpoint, as submission files.
    """
    chosen, found = held_out(training_set, boxes)
    extents, sizes = true_extents(chosen.rows), torch.tensor(chosen.sizes_wh)
    sources = {NAMED[settings.keypoints.crop.watched]: found}
    if settings.keypoints.crop.source != IMAGE:
        sources[NAMED[TRUTH]] = target_boxes(extents, sizes, margin).float()
    folder, padding = checkpoint.with_suffix(""), settings.keypoints.crop.padding
    steps = (
        partial(score_in_boxes, chosen, given, margin, schema, settings, checkpoint, folder / f"{name}.csv")
        for name, given in sources.items()
    )
    figures = dict(zip(sources, ranks.in_turn(steps), strict=True))
    shown = {
        name: BoxSet(name, chosen.rows, given.double().numpy(), extents.numpy(), np.zeros(len(given)))
        for name, given in sources.items()
    }
    measured = {
        name: dict(zip(SHOWN, (of.contained(padding), of.zoom(padding)), strict=True)) for name, of in shown.items()
    }
    return {name: one | measured[name] for name, one in figures.items()}


def held_out(training_set: TrainingSet, boxes: BoxTable) -> tuple[RowSet, torch.Tensor]:
    """Return the rows of fold 0, and the box (N, 4) of each among those of all rows. Raises UserError where there is none."""
    chosen = np.flatnonzero(boxes.fold == VAL_FOLD)
    if not len(chosen):
        raise UserError(
            f"none of the {len(boxes)} images is of fold {VAL_FOLD} by the boxes; expected boxes out of fold"
        )
    return training_set.take(chosen), torch.tensor(boxes.boxes[chosen], dtype=torch.float32)


def score_in_boxes(
    chosen: RowSet,
    given: torch.Tensor,
    margin: float,
    schema: Schema,
    settings: Settings,
    checkpoint: Path,
    out: Path,
    refine: int = 0,
    title: str = "val",
) -> dict[str, Any]:
    """Return the figures of a network on these rows in the given boxes (N, 4); its predictions stay in `out`.

    Each of `refine` further crops is cut around the points of those before, grown by the `margin` of the detector whose boxes
    are given, and all are averaged.
    """
    locator = load_locator(checkpoint, schema)
    source = refined(refine, GivenBoxes(given), locator, schema, margin)
    device, parts = Device.of(settings.keypoints.train), out.with_suffix(".parts")
    result = Inference(source, locator, schema, device, settings.pictures).run(chosen, parts)
    write_submission(out, chosen.rows, np.stack([p.xy for p in result.keypoints]), result.sizes_wh, schema)
    remove_shards(parts)
    scored = score(out, chosen.rows, schema)
    print(f"{title}, {out.stem.replace('_', ' ')}")
    print("\n".join(score_lines(scored, "default")))
    return {"images": len(chosen.rows), **score_figures(scored, "default")}


def errors_of(
    out: Path,
    chosen: RowSet,
    schema: Schema,
    settings: Settings,
    data: Sequence[Path],
    inputs: dict[str, str],
    make: Callable[[], dict[str, Any]],
) -> np.ndarray:
    """Return the errors (N, K) of the submission file `out`, which `make` writes unless it has been made of these inputs."""
    with alone(out):
        if kept(out):
            refuse_another_make(out, inputs, "remove it, and it is made again")
        else:
            with recorded(out, settings, data, inputs) as record:
                record["figures"] = make()
    return score(out, chosen.rows, schema).errors
