"""MoveNet Lightning as a backbone: its maps are those of the published network, and it trains like any other."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.pipeline.learning.backbones import Backbone, build_backbone
from garment_keypoints.pipeline.learning.movenet import MoveNetLightning

from tests.configs import detector_config

NAME = "movenet_lightning"
REFERENCE = Path(__file__).parents[1] / "data" / "movenet_lightning_reference.npz"
"""A CC0 photo (192, 192, 3) uint8, and by map 500 values that the published graph gives for it, at flat indices `_at`."""


@pytest.fixture(scope="module")
def packaged() -> Backbone:
    return build_backbone(NAME, "package").eval()


def test_the_maps_are_those_of_the_published_network_up_to_a_factor(packaged: Backbone) -> None:
    assert (packaged.channels, packaged.strides) == ([48, 56, 128, 1344], [4, 8, 16, 32])
    reference = np.load(REFERENCE)
    with torch.no_grad():
        maps = packaged(torch.from_numpy(reference["image"]).permute(2, 0, 1)[None].float())
    for stride, both, body_width in zip(packaged.strides, maps, (24, 32, 96, 1280), strict=True):
        for name, part in ((f"f{stride}", both[0, :body_width]), (f"p{stride}", both[0, body_width:])):
            expected = reference[name].astype(np.float64)
            found = part.flatten().numpy()[reference[f"{name}_at"]].astype(np.float64)
            factor = (found @ expected) / (found @ found)
            assert factor > 0
            assert np.linalg.norm(factor * found - expected) < 1e-4 * np.linalg.norm(expected), name


def test_the_packaged_file_holds_just_the_tensors_of_the_network(packaged: Backbone) -> None:
    folder = files("garment_keypoints.pipeline.learning") / "pretrained"
    state = safetensors.torch.load((folder / f"{NAME}.safetensors").read_bytes())
    MoveNetLightning((4, 8, 16, 32)).load_state_dict(state, strict=True)
    assert all(torch.equal(value, state[key]) for key, value in packaged.body.state_dict().items())
    notice = (folder / "NOTICE").read_text()
    assert all(word in notice for word in ("Google", "MoveNet", "Apache License, Version 2.0", "changed"))


def test_pictures_come_in_as_x_through_127_5_minus_1(packaged: Backbone) -> None:
    for backbone in (packaged, build_backbone(NAME, "none")):
        assert backbone.mean.flatten().tolist() == backbone.std.flatten().tolist() == [127.5] * 3


@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (4,), (8, 16, 32), (16, 32), (32,)])
def test_only_what_the_maps_need_is_built_and_all_of_it_is_trained(strides: tuple[int, ...]) -> None:
    backbone = build_backbone(NAME, "package", strides)
    maps = backbone(torch.rand(2, 3, 64, 64) * 255)
    assert [m.shape[-1] for m in maps] == [64 // stride for stride in strides]
    sum(m.square().mean() for m in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("stride", "last", "tensors"),
    # 3 a convolution with its BatchNorm: the stem, 2 in block 0, 3 in each block behind it, and the last.
    [
        (2, "blocks.0.project.bn.bias", 9),
        (4, "blocks.2.project.bn.bias", 27),
        (8, "blocks.5.project.bn.bias", 54),
        (16, "blocks.12.project.bn.bias", 117),
        (32, "last.bn.bias", 156),
    ],
)
def test_layers_up_to_a_stride_are_frozen(stride: int, last: str, tensors: int) -> None:
    backbone = build_backbone(NAME, "none", frozen_stride=stride)
    names = [name for name, _ in backbone.body.named_parameters()]
    fixed = [name for name, parameter in backbone.body.named_parameters() if not parameter.requires_grad]
    assert fixed == names[:tensors]
    assert fixed[-1] == last


def test_random_weights_keep_the_signal_alive() -> None:
    torch.manual_seed(0)
    backbone = build_backbone(NAME, "none")
    assert float(backbone.body.last.conv.weight.detach().std()) == pytest.approx(
        (2 / 320) ** 0.5, rel=0.02
    )  # He et al. 2015
    with torch.no_grad():
        maps = backbone(torch.rand(4, 3, 64, 64) * 255)
    assert all(0.05 < float(m.std()) < 20 for m in maps)


@pytest.mark.parametrize("finest", [8, 16])
def test_it_serves_the_detector_too(finest: int) -> None:
    config = detector_config(size=64, fpn_channels=16, finest_stride=finest, backbone=NAME, frozen_stride=4)
    network = GarmentNetwork(config, 5)
    assert network.backbone.strides == [s for s in (8, 16, 32) if s >= finest]
    losses = network.losses(torch.rand(2, 3, 64, 64) * 255, torch.tensor([[8.0, 8, 56, 56]] * 2), torch.tensor([0, 3]))
    assert all(torch.isfinite(loss) for loss in losses.values())
