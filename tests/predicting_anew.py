"""What two checkpoints predict in a process that has trained nothing: `python -m tests.predicting_anew TEST RUN OUT`."""

import sys
from pathlib import Path

import torch
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.formats.fashionai import read_test
from garment_keypoints.pipeline.contract.protocols import BoxSource, Locator
from garment_keypoints.pipeline.contract.records import ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.engine.box_sources import SourceParts, build_source
from garment_keypoints.pipeline.learning.loading import ImageDataset, collate
from garment_keypoints.pipeline.orchestrator import TwoStage


def predicted(test: Path, source: BoxSource, locator: Locator, schema: Schema) -> dict[str, dict[str, torch.Tensor]]:
    """Return what both stages say of a test folder, taken as one batch: `regions` and `found`, as predict_step does."""
    result = TwoStage(source, locator).predict_step(batch_of(test, schema))
    return {name: result[name] for name in ("regions", "found")}


def batch_of(test: Path, schema: Schema) -> ImageBatch:
    rows = read_test(test, schema)
    dataset = ImageDataset(rows, [schema.category_index(row.category) for row in rows])
    return collate([dataset[i] for i in range(len(rows))])


if __name__ == "__main__":
    _test, _run, _out = map(Path, sys.argv[1:])
    _schema = load_schema()
    _detector = load_detector(_run / "detector.safetensors", _schema)
    _source = build_source("detector", SourceParts(_detector, _detector.fallback_score))
    torch.save(predicted(_test, _source, load_locator(_run / "keypoints.safetensors", _schema), _schema), _out)
