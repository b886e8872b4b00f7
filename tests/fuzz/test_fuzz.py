"""Each reader on a fixed set of damaged files; `make fuzz` goes on with others for as long as one likes."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes, write_boxes
from garment_keypoints.pipeline.contract.formats.csv_files import wrong_id
from garment_keypoints.pipeline.contract.formats.submission import read_submission, write_submission
from garment_keypoints.pipeline.contract.records import BoxRow, ImageRow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import SCHEMA, prepare, readers
from tests.fuzz.rule import obeys

CASES = {"preset": 20, "safetensors": 15, "torch weights": 15, "TIFF": 20, "annotations": 40}
FIXED = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=60
)
NAMES = (
    *(
        "annotations",
        "test.csv",
        "answers",
        "submission",
        "boxes",
        "folds",
        "shard",
        "job",
        "schema",
        "preset",
        "ablation",
        "safetensors",
    ),
    *(
        "torch weights",
        "calibration.json",
        "weights.json",
        "graph",
        "manifest.csv",
        "manifest.parquet",
        "list",
        "video",
        "ledger",
        "coco",
        "coco truth",
        "coco results",
        "deepfashion2",
        "JPEG",
        "PNG",
        "WEBP",
        "GIF",
        "BMP",
        "TIFF",
        "AVIF",
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fuzz")
    prepare(made)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(folder: Path, name: str) -> None:
    reader = readers(folder)[name]

    @settings(FIXED, max_examples=CASES.get(name, 60))
    @given(reader.files)
    def cases(content: bytes) -> None:
        obeys(reader, folder, content)

    cases()


def test_every_reader_is_tried(folder: Path) -> None:
    assert set(readers(folder)) == set(NAMES)


IMAGE_IDS = st.text(max_size=30).filter(lambda text: wrong_id(text) is None and text.isprintable())
COORDINATES = st.floats(-1e4, 1e4)


@FIXED
@given(st.lists(st.tuples(IMAGE_IDS, st.integers(0, 3)), min_size=1, max_size=4, unique=True), st.data())
def test_a_submission_comes_back(folder: Path, keys: list[tuple[str, int]], data: st.DataObject) -> None:
    category = data.draw(st.sampled_from(SCHEMA.categories))
    rows = [ImageRow(one, category, folder, instance=instance) for one, instance in keys]
    points = [data.draw(st.tuples(COORDINATES, COORDINATES)) for _ in rows]
    xy = np.repeat(np.array(points)[:, None], len(SCHEMA.keypoints), 1)
    write_submission(folder / "s.csv", rows, xy, np.full((len(rows), 2), 512), SCHEMA)
    read = read_submission(folder / "s.csv", SCHEMA)
    assert list(read) == keys
    members = list(SCHEMA.members[category])
    for one, expected in zip(read.values(), np.rint(xy).clip(0, 512), strict=True):
        assert one.category == category
        assert np.flatnonzero(one.given).tolist() == members
        np.testing.assert_array_equal(one.xy[members], expected[members])


@FIXED
@given(st.lists(IMAGE_IDS, min_size=1, max_size=4, unique=True), st.data())
def test_boxes_come_back(folder: Path, ids: list[str], data: st.DataObject) -> None:
    corner = st.integers(-1_000_000, 1_000_000).map(lambda value: value / 1000)
    side = st.integers(1, 1_000_000).map(lambda value: value / 1000)
    boxes = []
    for one in ids:
        x, y, w, h = (data.draw(kind) for kind in (corner, corner, side, side))
        made = data.draw(st.sampled_from(("detector", "truth", "image"))), data.draw(st.integers(-1, 9)), "fold1"
        boxes.append(BoxRow(one, "skirt", np.array([x, y, x + w, y + h]), 0.5, *made, data.draw(st.booleans())))
    write_boxes(folder / "b.csv", boxes)
    for box, again in zip(boxes, read_boxes(folder / "b.csv", SCHEMA), strict=True):
        np.testing.assert_allclose(again.box, box.box, atol=5.1e-4)
        for name in ("image_id", "category", "score", "source", "fold", "checkpoint", "fallback", "instance"):
            assert getattr(again, name) == getattr(box, name)
