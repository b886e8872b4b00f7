"""The network learns, and the locator answers as the parts say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.keypoints.codecs.build import CODECS
from garment_keypoints.keypoints.codecs.heatmap import HeatmapCodec
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.keypoints.inference import NetworkLocator, load_locator, locate
from garment_keypoints.keypoints.losses import LOSSES, supervise
from garment_keypoints.keypoints.networks.build import build_network, upgrade_state
from garment_keypoints.keypoints.networks.heads import HEADS
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.learning.loading import collate
from safetensors.torch import load_file

from tests.configs import keypoints_config
from tests.keypoints.test_data import PLAIN, boxes_of

NETWORKS = [
    {"codec": "heatmap", "loss": "mse"},
    {"codec": "softmax", "loss": "cross_entropy"},
    {"network": "cpn", "codec": "heatmap", "loss": "mse", "hard_keypoints": 8},
    {"network": "cascade", "codec": "softmax", "loss": "cross_entropy"},
    {"network": "cpm", "codec": "softmax", "loss": "cross_entropy", "sigma": 1.0},
    {"codec": "sigmoid", "loss": "bce"},
    {"network": "deconvolution", "codec": "softmax", "loss": "cross_entropy"},
    {"network": "simcc", "codec": "simcc", "loss": "cross_entropy", "sigma": 4.0},
    {"codec": "integral", "loss": "dsnt"},
    {"network": "coordinates", "codec": "coordinates", "loss": "smooth_l1"},
]
"""Each head, and each codec and loss that a network is meant to be trained with."""
NONE = torch.zeros(8, dtype=torch.int64)
FASHIONAI = load_schema("fashionai")


FITTING = [
    {"network": head, "codec": codec, "loss": loss}
    for head, made in HEADS.items()
    for codec, read in CODECS.items()
    for loss, compares in LOSSES.items()
    if made.produces == read.accepts and read.target in compares.takes
]


@pytest.mark.parametrize("parts", FITTING, ids=lambda parts: "-".join(parts.values()))
def test_gradients_reach_every_parameter(parts: dict) -> None:
    config = keypoints_config(size=64, head_channels=16, backbone="conv4", backbone_weights="none", **parts)
    network, codec = build_network(config, FASHIONAI)
    stages = network(torch.rand(2, 3, 64, 64) * 255, NONE[:2])
    target = codec.encode(torch.rand(2, 24, 2) * 64)
    for outputs in stages:
        assert {name: value.shape for name, value in outputs.items()} == {name: target[name].shape for name in outputs}
    supervise(LOSSES[config.loss.name](), stages, target, torch.ones(2, 24)).backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or p.grad.abs().max() == 0]


def learned(drawn: Path, schema: Schema, steps: int, lr: float, **parts: object) -> float:
    """Return the NE on eight drawn garments, in crops of 64 pixels, of a network that is taught them alone."""
    torch.manual_seed(0)
    config = keypoints_config(**{"size": 64, "head_channels": 32, **parts, **PLAIN})
    rows = read_annotations([drawn / "train"], schema)[:8]
    data = KeypointsData(rows, boxes_of(rows), schema, config)
    sample = data.training_crops(collate([data.train_dataset()[i] for i in range(8)]))
    network, codec = build_network(config, schema)
    loss, target, category = LOSSES[config.loss.name](), codec.encode(sample.targeted), torch.tensor(data.category)
    optimizer = torch.optim.AdamW(network.parameters(), lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 3 * (1 - step / steps)))
    for _ in range(steps):
        optimizer.zero_grad()
        stages = network(sample.crops, category)
        supervise(loss, stages, target, sample.target_weight, config.loss.hard_keypoints).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    # In training mode: running means lag behind so few steps, and are not what is tested.
    xy = locate(network, codec, sample.crops, category).xy.double()
    points = geometry.apply(geometry.invert(sample.crop_from_image.double()), xy).numpy()
    return normalized_error(data.rows, points, np.ones(points.shape[:2], dtype=bool), schema).value


NAMED = {"ids": lambda parts: "-".join(map(str, parts.values()))}


@pytest.mark.parametrize(
    "parts",
    [pytest.param(one, marks=[pytest.mark.slow] * (one.get("network") in ("cpn", "cascade"))) for one in NETWORKS],
    **NAMED,
)
def test_eight_garments_are_learned(drawn: Path, schema: Schema, parts: dict) -> None:
    steps = 220 if parts.get("codec") == "sigmoid" else 180
    assert learned(drawn, schema, steps, 3e-3, backbone="conv4", backbone_weights="none", **parts) < 0.05


SOFTMAX = {"codec": "softmax", "loss": "cross_entropy"}
HEAVY = [
    *(
        {"network": "coordinates", "backbone": name, "codec": "coordinates", "loss": "smooth_l1"}
        for name in ("vgg16_bn", "vgg19_bn", "resnet50")
    ),
    {"network": "concatenation", "backbone": "hrnet_w18", **SOFTMAX},
]
QUICK = {**SOFTMAX, "sigma": 1.0}
SLOW_LEARNERS = [
    *({"network": "cpm", "backbone": name, **QUICK} for name in ("vgg16_bn", "vgg19_bn", "resnet50")),
    *({"network": "cpm", "backbone": name, **QUICK} for name in ("densenet169", "densenet201")),
    {"network": "deconvolution", "backbone": "resnet50", **QUICK},
]
"""From random weights they need larger steps, and narrower targets, than the others to get there in so few."""


@pytest.mark.slow
@pytest.mark.parametrize("parts", HEAVY, **NAMED)
def test_eight_garments_are_learned_by_the_heavy_networks(drawn: Path, schema: Schema, parts: dict) -> None:
    assert learned(drawn, schema, 200, 1e-3, backbone_weights="none", **parts) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("parts", SLOW_LEARNERS, **NAMED)
def test_eight_garments_are_learned_by_slow_learners(drawn: Path, schema: Schema, parts: dict) -> None:
    assert learned(drawn, schema, 200, 3e-3, backbone_weights="none", **parts) < 0.05


@pytest.mark.slow
def test_eight_garments_are_learned_from_body_pose(drawn: Path, schema: Schema) -> None:
    assert learned(drawn, schema, 120, 3e-3, backbone="movenet_lightning", **SOFTMAX) < 0.05


class Brightness(torch.nn.Module):
    """Maps that depend on position: not symmetric, so that a wrong mirror or permutation shows."""

    stride = 4

    def forward(self, crops: torch.Tensor, category: torch.Tensor) -> list[dict]:
        pooled = torch.nn.functional.avg_pool2d(crops.mean(1, keepdim=True), 4)
        ramp = torch.linspace(0, 1, pooled.shape[-1])
        return [{"maps": torch.cat([pooled * (k + 1) + 10 * k * ramp for k in range(4)], 1)}]


class Mean(torch.nn.Module):
    """Coordinates from the crop's columns: not symmetric either."""

    def forward(self, crops: torch.Tensor, category: torch.Tensor) -> list[dict]:
        columns = crops.mean((1, 2)) / 255
        return [{"xy": torch.stack([columns[:, :4], columns[:, 4:8]], -1)}]


