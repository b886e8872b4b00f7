"""Both stages through the real orchestrator, Trainer, shards and submission file, with stand-ins that know the truth."""

import gc
import weakref
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract.formats.submission import read_submission, write_submission
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.records import ORIGINS, ImageBatch, ImageRow, Points, PointView, Regions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes, WholeImages
from garment_keypoints.pipeline.learning.loading import ImageDataset, collate
from garment_keypoints.pipeline.orchestrator import TwoStage, averaged
from torch import Tensor, nn

from tests.oracle import Case, Dots, TrueBoxes, TruePoints, boxes_of, make_rows, run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")


CASES = [
    Case((97, 131), "dress"),
    Case((201, 64), "blouse", "L"),
    Case((150, 150), "outwear", "CMYK"),
    Case((121, 77), "trousers", "exif"),
    Case((512, 512), "skirt", box=(0, 0, 512, 512)),
    Case((60, 240), "dress", box=(0, 0, 20, 31)),  # cuts most of the points off
    Case((333, 222), "blouse", box=(-40.5, 150, 90, 260)),  # over two borders
    Case((89, 143), "skirt", "exif", box=(70.25, 100.5, 89, 143)),
    Case((400, 301), "outwear", "L", box=(398, 299, 399.5, 300)),  # hardly a pixel
]


@pytest.mark.parametrize("size_wh", [(224, 224), (96, 160)])
def test_stages_that_know_the_truth_give_every_number_back(tmp_path: Path, schema: Schema, size_wh) -> None:
    rows = make_rows(tmp_path, schema, CASES)
    detector = TrueBoxes(boxes_of(rows, CASES))
    locator = TruePoints(detector, np.stack([row.xy for row in rows]), size_wh, padding=0.1)
    predictions, sizes_wh = run_predict(rows, (detector, locator), tmp_path / "parts", schema)
    assert [tuple(size) for size in sizes_wh.tolist()] == [case.size_wh for case in CASES]

    file = tmp_path / "submission.csv"
    write_submission(file, rows, np.stack([p.xy for p in predictions]), sizes_wh, schema)
    read = read_submission(file, schema)
    assert list(read) == [row.key for row in rows]
    for row in rows:
        xy, given = read[row.key].xy, read[row.key].given
        members = list(schema.members[row.category])
        assert np.flatnonzero(given).tolist() == members
        np.testing.assert_array_equal(xy[members], row.xy[members])
    xy, given = (np.stack([getattr(read[row.key], part) for row in rows]) for part in ("xy", "given"))
    result = normalized_error(rows, xy, given, schema)
    assert (result.value, result.missing, result.skipped) == (0.0, 0, 0)


def several_garments(folder: Path, schema: Schema) -> tuple[list[ImageRow], np.ndarray, np.ndarray, np.ndarray]:
    """Five pictures with 2, 0, 3, 0 and 1 garments: rows, boxes (6, 4), row (6,) and points (6, 24, 2)."""
    cases = [Case((140, 90), "dress"), Case((64, 80), "skirt"), Case((256, 199), "blouse", "exif")]
    cases += [Case((50, 50), "trousers"), Case((77, 123), "outwear")]
    rows, row = make_rows(folder, schema, cases), np.array([0, 0, 2, 2, 2, 4])
    rng = np.random.default_rng(3)
    size = np.array([case.size_wh for case in cases])[row]
    low = np.rint(size * rng.uniform(-0.1, 0.4, (6, 2)))
    boxes = np.concatenate([low, low + np.rint(size * rng.uniform(0.2, 0.7, (6, 2)))], 1)
    return rows, boxes, row, rng.integers(0, size[:, None] + 1, (6, 24, 2)).astype(float)


@pytest.mark.parametrize("batch_size", [1, 2, 5])  # of one picture without a garment, and of two with several
def test_several_garments_a_picture_come_back_exactly(tmp_path: Path, schema: Schema, batch_size: int) -> None:
    rows, boxes, row, xy = several_garments(tmp_path, schema)
    source = TrueBoxes(boxes, row)
    stages = source, TruePoints(source, xy, (96, 128), padding=0.1)
    found, sizes_wh = run_predict(rows, stages, tmp_path / "parts", schema, batch_size=batch_size)
    assert len(sizes_wh) == 5
    expected = [(rows[i].image_id, number) for i, number in zip(row, [0, 1, 0, 1, 2, 0], strict=True)]
    assert [p.key for p in found] == expected
    assert [p.category for p in found] == [rows[i].category for i in row]
    np.testing.assert_allclose(np.stack([p.xy for p in found]), xy, atol=1e-3)
    np.testing.assert_array_equal(np.stack([p.box for p in found]), boxes)


def test_regions_of_a_batch_are_cut_in_one_call_from_their_own_pictures(tmp_path: Path, schema: Schema) -> None:
    """In any order of the regions: the locator sees what each box shows, and instances count within a picture."""
    rows, boxes, row, _ = several_garments(tmp_path, schema)
    dataset = ImageDataset(rows, [schema.category_index(row.category) for row in rows])
    batch = collate([dataset[i] for i in range(5)])
    order = torch.tensor([5, 2, 0, 4, 1, 3])

    class Shuffled(GivenBoxes):
        def regions(self, batch: ImageBatch) -> Regions:
            r = super().regions(batch)
            return Regions(r.boxes[order], r.image[order], r.category[order], r.score[order], r.origin[order])

    plain, shuffled = Linear(), Linear()
    TwoStage(GivenBoxes(boxes, row), plain).predict_step(batch)
    result = TwoStage(Shuffled(boxes, row), shuffled).predict_step(batch)["regions"]
    torch.testing.assert_close(shuffled.crops, plain.crops[order], rtol=0, atol=0)
    assert result["image"].tolist() == row[order.numpy()].tolist()
    assert result["instance"].tolist() == [0, 0, 0, 1, 1, 2]
    assert (plain.crops[:2] - plain.crops[4:]).abs().mean() > 1


