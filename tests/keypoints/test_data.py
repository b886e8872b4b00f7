"""What training sees: points follow the pixels, weights follow visibility, mirrored crops change names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.keypoints.augment import cut_out, mirror_keypoints, random_affines
from garment_keypoints.keypoints.collapse import CollapseError
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.keypoints.module import KeypointsModule
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import Annotation, BoxRow, ImageBatch, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import ImageDataset, collate
from PIL import Image

from tests.configs import keypoints_config

PLAIN = {"jitter": 0.0, "rotation_deg": 0.0, "scale": 0.0, "shift": 0.0, "flip": 0.0}


def boxes_of(rows: list[Annotation], fold: int = 0) -> BoxTable:
    """A box around each row's points."""
    extents = [np.concatenate([row.xy[row.present].min(0) - 2, row.xy[row.present].max(0) + 2]) for row in rows]
    return given(extents, fold)


def given(boxes: Sequence[Sequence[float]], fold: int = 0) -> BoxTable:
    return BoxTable.of([BoxRow("a", "trousers", np.array(box), 1.0, "truth", fold, "t", False) for box in boxes])


@pytest.fixture
def rows(drawn: Path, schema: Schema) -> list[Annotation]:
    return read_annotations([drawn / "train"], schema)


def test_a_dot_at_each_point_stays_under_it_through_every_augmentation(schema: Schema) -> None:
    """Dots are drawn into the picture where the annotation is; in the crop they must be where the target is."""
    rng = np.random.default_rng(0)
    config = keypoints_config(size=128, rotation_deg=30, scale=0.3, shift=0.1, jitter=0.1, backbone_weights="none")
    xy = np.full((24, 2), -1.0)
    members = list(schema.members["trousers"])
    xy[members] = rng.uniform(70, 230, (7, 2))
    xy[members[3]] = xy[members[2]] + [60, 3]
    picture = np.zeros((300, 300, 3), np.float32)
    y, x = np.mgrid[:300, :300] + 0.5
    k = members[2]
    picture += (200 * np.exp(-((x - xy[k, 0]) ** 2 + (y - xy[k, 1]) ** 2) / 18))[..., None]
    visibility = np.where(np.isin(np.arange(24), members), 1, -1)
    row = Annotation("a", "trousers", Path("a"), xy, visibility)
    data = KeypointsData([row], boxes_of([row]), schema, config)
    images = torch.from_numpy(picture.round().astype(np.uint8)).permute(2, 0, 1)[None].expand(40, 3, 300, 300)
    zeros = torch.zeros(40, dtype=torch.int64)
    uniform = torch.rand(40, 32, dtype=torch.float64)
    sample = data.training_crops(ImageBatch(images, torch.full((40, 2), 300), zeros, zeros, uniform, zeros + 1))
    flipped = uniform[:, 8] < config.augment.flip
    assert 5 < flipped.sum() < 35
    j = torch.arange(128) + 0.5
    worst = 0.0
    for i in range(40):
        # The crop shows `fill` outside the picture; the dot is all that is bright.
        name = schema.flip_index[k] if flipped[i] else k
        light = (sample.crops[i, 0] - 127).clamp(min=0) if sample.target_weight[i, name] else None
        well_inside = sample.xy[i, name].min() > 12 and sample.xy[i, name].max() < 116
        if light is not None and light.sum() > 300 and well_inside:
            centre = torch.stack([(light.sum(0) * j).sum(), (light.sum(1) * j).sum()]) / light.sum()
            worst = max(worst, float((centre - sample.xy[i, name]).abs().max()))
    assert 0 < worst < 0.15


def test_weights_by_hand(rows: list[Annotation], schema: Schema) -> None:
    config = keypoints_config(size=64, occluded_weight=0.25, backbone_weights="none", **PLAIN)
    data = KeypointsData(rows, boxes_of(rows), schema, config)
    for row, weight in zip(data.rows, data.weight, strict=True):
        expected = [{1: 1.0, 0: 0.25, -1: 0.0}[int(v)] for v in row.visibility]
        assert weight.tolist() == expected


