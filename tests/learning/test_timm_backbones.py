"""The backbones of the write-up, from timm: maps of stride 4 to 32, and what `frozen_stride` freezes of them."""

from pathlib import Path

import pytest
import timm
import torch
from garment_keypoints.pipeline.learning.backbones import build_backbone

STRIDES = (4, 8, 16, 32)
CHANNELS = {
    "vgg16": [256, 512, 512, 512],
    "vgg16_bn": [256, 512, 512, 512],
    "vgg19_bn": [256, 512, 512, 512],
    "resnet50": [256, 512, 1024, 2048],
    "densenet169": [256, 512, 1280, 1664],
    "densenet201": [256, 512, 1792, 1920],
    "hrnet_w18": [18, 36, 72, 144],
    "hrnet_w32": [32, 64, 128, 256],
}


@pytest.mark.parametrize("name", CHANNELS)
def test_maps_of_stride_4_to_32(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, "none", STRIDES).eval()
        maps = backbone(torch.empty(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (1, channels, 64 // stride, 96 // stride) for channels, stride in zip(CHANNELS[name], STRIDES, strict=True)
    ]
    assert (backbone.channels, backbone.strides) == (CHANNELS[name], list(STRIDES))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_every_layer_of_a_backbone_is_trained(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, "none", STRIDES)
    maps = backbone(torch.rand(2, 3, 64, 64) * 255)
    assert [m.shape[1] for m in maps] == CHANNELS[name]
    assert all(bool(torch.isfinite(m).all()) for m in maps)
    sum(m.square().mean() for m in maps).backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


def convs(*indices: int) -> list[str]:
    return [f"features_{i}" for i in indices]


@pytest.mark.parametrize(
    ("name", "stride", "layers"),
    [
        # VGG's blocks of convolutions end in a pooling, before which the map of their stride is taken.
        ("vgg16", 1, convs(0, 2)),
        ("vgg16", 2, convs(0, 2, 5, 7)),
        ("vgg16", 4, convs(0, 2, 5, 7, 10, 12, 14)),
        ("vgg16", 8, convs(0, 2, 5, 7, 10, 12, 14, 17, 19, 21)),
        ("vgg16", 16, convs(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
        ("vgg16_bn", 2, convs(0, 1, 3, 4, 7, 8, 10, 11)),
        ("vgg19_bn", 4, convs(0, 1, 3, 4, 7, 8, 10, 11, 14, 15, 17, 18, 20, 21, 23, 24)),
        # DenseNet's map of a stride is a block's; the transition behind it, which halves it, is trained.
        ("densenet169", 2, ["features_conv0", "features_norm0"]),
        ("densenet169", 4, ["features_conv0", "features_norm0", "features_denseblock1"]),
        (
            "densenet201",
            8,
            [
                "features_conv0",
                "features_norm0",
                "features_denseblock1",
                "features_transition1",
                "features_denseblock2",
            ],
        ),
        ("resnet50", 2, ["conv1", "bn1"]),
        ("resnet50", 8, ["conv1", "bn1", "layer1", "layer2"]),
        # HRNet's branch of stride 8 begins in stage 2.
        ("hrnet_w18", 2, ["conv1", "bn1"]),
        ("hrnet_w18", 4, ["conv1", "bn1", "conv2", "bn2", "layer1"]),
        ("hrnet_w32", 8, ["conv1", "bn1", "conv2", "bn2", "layer1", "transition1", "stage2"]),
    ],
)
def test_frozen_layers_by_name(name: str, stride: int, layers: list[str]) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, "none", STRIDES, frozen_stride=stride)
    parameters = dict(backbone.body.named_parameters())
    fixed = [key for key, parameter in parameters.items() if not parameter.requires_grad]
    assert fixed == [key for key in parameters if key.split(".")[0] in layers]
    assert list(dict.fromkeys(key.split(".")[0] for key in fixed)) == layers


def test_hrnet_without_its_classifiers_part_loads_a_whole_networks_weights(tmp_path: Path) -> None:
    state = timm.create_model("hrnet_w18_small").state_dict()
    torch.save(state, tmp_path / "w.pth")
    loaded = build_backbone("hrnet_w18_small", str(tmp_path / "w.pth")).body.state_dict()
    assert not any(key.startswith(("incre_modules", "classifier")) for key in loaded)
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())
