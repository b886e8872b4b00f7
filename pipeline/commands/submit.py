"""Verbs that predict: a test folder by both stages."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from garment_keypoints.detector.evaluate import detector_report
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.submission import write_submission
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, Keypoints
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import PredictionSet, load_test_rows
from garment_keypoints.pipeline.engine.box_sources import box_source
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference, InferenceResult
from garment_keypoints.pipeline.engine.refinement import refined
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.learning.pairs import AS_PUBLISHED, Weights
from garment_keypoints.pipeline.learning.placement import device_of
from garment_keypoints.pipeline.reporting.pictures import prediction_sheet, save_png
from garment_keypoints.pipeline.reporting.scores import answers_of, score, score_figures, score_lines
from garment_keypoints.pipeline.runs.outputs import Results, alone_at_out
from garment_keypoints.pipeline.runs.provenance import measured, provenance

log = logging.getLogger("garment_keypoints")


@alone_at_out
def submit(
    test: Path,
    device: Device,
    pictures: PictureOptions,
    networks: Weights,
    out: Path = Path("submission.csv"),
    answers: Path | None = None,
    boxes: str = "",
    flip_test: bool = True,
    refine: int = AS_PUBLISHED,
    on_error: Literal["stop", "skip"] = "stop",
    most_fallback: float = 0.1,
    limit: int = 0,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> None:
    """Predict a test folder with both stages; with answers, score it and draw the best, median and worst.

    Args:
        test: folder with test.csv and Images/
        device: where the networks run
        pictures: what a picture may cost
        networks: which networks predict
        out: submission CSV; record and picture go beside it
        answers: answer CSV, to score the submission
        boxes: where crops come from: detector, truth (the answers) or image (the whole one); without it what the keypoint
            network was trained for
        flip_test: average over each crop and its mirror image
        refine: so many times a garment is cropped again around its points, and the points of all crops are averaged: more
            exact, and the time of stage 2 each; -1: as the weights were published, in boxes of the detector
        on_error: a picture that cannot be read stops everything before it begins, or is skipped: its row has -1_-1_-1 in
            every cell then, and the record says why
        most_fallback: warn when the whole image stands in for a box that was not found in a larger share of them
        limit: rehearse on so many images (0: all)
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
    """
    shards = out.with_suffix(".parts")
    results = Results(out, shards, (".csv", ".png"))
    results.claim()
    loaded, skip = load_schema(schema), on_error == "skip"
    # Whatever is wrong with the weights is said before any picture is read.
    pair = networks.pair(device_of(device))
    locator = load_locator(pair.keypoints, loaded, flip_test=flip_test)
    boxes = boxes or ("image" if locator.source == "image" else "detector")
    # What a pair was published for is meant for the boxes of its detector.
    published = pair.refine if boxes == "detector" else 0
    refine = published if refine == AS_PUBLISHED else refine
    network = load_detector(pair.detector, loaded)
    tested = load_test_rows(test, loaded, limit, layout, pictures, skip)
    truth = answers_of(tested.rows, answers, loaded, layout, tested.sizes_wh) if answers else None
    kept = [i for i in range(len(tested.rows)) if i not in tested.unread]
    read, known = tested.take(kept), None if truth is None else [truth[i] for i in kept]
    source = box_source(boxes, network, read.sizes_wh, known)
    source = refined(refine, source, locator, loaded, network.margin)
    inference = Inference(source, locator, loaded, device, pictures, skip)
    record: dict[str, Any] = {"provenance": provenance(), "test": test.name}
    with measured(record):
        result = inference.run(read, shards)
    networks_used = {"detector": network.fingerprint, "keypoints": locator.fingerprint}
    record |= {"job": inference.job(read), "networks": networks_used, "refine": refine, "resumed": result.resumed}
    predictions = _one_a_row(tested, result, boxes)
    made, lines = [".csv"], []
    _write(results.staged(".csv"), tested, predictions, loaded)
    record["figures"] = {"boxes": boxes, **_counts(tested, predictions, result, most_fallback)}
    if truth is not None and known is not None:
        scored = score(results.staged(".csv"), truth, loaded)
        record["figures"] |= score_figures(scored, "default")
        if boxes == "detector":
            record["figures"]["detector"] = _boxes_report(known, result, loaded, network.margin, locator.padding)
        sheet = prediction_sheet(tested.rows, truth, predictions, scored, loaded, locator.padding)
        save_png(results.staged(".png"), sheet)
        made, lines = [".csv", ".png"], score_lines(scored, "default")
    results.publish(record, made)
    remove_shards(shards)
    if lines:
        print("\n".join(lines))


def _one_a_row(tested: PredictionSet, result: InferenceResult, boxes: str) -> list[Keypoints | None]:
    """Return the prediction of each row, None where its picture was skipped; raise UserError unless there is one a row."""
    by_key = {one.key: one for one in result.keypoints}
    skipped = {tested.rows[i].key for i in tested.unread} | result.unread.keys()
    expected = [row.key for row in tested.rows if row.key not in skipped]
    if [one.key for one in result.keypoints] != expected:
        raise UserError(
            f"--boxes {boxes} gives {len(result.keypoints)} regions of {len(expected)} images; a submission takes one an image"
        )
    return [by_key.get(row.key) for row in tested.rows]


def _write(out: Path, tested: PredictionSet, predictions: Sequence[Keypoints | None], schema: Schema) -> None:
    nothing = np.zeros((len(schema.keypoints), 2))
    xy = np.stack([nothing if one is None else one.xy for one in predictions])
    given = np.array([one is not None for one in predictions])
    write_submission(out, tested.rows, xy, tested.sizes_wh, schema, given)


def _boxes_report(
    known: Sequence[Annotation], result: InferenceResult, schema: Schema, margin: float, padding: float
) -> dict[str, float]:
    """Return the detector's figures over the pictures that could still be read when their turn came."""
    seen = [i for i, row in enumerate(known) if row.key not in result.unread]
    rows, found = [known[i] for i in seen], [result.found[i] for i in seen]
    return detector_report(rows, result.sizes_wh[seen], BoxTable.of(result.boxes), found, schema, margin, padding)


def _counts(
    tested: PredictionSet, predictions: Sequence[Keypoints | None], result: InferenceResult, most_fallback: float
) -> dict[str, Any]:
    """Return how many images there were, how many without a box, and which were skipped; warn of both."""
    fallback = sum(one.fallback for one in predictions if one is not None)
    reasons = {tested.rows[i].image_id: why for i, why in tested.unread.items()}
    reasons |= {image_id: why for (image_id, _), why in result.unread.items()}
    images = len(predictions)
    if fallback > most_fallback * images:
        log.warning(
            "WARNING: no box was found in %d of %d images (%.1f %%), and their points are those of the whole image; do the "
            "detector and its precision fit these pictures?", fallback, images, 100 * fallback / images,
        )  # fmt: skip
    for image_id, why in reasons.items():
        log.warning("skipped %s: %s", image_id, why)
    if reasons:
        log.warning("WARNING: %d of %d images were skipped; their rows hold no points", len(reasons), images)
    return {"images": images, "fallback": fallback, "skipped": reasons}