def test_occluded_points_are_kept_masked_or_drop_their_image(rows: list[Annotation], schema: Schema) -> None:
    hidden = replace(rows[0], visibility=np.where(rows[0].visibility == 1, 0, rows[0].visibility))
    clean = [row for row in rows[1:] if (row.visibility != 0).all()]
    assert clean
    pair, boxes = [hidden, clean[0]], boxes_of([hidden, clean[0]])
    settings = {"size": 64, "backbone_weights": "none"}
    kept = KeypointsData(pair, boxes, schema, keypoints_config(**settings, occluded_weight=0.25))
    assert set(kept.weight[0].tolist()) == {0.0, 0.25}
    masked = KeypointsData(pair, boxes, schema, keypoints_config(**settings, occluded="mask"))
    assert masked.weight[0].sum() == 0
    assert masked.weight[1].equal(kept.weight[1])
    dropped = KeypointsData(pair, boxes, schema, keypoints_config(**settings, occluded="drop"))
    assert [row.image_id for row in dropped.train_dataset().rows] == [clean[0].image_id]
    with pytest.raises(ValueError, match="every image has an occluded point"):
        KeypointsData([hidden], boxes.take([0]), schema, keypoints_config(**settings, occluded="drop"))


def test_what_is_watched_keeps_its_occluded_points(rows: list[Annotation], schema: Schema) -> None:
    hidden = replace(rows[0], visibility=np.where(rows[0].visibility == 1, 0, rows[0].visibility))
    boxes = replace(boxes_of([hidden, *rows[1:]]), fold=np.array([0] + [1] * 19))
    config = keypoints_config(size=64, backbone_weights="none", occluded="drop", without_fold=0)
    data = KeypointsData([hidden, *rows[1:]], boxes, schema, config)
    assert [data.rows[i].image_id for i in data.monitor_rows()] == [hidden.image_id]


def test_crops_weigh_by_their_normaliser(schema: Schema) -> None:
    """By hand: waistbands of 20, 40 and 80 pixels, and one point of it absent, all in boxes of the same size."""
    rows = [trousers({15: (10, 10, 1), 16: (10 + width, 10, 1), 19: (50, 90, 0)}) for width in (20, 40, 80)]
    rows.append(trousers({15: (10, 10, 1), 19: (50, 90, 1)}))
    rows = [replace(row, image_id=str(i)) for i, row in enumerate(rows)]
    boxes = given([[0.0, 0, 96, 96]] * 4)
    config = keypoints_config(size=64, backbone_weights="none", by_normaliser=True, occluded_weight=0.5)
    weight = KeypointsData(rows, boxes, schema, config).weight
    assert weight[:, 15].tolist() == pytest.approx([2.0, 1.0, 0.5, 1.0])
    assert weight[:, 19].tolist() == pytest.approx([1.0, 0.5, 0.25, 1.0])


def test_a_rectangle_is_hidden_by_hand() -> None:
    """Half of 40 % of 100 pixels is 20 wide from 0.5 * (100 - 20), and 0.25 of it is 10 high from 0.1 * (50 - 5)."""
    config = keypoints_config(size=64, backbone_weights="none", cutout=0.5, cutout_size=0.4)
    uniform = torch.zeros(2, 32)
    uniform[:, 10], uniform[:, 11], uniform[:, 12], uniform[:, 13] = 0.5, 0.25, 0.5, 0.1
    uniform[1, 9] = 0.6
    crops = cut_out(torch.zeros(2, 3, 50, 100), uniform, config)
    hidden = (crops[0] == 127).nonzero()
    assert hidden.amin(0).tolist() == [0, 4, 40]
    assert hidden.amax(0).tolist() == [2, 8, 59]
    assert crops[0].sum() == 127 * 3 * 20 * 5
    assert crops[1].sum() == 0
    nothing = torch.rand(1, 3, 8, 8)
    assert cut_out(nothing, torch.zeros(1, 32), keypoints_config(size=64, backbone_weights="none")) is nothing


def test_a_point_without_weight_has_no_target(rows: list[Annotation], schema: Schema) -> None:
    data = KeypointsData(rows, boxes_of(rows), schema, keypoints_config(size=64, backbone_weights="none", **PLAIN))
    sample = data.training_crops(collate([data.train_dataset()[i] for i in range(4)]))
    assert (sample.targeted[sample.target_weight == 0] < -1e5).all()
    assert torch.equal(sample.targeted[sample.target_weight > 0], sample.xy[sample.target_weight > 0])


