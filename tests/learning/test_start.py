"""Networks that start from trained ones: what is taken over, and what they must not have seen."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from garment_keypoints.keypoints.networks.build import KeypointNetwork, build_network
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.pairs import DEFAULT
from garment_keypoints.pipeline.learning.start import Start, fill_from, load_start, refuse_seen

from tests.configs import keypoints_config

SETTING = "keypoints.network.backbone"
SMALL = {"size": 64, "head_channels": 8, "backbone": "conv4", "backbone_weights": "none"}


@pytest.fixture
def build(schema: Schema) -> Callable[..., KeypointNetwork]:
    """Build a small network with other first weights than any before."""

    def built(**parts: object) -> KeypointNetwork:
        return build_network(keypoints_config(**(SMALL | parts)), schema)[0]

    return built


def start_of(network: KeypointNetwork) -> Start:
    state = {key: value.clone() for key, value in network.state_dict().items()}
    return Start(Path("other.safetensors"), "conv4", state, frozenset({"a", "b"}))


def test_everything_that_fits_is_taken_over(build: Callable[..., KeypointNetwork]) -> None:
    trained, network = build(), build()
    assert any(not torch.equal(value, trained.state_dict()[key]) for key, value in network.state_dict().items())
    fill_from(network, start_of(trained), SETTING)
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in network.state_dict().items())


def test_float16_is_taken_over_as_what_the_network_computes_in(build: Callable[..., KeypointNetwork]) -> None:
    start, network = start_of(build()), build()
    half = {key: value.half() if value.is_floating_point() else value for key, value in start.state_dict.items()}
    dtypes = {key: value.dtype for key, value in network.state_dict().items()}
    fill_from(network, replace(start, state_dict=half), SETTING)
    assert {key: value.dtype for key, value in network.state_dict().items()} == dtypes


def test_what_has_another_shape_begins_anew(
    build: Callable[..., KeypointNetwork], caplog: pytest.LogCaptureFixture
) -> None:
    trained, network = build(), build(head_channels=16)
    own = {key: value.clone() for key, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO, "garment_keypoints"):
        fill_from(network, start_of(trained), SETTING)
    for key, value in network.state_dict().items():
        fits = trained.state_dict()[key].shape == value.shape
        assert torch.equal(value, trained.state_dict()[key] if fits else own[key]), key
        assert fits or key.startswith("head.")
    assert "starting from other.safetensors: " in caplog.text
    assert "begin anew" in caplog.text


def test_another_backbone_is_refused(build: Callable[..., KeypointNetwork]) -> None:
    network = build(backbone="movenet_lightning")
    own = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(
        UserError, match=rf"its backbone is conv4, and \d+ of the \d+ tensors .*set {SETTING} to the same"
    ):
        fill_from(network, start_of(build()), SETTING)
    assert all(torch.equal(value, own[key]) for key, value in network.state_dict().items())


def test_what_is_left_out_must_not_have_been_seen(build: Callable[..., KeypointNetwork]) -> None:
    start = start_of(build())
    refuse_seen(start, {"c", "d"}, "fold 0")
    refuse_seen(replace(start, seen=None), set(), "fold 0")
    with pytest.raises(
        UserError, match=r"other\.safetensors has seen 1 of the 2 images of fold 0, first b; start from"
    ):
        refuse_seen(start, {"b", "c"}, "fold 0")
    with pytest.raises(UserError, match=r"other\.ids\.txt: missing, the list .* must have seen none of fold 0\. Copy"):
        refuse_seen(replace(start, seen=None), {"c"}, "fold 0")


@pytest.mark.parametrize("stage", ["detector", "keypoints"])
def test_the_packaged_pair_says_what_it_has_seen(stage: str) -> None:
    start = load_start(DEFAULT, stage)
    assert start.seen is not None
    assert len(start.seen) >= 2799
    assert next(iter(start.state_dict.values())).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", r"--start is 'nothing'; expected a checkpoint of the keypoints stage, cpu, or a folder"),
        ("weights/cpu/detector.safetensors", "a checkpoint of the detector stage, expected one of the keypoints"),
        ("weights/cpu/keypoints.onnx", "an ONNX graph, which cannot be trained; name the checkpoint"),
    ],
)
def test_what_is_no_network_to_start_from(name: str, message: str) -> None:
    file = Path(__file__).parents[2] / name
    with pytest.raises(UserError, match=message):
        load_start(str(file) if file.exists() else name, "keypoints")
