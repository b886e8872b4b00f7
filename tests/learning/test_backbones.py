"""Backbones: packaged weights fit exactly, and nothing is ever fetched unasked."""

from pathlib import Path
from typing import ClassVar

import pytest
import safetensors.torch
import timm
import torch
from garment_keypoints.pipeline.learning.backbones import BACKBONES, backbone_levels, build_backbone
from garment_keypoints.pipeline.learning.initial_weights import initialisation


def test_packaged_weights_are_those_of_the_network() -> None:
    backbone = build_backbone().eval()
    assert (backbone.channels, backbone.strides) == ([24, 40, 112, 320], [4, 8, 16, 32])
    # 127 is this network's zero; its batch norms were trained on real pictures, so activations have a sane scale.
    with torch.no_grad():
        maps = backbone(torch.full((1, 3, 64, 64), 127.0) + 40 * torch.randn(1, 3, 64, 64))
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert backbone.body.bn1.running_var.std() > 0.01  # a fresh network has ones everywhere
    assert backbone.mean.flatten().tolist() == [127] * 3
    assert backbone.std.flatten().tolist() == [128] * 3


def test_standardises_once_by_hand() -> None:
    backbone = build_backbone(weights="none")
    seen = []
    backbone.body.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone(torch.full((1, 3, 64, 64), 255.0))
    assert float(seen[0].mean()) == pytest.approx(1.0, abs=1e-5)  # timm's (0.5, 0.5) for this network


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("tf_efficientnet_lite9", "none", "neither conv4, movenet_lightning nor in timm .*near it: tf_effic"),
        ("resnet18", "package", "no packaged weights for 'resnet18', only for tf_efficientnet_lite0"),
        ("conv4", "package", "no packaged weights for 'conv4'"),
        ("conv4", "timm", "timm has no weights for conv4"),
        ("resnet18", "/nowhere/w.pth", "cannot read"),
    ],
)
def test_errors_say_what_to_do(name: str, weights: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(name, weights, (4, 8))


def test_a_state_dict_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    state = timm.create_model("resnet18").state_dict()
    torch.save(state, file)
    first = next(iter(state))
    loaded = build_backbone("resnet18", str(file))
    assert torch.equal(loaded.body.state_dict()[first], state[first])
    with pytest.raises(ValueError, match="has 122 tensors, resnet34 has 218"):
        build_backbone("resnet34", str(file))
    state[first] = state[first][:, :1]
    torch.save(state, file)
    with pytest.raises(ValueError, match=r"conv1.weight \(64, 1, 7, 7\) .* does not fit conv1.weight \(64, 3, 7, 7\)"):
        build_backbone("resnet18", str(file))


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def test_a_file_of_weights_runs_no_code(tmp_path: Path) -> None:
    file, mark = tmp_path / "w.pth", tmp_path / "mark"
    for zipped in (True, False):
        torch.save({"w": Attack(mark)}, file, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ValueError, match=r"cannot read .*w\.pth as a state dict"):
            build_backbone("test_efficientnet", str(file))
        assert not mark.exists()
    torch.save({"state_dict": {}}, file)
    with pytest.raises(ValueError, match="holds no plain state dict"):
        build_backbone("test_efficientnet", str(file))


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_weights_may_be_safetensors_or_a_file_by_torch(tmp_path: Path, kind: str) -> None:
    file, state = tmp_path / "w", timm.create_model("test_efficientnet").state_dict()
    if kind == "safetensors":
        safetensors.torch.save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    loaded = build_backbone("test_efficientnet", str(file)).body.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())


