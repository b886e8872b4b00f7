"""The verb that finds out what the scores of a keypoint network mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.boxes import read_matched
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, refuse_foreign
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.records import ABSENT
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import load_training_set
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference
from garment_keypoints.pipeline.engine.refinement import refined
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.engine.validation import held_out
from garment_keypoints.pipeline.learning.calibration import LARGEST, SETTINGS, fit, reliability
from garment_keypoints.pipeline.learning.configs import nested
from garment_keypoints.pipeline.reporting.pictures import save_png
from garment_keypoints.pipeline.reporting.reliability import draw_reliability
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import provenance
from garment_keypoints.pipeline.settings import Settings


@alone_at_out
def calibrate(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    out: Path,
    name: str = "val",
    boxes: Path | None = None,
    limit: int = 0,
    refine: int = 0,
) -> None:
    """Fit what a keypoint network's scores say of the error to expect and of visibility, on the fold that it has not seen.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        out: calibration file, .json; a figure goes beside it. `publish --calibration` makes it part of a pair, and
            `predict` uses it
        name: network RUN/keypoints/NAME, trained with --val
        boxes: the boxes out of fold; without it RUN/boxes.csv
        limit: rehearse on so many images (0: all)
        refine: with so many refinements the pair is to predict (`publish --refine`): the scores are the mean of all crops
    """
    if out.suffix != ".json":
        raise UserError(f"--out is {out}; expected a name in .json")
    refuse_foreign(out, _is_calibration, "a calibration", "choose another --out")
    schema = load_schema(settings.schema)
    checkpoint = run / "keypoints" / f"{name}.safetensors"
    locator = load_locator(checkpoint, schema)
    if locator.without_fold < 0:
        raise UserError(
            f"{checkpoint}: trained on all folds; calibrate a network that left one out (train-keypoints --val)"
        )
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    file = boxes or run / "boxes.csv"
    chosen, given = held_out(training_set, read_matched(file, training_set.rows, schema))
    device, parts = Device.of(settings.keypoints.train), out.with_suffix(".parts")
    source = refined(refine, GivenBoxes(given), locator, schema, read_margin(file) if refine else 0.0)
    result = Inference(source, locator, schema, device, settings.pictures).run(chosen, parts)
    xy, score = (np.stack([getattr(one, part) for one in result.keypoints]) for part in ("xy", "score"))
    errors = normalized_error(chosen.rows, xy, np.ones(score.shape, dtype=bool), schema).errors
    visibility = np.stack([row.visibility for row in chosen.rows])
    visible = np.where(visibility == ABSENT, np.nan, visibility.astype(float))
    figures, panels = _honest(score, errors, visible)
    about = {
        "provenance": provenance(),
        "network": name,
        SETTINGS: {one: nested(locator.settings, one) for one in KeypointsConfig.DECISIVE},
        "refine": refine,
        "images": len(chosen.rows),
        "figures": figures,
    }
    fit(score, errors, visible, locator.fingerprint).save(out, schema, about)
    save_png(out.with_suffix(".png"), draw_reliability(panels))
    remove_shards(parts)
    for title, figure in figures.items():
        print(f"{title}: {figure}")


def _honest(score: np.ndarray, errors: np.ndarray, visible: np.ndarray) -> tuple[dict[str, Any], list[Any]]:
    """Return how far off what is said is, and the panels of the figure; each image is told by a fit to the other half."""
    half = np.arange(len(score)) % 2
    error, seen = np.full(score.shape, np.nan), np.full(score.shape, np.nan)
    for part in (0, 1):
        fitted = fit(*(values[half != part] for values in (score, errors, visible)))
        error[half == part] = fitted.expected_error(score[half == part])
        seen[half == part] = fitted.visibility(score[half == part])
    counted, annotated = np.isfinite(errors), np.isfinite(visible)
    true = np.minimum(errors[counted], LARGEST)
    before, after = reliability(1 - score[counted], true), reliability(error[counted], true)
    seen_before = reliability(score[annotated], visible[annotated])
    seen_after = reliability(seen[annotated], visible[annotated])
    figures = {
        "gap of 1 - score to the error": round(before.gap, 4),
        "gap of the expected error to the error": round(after.gap, 4),
        "gap of the score to visibility": round(seen_before.gap, 4),
        "gap of the chance of visibility to visibility": round(seen_after.gap, 4),
        "points": int(counted.sum()),
    }
    panels = [
        ("1 - score and the error", before),
        ("expected error and the error", after),
        ("score and visibility", seen_before),
        ("chance of visibility and visibility", seen_after),
    ]
    return figures, panels


def _is_calibration(file: Path) -> bool:
    content = json_object(file)
    return content is not None and {"format", "score", "error", "visible"} <= content.keys()
