"""Pictures of all sizes through a prediction: decoded smaller, in batches of so many pixels, with points of the whole."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, ImageBatch, Regions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes

from tests.oracle import Case, Dots, TrueBoxes, TruePoints, boxes_of, make_rows, run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")


class SeesSizes(TrueBoxes):
    """Keeps by how much the pictures were reduced, and how many each batch had, of how many pixels together."""

    def __init__(self, boxes: np.ndarray) -> None:
        super().__init__(boxes)
        self.reduced: list[int] = []
        self.batches: list[tuple[int, int]] = []

    def regions(self, batch: ImageBatch) -> Regions:
        self.reduced += batch.reduced.tolist()
        self.batches.append((len(batch), batch.images[:, 0].numel()))
        return super().regions(batch)


MIXED = [
    Case((64, 64), "skirt"),
    Case((2600, 701), "blouse"),
    Case((300, 2051), "trousers", "exif"),
    Case((513, 511), "dress", "L"),
    Case((90, 130), "outwear"),
    Case((1025, 1201), "dress", "exif", box=(101, 300, 900, 1000)),
    Case((1999, 64), "skirt"),
]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, schema: Schema) -> list[Annotation]:
    return make_rows(tmp_path_factory.mktemp("mixed"), schema, MIXED)


@pytest.mark.parametrize("batch_megapixels", [0.1, 0.3, 16])
def test_points_of_pictures_that_are_decoded_smaller_come_back_exactly(
    mixed: list[Annotation], tmp_path: Path, schema: Schema, batch_megapixels: float
) -> None:
    rows, source = mixed, SeesSizes(boxes_of(mixed, MIXED))
    stages = source, TruePoints(source, np.stack([row.xy for row in rows]), (96, 64), padding=0.1)
    options = PictureOptions(detail=256)
    found, sizes_wh = run_predict(
        rows, stages, tmp_path / "parts", schema, pictures=options, batch_megapixels=batch_megapixels
    )
    assert [tuple(size) for size in sizes_wh.tolist()] == [case.size_wh for case in MIXED]
    np.testing.assert_allclose(np.stack([p.xy for p in found]), np.stack([row.xy for row in rows]), atol=2e-3)
    assert source.reduced == [1, 8, 8, 2, 1, 4, 4]
    assert all(count == 1 or pixels <= 1e6 * batch_megapixels for count, pixels in source.batches)
    assert len(source.batches) == {0.1: 6, 0.3: 3, 16: 2}[batch_megapixels]


@pytest.mark.parametrize("detail", [256, 0])
def test_dots_of_pictures_that_are_decoded_smaller_are_found(tmp_path: Path, schema: Schema, detail: int) -> None:
    cases = [Case((1040, 1100), "dress"), Case((1203, 1071), "blouse", "exif"), Case((300, 350), "outwear")]
    rows = make_rows(tmp_path, schema, cases, apart=4, radius=20)
    stages = GivenBoxes(boxes_of(rows, cases)), Dots((288, 288), 0.1)
    options = PictureOptions(detail=detail)
    found, _ = run_predict(rows, stages, tmp_path / "parts", schema, pictures=options)
    for row, one in zip(rows, found, strict=True):
        members = list(schema.members[row.category])
        assert np.abs(one.xy[members] - row.xy[members]).max() < 1, row.image_id
