"""Both stages through the real orchestrator, Trainer, shards and submission file, with stand-ins that know the truth."""

import gc
import weakref
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.contract.formats.submission import read_submission, write_submission
from pipeline.contract.metrics import normalized_error
from pipeline.contract.records import Boxes, ImageBatch, Points
from pipeline.contract.schema import Schema
from pipeline.inference.box_sources import GivenBoxes, WholeImages
from pipeline.learning.loading import ImageDataset, collate
from pipeline.orchestrator import TwoStage
from tests.oracle import Case, Dots, boxes_of, make_rows, run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")


class TrueBoxes(nn.Module):
    """A detector that knows the boxes, and tells the locator whose turn it is."""

    def __init__(self, boxes: np.ndarray) -> None:
        super().__init__()
        self.given = GivenBoxes(boxes)
        self.current = torch.zeros(0, dtype=torch.int64)

    def detect(self, batch: ImageBatch) -> Boxes:
        self.current = batch.index
        return self.given.detect(batch)


class TruePoints(nn.Module):
    """A locator that knows the points in the image, and works out by itself where its crop shows them."""

    def __init__(self, detector: TrueBoxes, xy: np.ndarray, size_wh: tuple[int, int], padding: float) -> None:
        super().__init__()
        self.detector, self.xy, self.size_wh, self.padding = detector, xy, size_wh, padding

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        rows = self.detector.current.numpy()
        box = self.detector.given.boxes.double().numpy()[rows]
        sides = (box[:, 2:] - box[:, :2]) * (1 + 2 * self.padding)
        zoom = (np.array(self.size_wh) / sides).min(1)[:, None, None]
        centre = (box[:, None, :2] + box[:, None, 2:]) / 2
        xy = (self.xy[rows] - centre) * zoom + np.array(self.size_wh) / 2
        ones = torch.ones(xy.shape[:2])
        return Points(torch.from_numpy(xy).float(), ones, ones)


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
    assert list(read) == [row.image_id for row in rows]
    for row in rows:
        xy, given = read[row.image_id]
        members = list(schema.members[row.category])
        assert np.flatnonzero(given).tolist() == members
        np.testing.assert_array_equal(xy[members], row.xy[members])
    xy, given = np.stack([read[row.image_id][0] for row in rows]), np.stack([read[row.image_id][1] for row in rows])
    result = normalized_error(rows, xy, given, schema)
    assert (result.value, result.missing, result.skipped) == (0.0, 0, 0)


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
        torch.testing.assert_close(alone["xy"][0], together["xy"][i], rtol=0, atol=1e-3)
        torch.testing.assert_close(locator.crops[0], crops[i], rtol=0, atol=0.05)


def test_whole_images_take_the_real_size_not_the_padded_one(tmp_path: Path, schema: Schema) -> None:
    rows = make_rows(tmp_path, schema, CASES[:2])
    dataset = ImageDataset(rows, [0, 0])
    found = WholeImages().detect(collate([dataset[0], dataset[1]]))
    assert found.boxes.tolist() == [[0, 0, 97, 131], [0, 0, 201, 64]]
    assert not found.fallback.any()


def test_no_picture_is_held_after_its_batch(tmp_path: Path, schema: Schema) -> None:
    """Memory does not grow with the number of images: at most the batch at hand and the one before are alive."""

    class Watching(WholeImages):
        seen: ClassVar[list[weakref.ref]] = []
        alive: ClassVar[list[int]] = []

        def detect(self, batch: ImageBatch) -> Boxes:
            self.seen.append(weakref.ref(batch.images))
            self.alive.append(sum(ref() is not None for ref in self.seen))
            return super().detect(batch)

    rows = make_rows(tmp_path, schema, [Case((40, 40), "skirt")] * 24)
    run_predict(rows, (Watching(), Dots((32, 32), 0.0)), tmp_path / "parts", schema, batch_size=2)
    assert len(Watching.alive) == 12
    assert max(Watching.alive) <= 3
    gc.collect()
    assert sum(ref() is not None for ref in Watching.seen) <= 1
