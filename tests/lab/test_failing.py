"""Parts that exist to fail do what docs/collapse.md says of them, and only the laboratory knows them."""

import math
import subprocess
import sys

import pytest
import torch
from garment_keypoints.keypoints.codecs.build import CODECS
from garment_keypoints.keypoints.losses import LOSSES
from garment_keypoints.keypoints.networks.heads import HEADS
from garment_keypoints.pipeline.lab import failing

ASKED = "import keypoints.config as c; print(sorted({*c.HEADS, *c.CODECS, *c.LOSSES}))"


def test_plain_mse_of_sigmoids_by_hand_makes_zero_a_bargain() -> None:
    logits = torch.tensor([[[[math.log(3.0), 0.0], [-math.log(3.0), 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    error = LOSSES["sigmoid_mse"]()({"maps": logits}, {"maps": target})
    assert float(error) == pytest.approx((0.0625 + 0.25 + 0.0625 + 0.25) / 4, rel=1e-5)
    blob = torch.zeros(1, 1, 56, 56)
    blob[..., 28, 28] = 1
    nothing = LOSSES["sigmoid_mse"]()({"maps": torch.full((1, 1, 56, 56), -9.0)}, {"maps": blob})
    assert float(nothing) < 0.003


def test_unnormalised_coordinates_are_crop_pixels() -> None:
    codec, flip_index = CODECS["pixels"]((128, 64)), torch.tensor([1, 0, 2, 3])
    xy = torch.randint(0, 64, (2, 4, 2)).float()
    assert torch.equal(codec.encode(xy)["xy"], xy)
    assert torch.equal(codec.decode(codec.encode(xy)).xy, xy)
    mirrored = (xy * torch.tensor([-1.0, 1]) + torch.tensor([128.0, 0]))[:, flip_index]
    assert torch.equal(codec.decode(codec.mirror(codec.encode(mirrored), flip_index)).xy, xy)


def test_a_rectified_head_can_be_stuck_at_zero() -> None:
    head = HEADS["coordinates_relu"]([8], 3, 4, 64)
    assert isinstance(head, failing.RectifiedCoordinatesHead)
    torch.nn.init.constant_(head.predict[-2].bias, -9.0)
    xy = head([torch.rand(2, 8, 2, 2)], torch.zeros(2, dtype=torch.int64))[-1]["xy"]
    xy.sum().backward()
    assert not xy.any()
    assert not any(one.grad.any() for one in head.parameters())


def test_the_product_does_not_know_them() -> None:
    known = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True).stdout
    assert "'coordinates'" in known
    assert not any(f"'{name}'" in known for name in ("coordinates_relu", "pixels", "sigmoid_mse"))