def test_batches_are_of_one_category_where_each_has_a_network(rows: list[Annotation], schema: Schema) -> None:
    settings = {"size": 64, "backbone_weights": "none"}
    assert KeypointsData(rows, boxes_of(rows), schema, keypoints_config(**settings)).train_groups() is None
    data = KeypointsData(rows, boxes_of(rows), schema, keypoints_config(**settings, per_category=True))
    assert data.train_groups().tolist() == [schema.category_index(row.category) for row in data.rows]


def test_points_outside_the_crop_weigh_nothing_and_are_not_moved(rows: list[Annotation], schema: Schema) -> None:
    config = keypoints_config(size=64, padding=0.0, backbone_weights="none", **PLAIN)
    row = next(r for r in rows if r.category == "trousers")
    inner = boxes_of([row]).boxes[0]
    data = KeypointsData([row], given([inner * [1, 1, 0, 0] + [0, 0, *inner[:2] + 12]]), schema, config)
    sample = data.training_crops(collate([data.train_dataset()[(0, 1)]]))
    outside = ((sample.xy < 0) | (sample.xy > 64)).any(-1) & (data.weight > 0)
    assert outside.any()
    assert (sample.target_weight[outside] == 0).all()
    affine = geometry.crop_from_image(data.boxes, (64, 64))
    torch.testing.assert_close(sample.xy, geometry.apply(affine, data.xy), rtol=0, atol=1e-3)


def test_mirrored_rows_take_the_names_of_the_other_side(schema: Schema) -> None:
    values = torch.arange(24.0).expand(2, 24)
    flip_index = torch.tensor(schema.flip_index)
    mirrored = mirror_keypoints(values, torch.tensor([False, True]), flip_index)
    assert mirrored[0].tolist() == list(range(24))
    assert mirrored[1].tolist() == list(schema.flip_index)
    torch.testing.assert_close(mirror_keypoints(mirrored, torch.tensor([True, True]), flip_index)[1], values[1])


def test_augmentation_of_nothing_is_the_plain_crop() -> None:
    boxes = torch.tensor([[10.0, 20, 110, 80]])
    affine, flip = random_affines(boxes, torch.rand(1, 32), keypoints_config(size=96, backbone_weights="none", **PLAIN))
    torch.testing.assert_close(affine, geometry.crop_from_image(boxes, (96, 96), padding=0.15))
    assert not flip.any()


def test_augmentation_stays_within_its_strengths() -> None:
    config = keypoints_config(size=96, rotation_deg=10, scale=0.2, shift=0.05, jitter=0.0, flip=0.0, padding=0.0)
    boxes = torch.tensor([[0.0, 0, 96, 96]]).expand(500, 4)
    affine, _ = random_affines(boxes, torch.rand(500, 32), config)
    scale = torch.linalg.norm(affine[:, :, 0], dim=-1)
    angle = torch.rad2deg(torch.atan2(affine[:, 0, 1], affine[:, 0, 0]))
    moved = geometry.apply(affine, torch.full((500, 1, 2), 48.0))[:, 0] - 48
    assert 0.79 < scale.min() < 0.83 < 1.2 < scale.max() < 1.26
    assert 9 < angle.abs().max() <= 10.01
    assert 4.5 < moved.abs().max() <= 4.81


def test_boxes_to_learn_in_are_those_of_their_rows(rows: list[Annotation], schema: Schema) -> None:
    """Also when some of them are left out of training; they are watched in others."""
    table = replace(boxes_of(rows), fold=np.arange(20) % 2)
    config = keypoints_config(size=64, without_fold=0, backbone_weights="none")
    data = KeypointsData(rows, table, schema, config, training=table.boxes + 100)
    order = [*range(1, 20, 2), *range(0, 20, 2)]
    np.testing.assert_allclose(data.training_boxes, table.boxes[order] + 100, rtol=1e-6)
    np.testing.assert_allclose(data.boxes, table.boxes[order], rtol=1e-6)