@pytest.mark.parametrize(
    ("name", "stride", "last"),
    [
        ("tf_efficientnet_lite0", 4, "blocks.1.1.bn3"),
        ("tf_efficientnet_lite0", 2, "blocks.0.0.bn2"),
        ("resnet18", 4, "layer1.1.bn2"),
        ("conv4", 8, "layers.1.1"),
    ],
)
def test_layers_up_to_a_stride_stay_as_they_are(name: str, stride: int, last: str) -> None:
    backbone = build_backbone(name, "none", (8, 16), frozen_stride=stride).train()
    before = {key: value.clone() for key, value in backbone.body.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    sum(m.square().mean() for m in backbone(torch.rand(2, 3, 64, 64) * 255)).backward()
    optimizer.step()
    keys = list(before)
    same = [torch.equal(before[key], value) for key, value in backbone.body.state_dict().items()]
    first_trained = 1 + max(i for i, key in enumerate(keys) if key.startswith(f"{last}."))
    assert all(same[:first_trained])
    trained = {key for key, parameter in backbone.body.named_parameters() if parameter.requires_grad}
    assert trained == {key for key in keys[first_trained:] if key in dict(backbone.body.named_parameters())}
    means = [
        s for s, key in zip(same[first_trained:], keys[first_trained:], strict=True) if key.endswith("running_mean")
    ]
    assert means
    assert not any(means)


@pytest.mark.parametrize(
    ("name", "strides", "channels"),
    [
        ("resnet18", (4, 32), [64, 512]),
        ("vgg11", (2, 4), [128, 256]),
        ("densenet121", (8, 16), [512, 1024]),
        ("convnext_atto", (4, 16), [40, 160]),
        ("conv4", (4, 8, 16, 32), [32, 64, 128, 256]),
        ("conv4", (8,), [64]),
        ("movenet_lightning", (2, 4, 8, 16, 32), [16, 48, 56, 128, 1344]),
        ("movenet_lightning", (16, 32), [128, 1344]),
    ],
)
def test_maps_come_by_stride(name: str, strides: tuple[int, ...], channels: list[int]) -> None:
    backbone = build_backbone(name, "none", strides).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 64, 64) * 255)
    assert [tuple(m.shape[1:]) for m in maps] == [(c, 64 // s, 64 // s) for c, s in zip(channels, strides, strict=True)]
    assert (backbone.channels, backbone.strides) == (channels, list(strides))


def test_frozen_layers_where_the_map_is_that_of_an_activation() -> None:
    # VGG's map of stride 2 comes from a ReLU, behind the convolutions features.0 and features.3.
    backbone = build_backbone("vgg11", "none", (4,), frozen_stride=2)
    fixed = [name for name, parameter in backbone.body.named_parameters() if not parameter.requires_grad]
    assert fixed == ["features_0.weight", "features_0.bias", "features_3.weight", "features_3.bias"]


def test_looking_up_the_strides_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    backbone_levels.__wrapped__("resnet10t")
    assert torch.equal(before, torch.get_rng_state())


def test_a_stride_that_the_backbone_does_not_have() -> None:
    with pytest.raises(
        ValueError, match=r"frozen_stride is 3; backbone .*_lite0 has maps of stride 2, 4, 8, 16, 32, or 0"
    ):
        build_backbone(weights="none", frozen_stride=3)
    with pytest.raises(ValueError, match="backbone conv4 has no map of stride 2; it has maps of stride 4, 8, 16, 32"):
        build_backbone("conv4", "none", (2, 4))
    with pytest.raises(ValueError, match="convnext_atto has no map of stride 2; it has maps of stride 4, 8, 16, 32"):
        build_backbone("convnext_atto", "none", (2, 4))


class Means(torch.nn.Module):
    """A backbone of a user's own: colours averaged over cells, and mixed."""

    levels: ClassVar[dict[int, str]] = {8: "mix"}

    def __init__(self, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.mix, self.channels = torch.nn.Conv2d(3, 5, 1), [5]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.mix(torch.nn.functional.avg_pool2d(images, 8))]


def test_a_backbone_of_ones_own_is_one_class_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "means", Means)
    state = {"mix.weight": torch.ones(5, 3, 1, 1), "mix.bias": torch.arange(5.0)}
    safetensors.torch.save_file(state, tmp_path / "w")
    backbone = build_backbone("means", str(tmp_path / "w"), (8,), frozen_stride=8)
    (found,) = backbone(torch.full((1, 3, 16, 16), 255.0))  # 1 a colour, once standardised
    assert torch.equal(found, (3 + torch.arange(5.0)).view(1, 5, 1, 1).expand(1, 5, 2, 2))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    with pytest.raises(ValueError, match="backbone means has no map of stride 4; it has maps of stride 8"):
        build_backbone("means", "none", (4, 8))


@pytest.mark.parametrize(
    ("name", "weights", "learned_from"),
    [
        ("tf_efficientnet_lite0", "package", "ImageNet"),
        ("movenet_lightning", "package", "body pose"),
        ("resnet50", "timm", "ImageNet"),
        ("resnet50", "none", "none"),
        ("conv4", "mine/first.safetensors", "first.safetensors"),
    ],
)
def test_what_features_were_learned_from(name: str, weights: str, learned_from: str) -> None:
    assert initialisation(name, weights) == learned_from