FLIP_INDEX = torch.tensor([1, 0, 2, 3])
# Which of FashionAI's 24 keypoints stands at each place of a mirrored crop: left and right exchanged.
MIRRORED = [1, 0, 2, 4, 3, 6, 5, 8, 7, 11, 12, 9, 10, 14, 13, 16, 15, 18, 17, 19, 22, 23, 20, 21]


@pytest.mark.parametrize("parts", NETWORKS, **NAMED)
def test_no_crops_give_no_points(parts: dict) -> None:
    """A batch of pictures in which nothing was found."""
    config = keypoints_config(size=64, head_channels=16, backbone_weights="none", **parts)
    network, codec = build_network(config, FASHIONAI)
    locator = NetworkLocator(network.eval(), codec, (64, 64), 0.1, torch.arange(24), flip_test=True)
    found = locator.locate(torch.zeros(0, 3, 64, 64), NONE[:0])
    assert (found.xy.shape, found.score.shape) == ((0, 24, 2), (0, 24))


def test_each_category_has_a_network_of_its_own() -> None:
    config = keypoints_config(size=64, head_channels=8, backbone_weights="none", per_category=True)
    network, _ = build_network(config, FASHIONAI)
    network.eval()
    crops, category = torch.rand(4, 3, 64, 64) * 255, torch.tensor([3, 0, 3, 1])
    together = network(crops, category)[-1]["maps"]
    for i, c in enumerate(category.tolist()):
        alone = network.networks[c](crops[i : i + 1], category[i : i + 1])[-1]["maps"]
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-6)
    weights = [one.head.predict[1].weight for one in network.networks]
    assert not torch.equal(weights[0], weights[1])
    assert len(list(network.backbone.parameters())) == 5 * len(list(network.networks[0].backbone.parameters()))


def test_colours_are_standardised_or_only_divided() -> None:
    parts = {"size": 64, "head_channels": 8}
    packaged, _ = build_network(keypoints_config(**parts), FASHIONAI)
    plain, _ = build_network(keypoints_config(**parts, standardise=False), FASHIONAI)
    assert (packaged.backbone.mean.unique().tolist(), packaged.backbone.std.unique().tolist()) == ([127.0], [128.0])
    assert (plain.backbone.mean.unique().tolist(), plain.backbone.std.unique().tolist()) == ([0.0], [255.0])


def test_flip_test_equals_the_average_by_hand() -> None:
    crops = torch.rand(2, 3, 32, 32) * 255
    codec = HeatmapCodec((32, 32), 4, 1.5)
    both = NetworkLocator(Brightness(), codec, (32, 32), 0.1, FLIP_INDEX, flip_test=True)
    plain = NetworkLocator(Brightness(), codec, (32, 32), 0.1, FLIP_INDEX, flip_test=False)
    one, other = (Brightness()(c, NONE)[-1]["maps"] for c in (crops, torch.flip(crops, [3])))
    expected = torch.stack([(one[:, k] + torch.flip(other[:, m], [2])) / 2 for k, m in enumerate([1, 0, 2, 3])], 1)
    assert torch.equal(both.locate(crops, NONE[:2]).xy, codec.decode({"maps": expected}).xy)
    assert torch.equal(plain.locate(crops, NONE[:2]).xy, codec.decode({"maps": one}).xy)
    assert (both.size_wh, both.padding) == ((32, 32), 0.1)


