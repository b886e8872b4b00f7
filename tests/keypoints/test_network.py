"""The network learns, and the locator answers as the parts say."""

from pathlib import Path

import pytest
import torch

from keypoints.codecs.heatmap import HeatmapCodec
from keypoints.config import KeypointsConfig
from keypoints.inference import NetworkLocator
from keypoints.losses import LOSSES
from keypoints.networks.build import build_network
from pipeline.contract import geometry
from pipeline.contract.formats.fashionai import read_annotations
from pipeline.contract.schema import Schema
from pipeline.learning.loading import collate
from tests.keypoints.test_data import PLAIN, boxes_of

PAIRS = [("heatmap", "mse"), ("softmax", "cross_entropy")]


@pytest.mark.parametrize(("codec", "loss"), PAIRS)
def test_gradients_reach_every_parameter(codec: str, loss: str) -> None:
    config = KeypointsConfig(size=64, head_channels=16, codec=codec, loss=loss, backbone_weights="none")
    network, made = build_network(config, 24)
    outputs = network(torch.rand(2, 3, 64, 64) * 255)
    assert outputs.shape == (2, 24, 16, 16)
    targets = made.encode(torch.rand(2, 24, 2) * 64)
    LOSSES[loss](outputs, targets, torch.ones(2, 24)).backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or p.grad.abs().max() == 0]


@pytest.mark.parametrize(("codec", "loss"), PAIRS)
def test_eight_garments_are_learned(drawn: Path, schema: Schema, codec: str, loss: str) -> None:
    """Overfits eight drawn garments to an error of under two crop pixels."""
    from keypoints.data import KeypointsData

    config = KeypointsConfig(size=64, head_channels=32, codec=codec, loss=loss, **PLAIN)
    rows = read_annotations([drawn / "train"], schema)[:8]
    data = KeypointsData(rows, boxes_of(rows), schema, config)
    sample = data.training_crops(collate([data.train_dataset()[i] for i in range(8)]))
    network, made = build_network(config, 24)
    targets = made.encode(sample.xy)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        LOSSES[loss](network(sample.crops), targets, sample.target_weight).backward()
        optimizer.step()
    with torch.no_grad():
        xy, _ = made.decode(network(sample.crops))
    distance = torch.linalg.norm(xy - sample.xy, dim=-1)[sample.target_weight > 0]
    assert distance.mean() < 2
    assert distance.quantile(0.95) < 6


class Brightness(torch.nn.Module):
    """Maps that depend on position: not symmetric, so that a wrong mirror or permutation shows."""

    stride = 4

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(crops.mean(1, keepdim=True), 4)
        ramp = torch.linspace(0, 1, pooled.shape[-1])
        return torch.cat([pooled * (k + 1) + 10 * k * ramp for k in range(4)], 1)


def test_flip_test_equals_the_average_by_hand() -> None:
    crops = torch.rand(2, 3, 32, 32) * 255
    flip_index = torch.tensor([1, 0, 2, 3])
    made = HeatmapCodec((32, 32), 4, 1.5)
    plain = NetworkLocator(Brightness(), made, 0.1, flip_index, flip_test=False)
    both = NetworkLocator(Brightness(), made, 0.1, flip_index, flip_test=True)
    one, other = Brightness()(crops), Brightness()(torch.flip(crops, [3]))
    for k, mirror in enumerate([1, 0, 2, 3]):
        expected = (one[:, k] + torch.flip(other[:, mirror], [2])) / 2
        torch.testing.assert_close(both.heatmaps(crops)[:, k], expected)
    torch.testing.assert_close(plain.heatmaps(crops), one)
    assert (both.size_wh, both.padding) == ((32, 32), 0.1)


def test_flip_test_mirrors_points_exactly() -> None:
    """With the flip test the answer for a mirrored crop is the mirrored answer."""
    crops = torch.rand(1, 3, 32, 32) * 255
    flip_index = torch.tensor([1, 0, 2, 3])
    locator = NetworkLocator(Brightness(), HeatmapCodec((32, 32), 4, 1.5), 0.1, flip_index, flip_test=True)
    there, _ = locator.locate(crops, torch.zeros(1, dtype=torch.int64))
    back, _ = locator.locate(crops.flip(-1), torch.zeros(1, dtype=torch.int64))
    affine = geometry.mirror(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), 32)
    torch.testing.assert_close(back[:, flip_index], geometry.apply(affine, there), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"network": "unet"}, "network is 'unet'; expected one of fpn"),
        ({"codec": "simcc"}, "codec is 'simcc'; expected one of heatmap, softmax"),
        ({"codec": "softmax", "loss": "mse"}, "loss is 'mse'; codec softmax takes cross_entropy"),
    ],
)
def test_parts_that_do_not_fit(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(KeypointsConfig(size=64, backbone_weights="none", **bad), 24)


@pytest.mark.parametrize(
    "bad", [{"size": 100}, {"sigma": 0.0}, {"padding": -1}, {"jitter": 0.9}, {"rotation_deg": 200}]
)
def test_bad_settings_name_themselves(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        KeypointsConfig(**bad)