DOTTED = [
    Case((320, 260), "dress"),
    Case((257, 301), "blouse"),
    Case((300, 350), "outwear", "exif"),
    Case((231, 399), "trousers", "exif"),
    Case((180, 191), "skirt"),
    Case((220, 340), "dress", "CMYK"),
]


@pytest.mark.parametrize("padding", [0.1, 0.35])
def test_a_locator_that_looks_finds_drawn_dots(tmp_path: Path, schema: Schema, padding: float) -> None:
    rows = make_rows(tmp_path, schema, DOTTED, apart=4)
    stages = GivenBoxes(boxes_of(rows, DOTTED)), Dots((256, 224), padding)
    for row, found in zip(rows, run_predict(rows, stages, tmp_path / "parts", schema)[0], strict=True):
        members = list(schema.members[row.category])
        assert np.abs(found.xy[members] - row.xy[members]).max() < 0.3, row.image_id
        assert found.score[members].min() > 5


class Linear(nn.Module):
    """A locator with a layer that autocast turns to bfloat16; the points it returns do not depend on it."""

    size_wh, padding = (224, 224), 0.15

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.ran_in: torch.dtype | None = None
        self.crops: Tensor | None = None

    def job(self) -> dict[str, str]:
        return {"keypoints": "linear"}

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        self.ran_in, self.crops = self.layer(crops).dtype, crops
        xy = torch.linspace(0, 224, 48).reshape(1, 24, 2).expand(len(crops), 24, 2)
        ones = torch.ones(len(crops), 24)
        return Points(xy, ones, ones)


def test_bf16_leaves_the_geometry_alone(tmp_path: Path, schema: Schema) -> None:
    rows = make_rows(tmp_path, schema, CASES)
    points, crops = {}, {}
    for precision, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        locator = Linear()
        stages = GivenBoxes(boxes_of(rows, CASES)), locator
        found, _ = run_predict(rows, stages, tmp_path / precision, schema, precision=precision, batch_size=len(rows))
        assert locator.ran_in == dtype
        points[dtype] = np.stack([p.xy for p in found])
        crops[dtype] = locator.crops
    assert np.abs(points[torch.float32] - points[torch.bfloat16]).max() < 0.01
    torch.testing.assert_close(crops[torch.bfloat16], crops[torch.float32], rtol=0, atol=0)


def test_crops_and_points_do_not_depend_on_the_batch(tmp_path: Path, schema: Schema) -> None:
    """The pictures differ in size and their boxes reach beyond them: padding of the batch must not show."""
    rows = make_rows(tmp_path, schema, CASES)
    dataset = ImageDataset(rows, [schema.category_index(row.category) for row in rows])
    locator = Linear()
    module = TwoStage(GivenBoxes(boxes_of(rows, CASES)), locator)
    together, crops = module.predict_step(collate([dataset[i] for i in range(len(rows))])), locator.crops
    for i in range(len(rows)):
        alone = module.predict_step(collate([dataset[i]]))
        torch.testing.assert_close(alone["regions"]["xy"][0], together["regions"]["xy"][i], rtol=0, atol=1e-3)
        torch.testing.assert_close(locator.crops[0], crops[i], rtol=0, atol=0.05)


def test_views_are_averaged_by_their_scores() -> None:
    near = PointView(torch.tensor([[[10.0, 20], [1, 1]]]), torch.tensor([[0.75, 0.5]]))
    far = PointView(torch.tensor([[[14.0, 28], [3, 5]]]), torch.tensor([[0.25, 0.5]]))
    xy, score = averaged([near, far])
    assert xy.tolist() == [[[11, 22], [2, 3]]]
    assert score.tolist() == [[0.5, 0.5]]
    assert averaged([near]) is near


def test_whole_images_take_the_real_size_not_the_padded_one(tmp_path: Path, schema: Schema) -> None:
    rows = make_rows(tmp_path, schema, CASES[:2])
    dataset = ImageDataset(rows, [0, 0])
    found = WholeImages().regions(collate([dataset[0], dataset[1]]))
    assert found.boxes.tolist() == [[0, 0, 97, 131], [0, 0, 201, 64]]
    assert [ORIGINS[i] for i in found.origin] == ["image", "image"]


def test_no_picture_is_held_after_its_batch(tmp_path: Path, schema: Schema) -> None:
    """Memory does not grow with the number of images: at most the batch at hand and the one before are alive."""

    class Watching(WholeImages):
        seen: ClassVar[list[weakref.ref]] = []
        alive: ClassVar[list[int]] = []

        def regions(self, batch: ImageBatch) -> Regions:
            self.seen.append(weakref.ref(batch.images))
            self.alive.append(sum(ref() is not None for ref in self.seen))
            return super().regions(batch)

    rows = make_rows(tmp_path, schema, [Case((40, 40), "skirt")] * 24)
    run_predict(rows, (Watching(), Dots((32, 32), 0.0)), tmp_path / "parts", schema, batch_size=2)
    assert len(Watching.alive) == 12
    assert max(Watching.alive) <= 3
    gc.collect()
    assert sum(ref() is not None for ref in Watching.seen) <= 1