@pytest.mark.parametrize(("network", "codec"), [(Brightness, "heatmap"), (Mean, "coordinates")])
def test_flip_test_mirrors_points_exactly(network: type, codec: str) -> None:
    """With the flip test the answer for a mirrored crop is the mirrored answer."""
    crops = torch.rand(1, 3, 32, 32) * 255
    made = CODECS[codec]((32, 32), 4, 1.5)
    locator = NetworkLocator(network(), made, (32, 32), 0.1, FLIP_INDEX, flip_test=True)
    there, back = locator.locate(crops, NONE[:1]).xy, locator.locate(crops.flip(-1), NONE[:1]).xy
    affine = geometry.mirror(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), 32)
    torch.testing.assert_close(back[:, FLIP_INDEX], geometry.apply(affine, there), rtol=0, atol=1e-3)


def test_the_shipped_weights_load(schema: Schema) -> None:
    file = Path(__file__).parents[2] / "weights" / "cpu" / "keypoints.safetensors"
    locator = load_locator(file, schema)
    assert (locator.size_wh, locator.padding, locator.flip_test) == ((320, 320), 0.15, True)
    assert locator.flip_index.tolist() == MIRRORED
    stored = load_file(file)
    torch.testing.assert_close(locator.network.head.refined[2].bias, stored["head.refined.2.bias"].float())


def test_weights_of_the_time_before_heads_are_renamed() -> None:
    network, _ = build_network(keypoints_config(size=64, head_channels=16, backbone_weights="none"), FASHIONAI)
    now = network.state_dict()
    before = {key.removeprefix("head.").replace("predict.", "head."): value for key, value in now.items()}
    assert "laterals.0.weight" in before
    upgraded = upgrade_state(before)
    assert upgraded.keys() == now.keys()
    assert all(upgraded[key] is value for key, value in before.items() if key.startswith("backbone."))
    assert upgraded["head.predict.1.bias"] is before["head.1.bias"]
    assert upgrade_state(now) is now


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"network": "unet"}, "network.head is 'unet'; expected one of fpn, cpn, cascade"),
        ({"codec": "dark"}, "codec.name is 'dark'; expected one of heatmap, sigmoid"),
        ({"codec": "coordinates"}, "codec.name is 'coordinates'; head fpn takes heatmap, sigmoid, softmax, integral"),
        ({"backbone": "test_vit"}, "backbone test_vit has no map of stride 4, 8, 32; it has maps of stride 16"),
        ({"codec": "softmax", "loss": "mse"}, "loss.name is 'mse'; codec softmax takes cross_entropy"),
    ],
)
def test_parts_that_do_not_fit(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        keypoints_config(size=64, backbone_weights="none", **bad)


class Corner(torch.nn.Module):
    """A network of a user's own: the mean colour of the finest map, in two stages."""

    produces, strides, stride = "xy", (4,), 4

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__()
        self.predict = torch.nn.Linear(channels[0], 2 * num_keypoints)

    def forward(self, features: list, category: torch.Tensor) -> list[dict]:
        xy = self.predict(features[0].mean((2, 3))).unflatten(1, (-1, 2))
        return [{"xy": xy}, {"xy": xy / 2}]


class Centred(CODECS["coordinates"]):
    target = "mine"


class Absolute:
    takes = ("mine",)

    def __call__(self, outputs: dict, target: dict) -> torch.Tensor:
        return (outputs["xy"] - target["xy"]).abs().sum(-1)


def test_a_network_a_codec_and_a_loss_are_one_class_and_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "corner", Corner)
    monkeypatch.setitem(CODECS, "centred", Centred)
    monkeypatch.setitem(LOSSES, "absolute", Absolute)
    own = {"network": "corner", "codec": "centred", "loss": "absolute", "backbone": "conv4", "backbone_weights": "none"}
    config = keypoints_config(size=64, **own)
    network, codec = build_network(config, FASHIONAI)
    crops, target = torch.rand(2, 3, 64, 64) * 255, codec.encode(torch.rand(2, 24, 2) * 64)
    before = network.head.predict.weight.clone()
    supervise(LOSSES[config.loss.name](), network(crops, NONE[:2]), target, torch.ones(2, 24)).backward()
    torch.optim.SGD(network.parameters(), 0.1).step()
    assert not torch.equal(before, network.head.predict.weight)
    assert locate(network, codec, crops, NONE[:2]).xy.shape == (2, 24, 2)
    with pytest.raises(ValueError, match=r"loss\.name is 'smooth_l1'; codec centred takes absolute"):
        keypoints_config(size=64, **own | {"loss": "smooth_l1"})


@pytest.mark.parametrize(
    "bad", [{"size": 100}, {"sigma": 0.0}, {"padding": -1}, {"jitter": 0.9}, {"rotation_deg": 200}]
)
def test_bad_settings_name_themselves(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        keypoints_config(**bad)
