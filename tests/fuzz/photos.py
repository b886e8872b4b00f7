"""Readers of what names photos, and of what is known of them: manifests, lists, videos, and the ledger of `predict`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.catalogue import open_manifest
from garment_keypoints.pipeline.contract.formats.results import coco_result, yolo_labels
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import find_photos
from garment_keypoints.pipeline.data.videos import video_frames
from garment_keypoints.pipeline.engine.ledger import FORMAT, JOB, LINES, open_ledger
from hypothesis import strategies as st

from tests.data.test_photos import film
from tests.fuzz.mutations import bytes_like, text_like

PhotoReader = tuple[str, st.SearchStrategy[bytes], Callable[[Path], None]]
CSV = b"id,uri,category\na,a.jpg,skirt\nb,b.jpg,\n"
LINE = {
    "photo": "a.jpg",
    "width": 64,
    "height": 48,
    "garments": [
        {
            "category": "skirt",
            "score": 0.5,
            "box": [1.5, 2, 30, 40],
            "points": {"hemline_left": {"x": 3.5, "y": 30, "score": 0.25, "expected_error": 0.1, "visible": 0.5}},
        }
    ],
    "file_version": "1-2",
}


def files(folder: Path, schema: Schema, noise: st.SearchStrategy[bytes]) -> dict[str, PhotoReader]:
    """Return the name of a file, damaged ones, and what reads it, by the reader's name; `folder` is for making valid ones."""
    pq.write_table(pa.table({"id": ["a", "b", "c"], "uri": ["a.jpg"] * 3}), folder / "seed.parquet", row_group_size=2)
    parquet, line = (folder / "seed.parquet").read_bytes(), json.dumps(LINE).encode() + b"\n"
    lines = [line, line.replace(b'"a.jpg"', b'"s/b.mp4/000000", "files": "s/b~1.mp4/000000"') + line]
    return {
        "manifest.csv": ("m.csv", text_like([CSV]) | noise, lambda file: _manifest(file, schema)),
        "manifest.parquet": ("m.parquet", bytes_like([parquet]) | noise, lambda file: _manifest(file, schema)),
        "list": ("list.txt", text_like([b"a.jpg\nb/c.png\n"]) | noise, _list),
        "video": ("x.avi", bytes_like([film(folder / "seed.avi", frames=2).read_bytes()]) | noise, _video),
        "ledger": (f"out/{LINES}", text_like(lines) | noise, lambda file: _ledger(file, schema)),
    }


def _manifest(file: Path, schema: Schema) -> None:
    manifest = open_manifest(file)
    manifest.refuse_repeated_ids()
    entries = manifest.entries(0, len(manifest), schema)
    assert len({one.id for one in entries}) == len(entries) == len(manifest) > 0


def _list(file: Path) -> None:
    assert all(photo.name for photo in find_photos([str(file)]))


def _video(file: Path) -> None:
    for _, rate, pixels in video_frames(file, 1, PictureOptions(max_megapixels=0.1)):
        assert pixels.dtype == np.uint8
        assert rate > 0


def _ledger(file: Path, schema: Schema) -> None:
    write_text(file.parent / JOB, json.dumps({"format": FORMAT}))
    for line in open_ledger(file.parent, {}, schema).results():
        result = PhotoResult.from_dict(line, schema)
        yolo_labels(result, schema)
        json.dumps([coco_result(1, one, schema) for one in result.garments], allow_nan=False)