def test_a_fold_can_be_left_out_and_watched(rows: list[Annotation], schema: Schema) -> None:
    boxes = replace(boxes_of(rows), fold=np.arange(20) % 2)
    data = KeypointsData(rows, boxes, schema, keypoints_config(size=64, without_fold=1, backbone_weights="none"))
    left_out = {rows[i].image_id for i in range(1, 20, 2)}
    assert {row.image_id for row in data.train_dataset().rows} == {row.image_id for row in rows} - left_out
    assert {data.rows[i].image_id for i in data.monitor_rows()} == left_out
    with pytest.raises(ValueError, match="no box is of that fold"):
        KeypointsData(rows, boxes, schema, keypoints_config(size=64, without_fold=4, backbone_weights="none"))


def test_a_training_can_go_unwatched(rows: list[Annotation], schema: Schema) -> None:
    config = keypoints_config(size=64, monitor_rows=0, backbone_weights="none")
    data = KeypointsData(rows, boxes_of(rows), schema, config)
    assert data.monitor_loader() is None
    module = KeypointsModule(config, schema, data)
    assert module.alarm is None
    module.on_train_end()


def test_a_training_whose_last_look_was_bad_has_collapsed(rows: list[Annotation], schema: Schema) -> None:
    config = keypoints_config(size=64, backbone="conv4", backbone_weights="none")
    module = KeypointsModule(config, schema, KeypointsData(rows, boxes_of(rows), schema, config))
    module.on_train_end()
    module.alarm.check(np.zeros((len(module.alarm.rows), 24, 2)), watching=False)
    module.alarm.check(np.zeros((len(module.alarm.rows), 24, 2)))
    with pytest.raises(CollapseError, match="training has collapsed"):
        module.on_train_end()


def trousers(points: dict[int, tuple[float, float, int]]) -> Annotation:
    """Trousers with these points x, y, visibility by number of keypoint, in a picture of 96 x 96."""
    xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
    for k, (x, y, v) in points.items():
        xy[k], visibility[k] = (x, y), v
    return Annotation("a", "trousers", Path("a"), xy, visibility)


def picture(file: Path) -> ImageBatch:
    """A picture of 96 x 96, white on its left half, whose random numbers are all in the middle."""
    pixels = np.zeros((96, 96, 3), np.uint8)
    pixels[:, :48] = 255
    Image.fromarray(pixels).save(file)
    batch = collate([ImageDataset([ImageRow("a", "trousers", file)], [0])[0]])
    return replace(batch, uniform=torch.full((1, 32), 0.5))


def test_a_mirrored_crop_by_hand(tmp_path: Path, schema: Schema) -> None:
    """The left end of the waistband (15), occluded, becomes the right one (16); the crotch (19) has no counterpart."""
    row = trousers({15: (20, 10, 0), 16: (70, 12, 1), 19: (30, 50, 1)})
    whole = given([[0.0, 0, 96, 96]])
    settings = PLAIN | {"size": 96, "padding": 0.0, "occluded_weight": 0.5, "backbone_weights": "none"}
    data = KeypointsData([row], whole, schema, keypoints_config(**settings | {"flip": 1.0}))
    sample = data.training_crops(picture(tmp_path / "a.png"))
    assert sample.xy[0, [15, 16, 19]].tolist() == [[26, 12], [76, 10], [66, 50]]
    assert sample.target_weight[0, [15, 16, 19]].tolist() == [1.0, 0.5, 1.0]
    assert sample.target_weight.sum() == 2.5
    assert [float(sample.crops[0, 0, 40, x]) for x in (10, 86)] == [0, 255]


def test_the_alarm_looks_at_crops_as_they_are_when_predicting(schema: Schema) -> None:
    """A box of 64 x 32 with a quarter of padding on each side: 96 pixels of the picture in a crop of 64."""
    row = trousers({15: (20, 10, 1), 16: (70, 12, 1)})
    box = given([[16.0, 32, 80, 64]])
    config = keypoints_config(size=64, padding=0.25, head_channels=16, backbone_weights="none")
    module = KeypointsModule(config, schema, KeypointsData([row], box, schema, config))
    expected = torch.tensor([[[2 / 3, 0, 0], [0, 2 / 3, 0]]])
    torch.testing.assert_close(module.monitored, expected, rtol=0, atol=1e-5)
