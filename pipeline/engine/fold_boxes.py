"""Boxes of a fold's rows, each by a detector that has not seen its image."""

from pathlib import Path

from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.detector.out_of_fold import refuse_seen
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.engine.box_sources import box_source
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference, InferenceResult


def predict_fold(
    chosen: RowSet,
    detector: NetworkDetector,
    fold: int,
    schema: Schema,
    device: Device,
    shards: Path,
    pictures: PictureOptions | None = None,
) -> InferenceResult:
    """Predict the boxes of the rows of a fold as `submit` predicts those of test images; finished `shards` are kept.

    Raises UserError when the detector saw one of the rows.
    """
    refuse_seen(chosen.rows, detector, fold)
    return predict_boxes(chosen, detector, schema, device, shards, pictures, fold)


def predict_boxes(
    chosen: RowSet,
    detector: NetworkDetector,
    schema: Schema,
    device: Device,
    shards: Path,
    pictures: PictureOptions | None = None,
    fold: int = -1,
) -> InferenceResult:
    """Predict boxes as `predict_fold` does, whatever the detector has seen; they are said to be out of `fold` (-1: of none)."""
    source = box_source("detector", detector, chosen.sizes_wh, None)
    inference = Inference(source, None, schema, device, pictures or PictureOptions())
    return inference.run(chosen, shards).made_by(detector.name, fold)
