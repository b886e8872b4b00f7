"""The verb that turns class labels of photos into boxes that a detector can learn from."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from garment_keypoints.detector.inference import NetworkDetector, load_detector
from garment_keypoints.detector.out_of_fold import Found
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.contract.formats.boxed import write_boxed
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import BoxedImage, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.class_labels import read_class_labels
from garment_keypoints.pipeline.data.select import RowSet, sample_rows
from garment_keypoints.pipeline.engine.box_sources import SourceParts, build_source
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.learning.pairs import DEFAULT, Pair, Runtime
from garment_keypoints.pipeline.learning.placement import device_of
from garment_keypoints.pipeline.runs.outputs import Results, alone_at_out
from garment_keypoints.pipeline.runs.provenance import measured, provenance

log = logging.getLogger("garment_keypoints")
LEAST_SCORE = 0.35


@alone_at_out
def pseudo_label(
    labels: Path,
    photos: Path,
    out: Path,
    device: Device,
    pictures: PictureOptions,
    names: Sequence[str] = (),
    weights: str = DEFAULT,
    detector: Path | None = None,
    runtime: Runtime = "auto",
    least_score: float = LEAST_SCORE,
    limit: int = 0,
    schema: str = "fashionai",
) -> None:
    """Box the garments of photos whose class is known by a detector, for another one to learn from (--boxed).

    A photo gets the best box of its label's category; failing that, the best one of a category with keypoints in common,
    which a detector takes it for (a blouse for a coat). A photo with neither is left out.

    Args:
        labels: CSV with the columns file and label
        photos: folder of the photos that the files of the labels lie in
        out: CSV of the boxes; a record goes beside it
        device: where the detector runs
        pictures: what a picture may cost
        names: what labels mean, such as Shirt=blouse; a label that is neither a category nor named here is left out
        weights: pair whose detector it is: the name of a packaged one, or a folder that `publish` wrote
        detector: detector checkpoint, for the one of the pair
        runtime: what runs the detector of a pair: torch, onnx, int8, or auto: onnx on a CPU where the pair has graphs
        least_score: least score of a box
        limit: rehearse on so many photos (0: all)
        schema: packaged schema, or a YAML file of your own
    """
    if not 0 < least_score <= 1:
        raise UserError(f"--least_score is {least_score}; expected a number above 0, at most 1")
    shards = out.with_suffix(".parts")
    results = Results(out, shards, (".csv",))
    results.claim()
    loaded = load_schema(schema)
    rows, left_out = read_class_labels(labels, photos, names, loaded)
    readable = _readable(sample_rows(rows, limit), pictures)
    network = load_detector(detector or Pair.of(weights, None, None, runtime, device_of(device)).detector, loaded)
    record = {"provenance": provenance(), "inputs": {"labels": file_hash(labels), "detector": network.fingerprint}}
    with measured(record):
        found = _found(readable, network, loaded, device, shards, pictures)
        boxed = [
            one for row, of in zip(readable.rows, found, strict=True) if (one := _boxed(row, of, loaded, least_score))
        ]
    if not boxed:
        raise UserError(f"{labels}: no box of at least {least_score} in {len(found)} photos; lower --least_score")
    write_boxed(results.staged(".csv"), boxed)
    counts = Counter(one.category for one in boxed)
    record["figures"] = {"photos": len(found), "boxed": dict(counts), "labels left out": dict(left_out)}
    results.publish(record, (".csv",))
    remove_shards(shards)
    print(
        f"{out}: {len(boxed)} of {len(found)} photos: " + ", ".join(f"{name} {n}" for name, n in counts.most_common())
    )
    if left_out:
        print("labels left out: " + ", ".join(f"{name} {n}" for name, n in left_out.most_common()))


def _readable(rows: Sequence[ImageRow], pictures: PictureOptions) -> RowSet:
    """Return the rows whose photos can be read by their headers; tell of the others."""
    readable = []
    for row in rows:
        try:
            readable.append(RowSet.by_headers([row], pictures))
        except DataError as error:
            log.warning("left out: %s", error.faults[0])
    if not readable:
        raise UserError(f"none of {len(rows)} photos can be read, first {rows[0].path}; is --photos their folder?")
    return RowSet.joined(readable)


def _found(
    rows: RowSet,
    network: NetworkDetector,
    schema: Schema,
    device: Device,
    shards: Path,
    pictures: PictureOptions,
) -> list[Found]:
    """Return everything that the detector finds in each photo; one that cannot be decoded has nothing, and is told."""
    source = build_source("detector", SourceParts(network, network.fallback_score))
    result = Inference(source, None, schema, device, pictures, skip=True).run(rows, shards)
    for reason in result.unread.values():
        log.warning("left out: %s", reason)
    return result.found


def _boxed(row: ImageRow, found: Found, schema: Schema, least_score: float) -> BoxedImage | None:
    """Return the photo with the box of its garment; None where nothing that is found may be it."""
    keypoints = set(schema.members[row.category])
    alike = [schema.category_index(name) for name in schema.categories if keypoints & set(schema.members[name])]
    for wanted in ([schema.category_index(row.category)], alike):
        fitting = [
            (score, box)
            for score, box, category in zip(found["scores"], found["boxes"], found["category"], strict=True)
            if category in wanted and score >= least_score
        ]
        if fitting:
            box = np.array(max(fitting, key=lambda one: one[0])[1])
            return BoxedImage(row.image_id, row.category, row.path, box, csv=row.csv, csv_row=row.csv_row)
    return None
