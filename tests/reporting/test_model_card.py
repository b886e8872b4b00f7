"""Parameters, operations, layers and receptive fields, worked out by hand for networks of a few layers."""

import pytest
import torch
import torch.nn.functional as F
from garment_keypoints.pipeline.learning.conv4 import Conv4
from garment_keypoints.pipeline.reporting.model_card import Costs, layers, model_card, network_costs
from garment_keypoints.pipeline.reporting.receptive_field import ReceptiveField, receptive_field
from torch import Tensor, nn


class Small(nn.Module):
    """3 -> 8 channels at half the size, pooled, 8 -> 10 numbers; the second part is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8, 10))
        self.head.requires_grad_(False)

    def forward(self, images: Tensor, category: Tensor) -> list[dict[str, Tensor]]:
        return [{"xy": self.head(self.body(images).mean((2, 3)))}]


def test_costs_by_hand() -> None:
    # 8 filters of 3 x 3 x 3 and a bias each, at 8 x 8 places; a matrix of 10 x 8 and 10 biases.
    parameters, operations = (8 * 27 + 8) + (10 * 8 + 10), 2 * 8 * 8 * 8 * 27 + 2 * 10 * 8
    assert network_costs(Small(), 16) == Costs(parameters, operations / 1e9, trainable=8 * 27 + 8)


def test_layers_are_listed_two_levels_deep_with_what_they_give() -> None:
    listed = [(one.name, one.type, one.outputs, one.parameters) for one in layers(Small(), 16)]
    assert listed == [
        ("body", "Sequential", [(1, 8, 8, 8)], 224),
        ("body.0", "Conv2d", [(1, 8, 8, 8)], 224),
        ("body.1", "ReLU", [(1, 8, 8, 8)], 0),
        ("head", "Sequential", [(1, 10)], 90),
        ("head.0", "Flatten", [(1, 8)], 0),
        ("head.1", "Linear", [(1, 10)], 90),
    ]
    wrapped = nn.Module()
    wrapped.model = Small()
    assert [one.name for one in layers(wrapped, 16, lambda net, x: net.model(x, x))] == [row[0] for row in listed]


def test_a_card_of_an_output_without_cells() -> None:
    lines = model_card("Points", "a head", Small(), 16).splitlines()
    assert lines[:3] == ["# Points", "", "a head."]
    assert "| body.0 | Conv2d     | 1x8x8x8 | 224        |" in lines
    assert lines[-4:] == [
        "- parameters: 314, of which trained: 224",
        "- operations: 0.000 GFLOPs for one picture of 16 x 16 px (a multiply-add counts as 2)",
        "- stride of the head's output: none, it gives no map",
        "- receptive field at the head: whole crop",
    ]


def field(network: nn.Module, size: int = 64) -> ReceptiveField:
    return receptive_field(network, size, lambda net, images: net(images))


def conv(kernel: int, stride: int = 1, channels: int = 3) -> nn.Module:
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ([conv(3, 2), conv(3)], 7),  # 3 + 2 * 2
        ([conv(3), conv(3, 2)], 5),
        ([conv(1), nn.Sigmoid()], 1),
        # Ten 3 x 3 with dead activations between them: 1 + 10 * 2 all the same.
        ([part for _ in range(10) for part in (conv(3), nn.BatchNorm2d(3), nn.ReLU())], 21),
        ([nn.MaxPool2d(2), nn.MaxPool2d(2), conv(3)], 12),  # 3 cells of 4
        ([nn.MaxPool2d(3, 2, 1), nn.GroupNorm(1, 3), conv(3)], 7),  # normalisation over the map is left out
        ([nn.Conv2d(3, 3, 3, padding=4, dilation=4)], 9),
        ([conv(5), nn.ConvTranspose2d(3, 3, 2, 2)], 5),
    ],
)
def test_receptive_fields_by_hand(network: list[nn.Module], expected: int) -> None:
    torch.manual_seed(0)
    assert field(nn.Sequential(*network)) == ReceptiveField(expected, expected, whole=False, cut=False)


def test_the_field_of_a_backbone() -> None:
    # 7, then a 3 x 3 adds 2 cells of 4, of 8, of 16 pixels.
    for stride, expected in {4: 7, 8: 15, 16: 31, 32: 63}.items():
        found = receptive_field(Conv4((stride,)), 256, lambda net, images: net(images)[0])
        assert (found.width, found.height, found.cut) == (expected, expected, False)


def test_a_field_need_not_be_square() -> None:
    assert str(field(nn.Conv2d(3, 2, (3, 5), padding=(1, 2)))) == "5 x 3 px"


class Gated(nn.Module):
    """A 3 x 3 convolution, a branch of which starts at zero, and a gate by the mean of the whole picture."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.conv, self.branch, self.gated = conv(3), conv(5), gated
        nn.init.zeros_(self.branch.weight)

    def forward(self, images: Tensor) -> Tensor:
        y = F.relu(self.conv(images) + self.branch(images))
        return y * images.mean((2, 3), keepdim=True).sigmoid() if self.gated else y


def test_every_path_counts() -> None:
    assert str(field(Gated(gated=False))) == "5 x 5 px"
    assert str(field(Gated(gated=True))) == "whole crop"


def test_the_edge_of_the_picture_cuts() -> None:
    assert str(field(nn.Sequential(conv(3), conv(13)), 16)) == "at least 15 x 15 px"
    assert str(field(nn.Sequential(conv(3), conv(31)), 16)) == "whole crop"
    assert str(field(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), 16)) == "whole crop"
    assert str(receptive_field(conv(3), 16, lambda net, images: net(images) * 0)) == "0 x 0 px"


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(conv(3), nn.BatchNorm2d(3), nn.ReLU()).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    field(network)
    assert network.training
    assert isinstance(network[2], nn.ReLU)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
