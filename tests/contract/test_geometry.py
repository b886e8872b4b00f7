"""Boxes and affines against plain float64 arithmetic and hand-worked values."""

import math

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract import geometry as g


def draws(n: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Random crops: boxes in a 512 picture, angle, scale, shift, flip."""
    r = torch.rand(n, 10, dtype=dtype)
    low = r[:, :2] * 250
    boxes = torch.cat([low, low + 20 + r[:, 2:4] * 230], 1)
    return {
        "boxes": boxes,
        "angle_deg": (r[:, 4] - 0.5) * 120,
        "scale": 0.7 + 0.6 * r[:, 5],
        "shift": (r[:, 6:8] - 0.5) * 0.3,
        "flip": r[:, 8] < 0.5,
    }


def reference_affine(box, size_wh, padding, angle_deg, scale, shift, flip) -> np.ndarray:
    """The same crop as a product of 3 x 3 matrices, in numpy float64."""
    (w, h), (cx, cy) = size_wh, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    zoom = scale * min(w / ((box[2] - box[0]) * (1 + 2 * padding)), h / ((box[3] - box[1]) * (1 + 2 * padding)))
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    to_origin = np.array([[1, 0, -cx], [0, 1, -cy], [0, 0, 1.0]])
    turn = np.array([[zoom * c, zoom * s, 0], [-zoom * s, zoom * c, 0], [0, 0, 1]])
    to_crop = np.array([[1, 0, w / 2 + shift[0] * w], [0, 1, h / 2 + shift[1] * h], [0, 0, 1]])
    mirror = np.array([[-1, 0, w], [0, 1, 0], [0, 0, 1]]) if flip else np.eye(3)
    return (mirror @ to_crop @ turn @ to_origin)[:2]


def test_crop_from_image_equals_a_product_of_matrices() -> None:
    d = draws(50)
    made = g.crop_from_image(d["boxes"], (224, 192), 0.15, d["angle_deg"], d["scale"], d["shift"], d["flip"])
    for i in range(50):
        one = (d[name][i].numpy() for name in ("boxes",))
        expected = reference_affine(
            *one,
            (224, 192),
            0.15,
            float(d["angle_deg"][i]),
            float(d["scale"][i]),
            d["shift"][i].numpy(),
            bool(d["flip"][i]),
        )
        np.testing.assert_allclose(made[i].numpy(), expected, atol=1e-9)


def test_hand_worked_crop() -> None:
    # A box of 100 x 50 about (60, 35), padded by 10 %, in a crop of 240: 240 / 120 = 2 pixels a pixel, no stretching.
    box = torch.tensor([[10.0, 10, 110, 60]], dtype=torch.float64)
    crops = g.apply(g.crop_from_image(box, (240, 240), padding=0.1), box.new_tensor([[[60.0, 35], [10, 10]]]))
    torch.testing.assert_close(crops, box.new_tensor([[[120, 120], [20, 70]]]))
    flipped = g.crop_from_image(box, (240, 240), padding=0.1, flip=torch.tensor([True]))
    torch.testing.assert_close(g.apply(flipped, box.new_tensor([[[10.0, 10]]])), box.new_tensor([[[220, 70]]]))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_affine_round_trip(dtype: torch.dtype, bound: float) -> None:
    d = draws(200, dtype)
    affine = g.crop_from_image(d["boxes"], (224, 224), 0.15, d["angle_deg"], d["scale"], d["shift"], d["flip"])
    xy = torch.rand(200, 24, 2, dtype=dtype) * 512
    assert (g.apply(g.invert(affine), g.apply(affine, xy)) - xy).abs().max() < bound


def test_mirroring_twice_is_the_identity() -> None:
    affine = g.crop_from_image(draws(20)["boxes"], (224, 224))
    torch.testing.assert_close(g.mirror(g.mirror(affine, 224), 224), affine, rtol=0, atol=1e-12)


def test_boxes_of_points_ignore_absent_ones() -> None:
    xy = torch.tensor([[[5.0, 9], [-1, -1], [8, 2]]])
    assert g.box_from_points(xy, torch.tensor([[True, False, True]])).tolist() == [[5, 2, 8, 9]]
    with pytest.raises(ValueError, match="no box"):
        g.box_from_points(xy, torch.zeros(1, 3, dtype=torch.bool))


def test_pad_square_clip() -> None:
    box = torch.tensor([[10.0, 20, 30, 60]])
    assert g.pad_box(box, 0.1).tolist() == [[8, 16, 32, 64]]
    assert g.square_box(box).tolist() == [[0, 20, 40, 60]]
    assert g.clip_box(torch.tensor([[-5.0, 4, 700, 90]]), torch.tensor([[512, 64]])).tolist() == [[0, 4, 512, 64]]


def test_iou_against_hand_worked_pairs() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 1, 1], [3, 3, 3, 3]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 3, 3], [3, 3, 3, 3]])
    torch.testing.assert_close(g.box_iou(a, b), torch.tensor([1, 1 / 3, 0, 0]))


def test_contains_counts_the_border() -> None:
    inside = g.contains(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[[0.0, 10], [5, 5], [10.01, 5]]]))
    assert inside.tolist() == [[True, True, False]]


def test_transform_box_of_a_turned_box_is_its_hull() -> None:
    turn = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    assert g.transform_box(turn, torch.tensor([[1.0, 2, 5, 3]])).tolist() == [[-3, 1, -2, 5]]


def test_a_box_without_area_is_refused() -> None:
    with pytest.raises(ValueError, match="without area"):
        g.crop_from_image(torch.tensor([[5.0, 5, 5, 9]]), (64, 64))
