"""Garment key points in Python: `load` once, then call what it returns with photos.

from garment_keypoints import load

predictor = load()
for result in predictor(["coat.jpg", "jeans.png"]):
    for garment in result.garments:
        print(result.photo, garment.category, garment.score, garment.box, garment.xy)
"""

from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.garments import Garment
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.photos import Photo
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.predictor import DetectionOptions, Predictor, load_predictor
from garment_keypoints.pipeline.engine.result import Result
from garment_keypoints.pipeline.learning.pairs import DEFAULT, Pair, Runtime
from garment_keypoints.pipeline.learning.placement import ACCELERATORS, one_device

__all__ = ["Garment", "Photo", "PictureOptions", "Predictor", "Result", "load"]

BATCH = 8


def load(
    weights: str = DEFAULT,
    *,
    threshold: float = DetectionOptions.threshold,
    flip_test: bool = DetectionOptions.flip_test,
    refine: int = DetectionOptions.refine,
    device: str = "auto",
    runtime: Runtime = "auto",
    schema: str = "fashionai",
    detector: Path | None = None,
    keypoints: Path | None = None,
    pictures: PictureOptions | None = None,
    batch: int = BATCH,
) -> Predictor:
    """Load both networks.

    Args:
        weights: the name of a packaged pair, or a folder that `publish` wrote
        threshold: least score of a garment, 0..1
        flip_test: average over each crop and its mirror image: twice the time of stage 2, and more exact
        refine: so many times a garment is cropped again around its points, and the points of all crops are averaged: the time
            of stage 2 each; -1: as the weights were published
        device: auto, cpu, or gpu
        runtime: what runs the networks of a pair: torch, onnx (faster on a CPU), int8 (faster still, slightly less exact), or
            auto: onnx on a CPU where the pair has graphs
        schema: packaged schema, or a YAML file of your own
        detector: a detector checkpoint, for the one of the pair
        keypoints: a keypoint checkpoint, for the one of the pair
        pictures: what a file may cost, and how large it is decoded
        batch: photos that go through the networks together, at most

    Raises UserError for weights that are not there, damaged, or of another schema, and for options that are none.
    """
    if device not in ACCELERATORS:
        raise UserError(f"device is {device!r}; expected one of {', '.join(ACCELERATORS)}")
    options, placement = DetectionOptions(threshold, flip_test, refine), Device(accelerator=device, batch_size=batch)
    loaded = load_schema(schema)
    named = (detector and Path(detector), keypoints and Path(keypoints))
    pair = Pair.of(weights, *named, runtime, one_device(placement))
    return load_predictor(pair, loaded, options, placement, pictures)
