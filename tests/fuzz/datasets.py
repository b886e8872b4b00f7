"""Readers of data sets in forms of others: COCO's annotations and results, and DeepFashion2's."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.formats import coco_layout, deepfashion2
from garment_keypoints.pipeline.contract.formats.coco import read_coco_results, read_coco_truth
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.reporting.coco_scores import KEYPOINTS, average_precision
from hypothesis import strategies as st

from tests.fuzz.mutations import text_like

DatasetReader = tuple[str, st.SearchStrategy[bytes], Callable[[Path], None]]
TRIPLETS = [0.0] * 72
TRIPLETS[15 * 3 : 19 * 3] = [10, 10, 2, 30.5, 10, 2, 10, 40, 1, 30, 40, 2]
TRUTH = {
    "images": [{"id": 7, "file_name": "Images/skirt/a.jpg", "width": 64, "height": 64}],
    "annotations": [
        {"id": k, "image_id": 7, "category_id": 5, "keypoints": TRIPLETS, "bbox": [10, 10, 20, 30], "iscrowd": 0}
        for k in (1, 2)
    ],
    "categories": [{"id": 5, "name": "skirt", "keypoints": [str(k) for k in range(24)]}],
}
RESULTS = [{"image_id": 7, "category_id": 5, "keypoints": TRIPLETS, "score": 0.5, "bbox": [10, 10, 20, 30]}]
ITEM = {"category_id": 9, "landmarks": [1, 2, 2] * 8, "bounding_box": [1, 2, 3, 4]}


def files(folder: Path, schema: Schema, noise: st.SearchStrategy[bytes]) -> dict[str, DatasetReader]:
    """Return the name of a file, damaged ones, and what reads it, by the reader's name."""
    truth, results = json.dumps(TRUTH).encode(), json.dumps(RESULTS).encode()
    items = json.dumps({"source": "shop", "pair_id": 1, "item1": ITEM, "item2": ITEM}).encode()
    return {
        "coco": ("coco/annotations.json", text_like([truth]) | noise, lambda file: _coco(file, schema)),
        "coco truth": ("truth.json", text_like([truth]) | noise, lambda file: _truth(file, schema)),
        "coco results": ("results.json", text_like([results]) | noise, lambda file: read_coco_results(file, schema)),
        "deepfashion2": ("df2/annos/000001.json", text_like([items]) | noise, _deepfashion2),
    }


def _coco(file: Path, schema: Schema) -> None:
    _check(coco_layout.read_answers(file, schema), schema)


def _truth(file: Path, schema: Schema) -> None:
    figures = average_precision(read_coco_truth(file, schema), [], KEYPOINTS, schema)
    assert figures["ap"] in (None, 0)


def _deepfashion2(file: Path) -> None:
    _check(deepfashion2.read_answers(file, load_schema("deepfashion2")), load_schema("deepfashion2"))


def _check(rows: list[Annotation], schema: Schema) -> None:
    assert len({row.key for row in rows}) == len(rows)
    for row in rows:
        assert np.isfinite(row.xy).all()
        assert not (row.present & ~schema.mask[schema.category_index(row.category)].numpy()).any()
