"""Verbs that predict: a test folder by both stages."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline import assemble
from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash
from pipeline.contract.formats.submission import write_submission
from pipeline.contract.schema import load_schema
from pipeline.data.select import fingerprint, load_test_rows
from pipeline.inference.predict import Device, predict
from pipeline.inference.shards import open_shards, remove_shards
from pipeline.reporting.pictures import prediction_sheet, save_png
from pipeline.reporting.records import Results, alone_at_out, measured, provenance
from pipeline.reporting.scores import answers_of, score, score_figures, score_lines


@alone_at_out
def submit(
    test: Path,
    detector: Path,
    keypoints: Path,
    out: Path,
    device: Device,
    answers: Path | None = None,
    boxes: str = "detector",
    flip_test: bool = True,
    limit: int = 0,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> None:
    """Predict a test folder with both stages; with answers, score it and draw the best, median and worst.

    Args:
        test: folder with test.csv and Images/
        detector: detector checkpoint
        keypoints: keypoint checkpoint
        out: submission CSV; record and picture go beside it
        device: where the networks run
        answers: answer CSV, to score the submission
        boxes: where crops come from: detector, truth (the answers) or image (the whole one, to compare)
        flip_test: average over each crop and its mirror image
        limit: rehearse on so many images (0: all)
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk, a name of pipeline.contract.formats.registry
    """
    shards = out.with_suffix(".parts")
    results = Results(out, shards, (".csv", ".png"))
    results.claim()
    loaded = load_schema(schema)
    rows = load_test_rows(test, loaded, limit, layout)
    truth = answers_of(rows, answers, loaded, layout) if answers else None
    locator = assemble.load_locator(keypoints, loaded, flip_test=flip_test)
    network = assemble.load_detector(detector, loaded)
    files = {"detector": file_hash(detector), "keypoints": file_hash(keypoints)}
    job = {**files, "rows": fingerprint(rows), "boxes": boxes, "flip_test": flip_test}
    if boxes == "truth" and truth is not None:
        job["truth"] = fingerprint(truth)
    resumed = bool(open_shards(shards, job))
    record: dict[str, Any] = {"provenance": provenance(), "job": job, "test": test.name, "resumed": resumed}
    with measured(record):
        source = assemble.box_source(boxes, network, rows, truth)
        result = predict(rows, source, locator, loaded, device, shards, job)
    if result is None:
        return
    predictions = result.keypoints
    if [p.key for p in predictions] != [row.key for row in rows]:
        raise UserError(
            f"--boxes {boxes} gives {len(predictions)} regions of {len(rows)} images; a submission takes one an image"
        )
    made, lines = [".csv"], []
    write_submission(results.staged(".csv"), rows, np.stack([p.xy for p in predictions]), result.sizes_wh, loaded)
    record["figures"] = {"boxes": boxes, "images": len(rows), "fallback": sum(p.fallback for p in predictions)}
    if truth is not None:
        scored = score(results.staged(".csv"), truth, loaded)
        record["figures"] |= score_figures(scored, "default")
        if boxes == "detector":
            record["figures"]["detector"] = assemble.detector_report(
                truth, result.sizes_wh, result.boxes, result.found, loaded, network.margin, locator.padding
            )
        sheet = prediction_sheet(rows, truth, predictions, scored, loaded, locator.padding)
        save_png(results.staged(".png"), sheet)
        made, lines = [".csv", ".png"], score_lines(scored, "default")
    results.publish(record, made)
    remove_shards(shards)
    print("\n".join(lines))
