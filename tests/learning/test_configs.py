"""Nested configs: from plain values, from the flat ones of format 1, and what is refused."""

from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import pytest
import yaml
from garment_keypoints.detector import config as detector
from garment_keypoints.keypoints import config as keypoints
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.configs import renamed, restore
from garment_keypoints.pipeline.settings import Settings, as_now

ROOT = Path(__file__).parents[2]
STAGES = [(keypoints.KeypointsConfig, keypoints.upgrade_config), (detector.DetectorConfig, detector.upgrade_config)]


def test_flat_settings_find_their_place() -> None:
    flat = {"size": 96, "head_channels": 8, "codec": "softmax", "loss": "cross_entropy", "sigma": 2.0, "lr": 0.1}
    flat |= {"monitor_rows": 5, "flip_test": True, "without_fold": 1, "occluded_weight": 0.1, "padding": 0.3, "seed": 4}
    made = restore(keypoints.KeypointsConfig, keypoints.upgrade_config(flat), "x")
    assert (made.crop.size, made.crop.padding, made.network.channels) == (96, 0.3, 8)
    assert (made.codec.name, made.codec.sigma, made.loss.name) == ("softmax", 2.0, "cross_entropy")
    assert (made.loss.occluded_weight, made.train.lr, made.train.seed) == (0.1, 0.1, 4)
    assert (made.alarm.rows, made.without_fold, made.network.head) == (5, 1, "fpn")
    box = restore(
        detector.DetectorConfig, detector.upgrade_config({"type": "faster_rcnn", "margin": 0.1, "flip": 0}), "x"
    )
    assert (box.network.type, box.margin, box.augment.flip) == ("faster_rcnn", 0.1, 0)


@pytest.mark.parametrize(("config", "_upgrade"), STAGES)
def test_a_config_comes_back_from_its_values(config: type, _upgrade: object) -> None:
    changed = replace(config(), train=replace(config().train, lr=0.25))
    assert restore(config, asdict(changed), "x") == changed


@pytest.mark.parametrize(("config", "upgrade"), STAGES)
@pytest.mark.parametrize("values", [{"cascade": 3}, {"train": {"cascade": 3}}])
def test_unknown_settings_are_named(config: type, upgrade: object, values: dict) -> None:
    with pytest.raises(UserError, match=r"^a file: settings that this version does not know \(cascade\)"):
        restore(config, values, "a file")


def test_settings_of_another_format_are_refused() -> None:
    with pytest.raises(UserError, match="format 1, expected 2: settings are nested since then"):
        Settings(format=1)


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_presets_say_their_format_and_hold_settings_that_exist(file: Path) -> None:
    preset = yaml.safe_load(file.read_text())
    assert preset["format"] == 2
    for (config, _), stage in zip(STAGES, ("keypoints", "detector"), strict=True):
        restore(config, preset[stage], str(file))


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (
            detector.DetectorConfig,
            {"network": {"head_convs": -1}},
            "detector.network.head_convs is -1; expected 0 to 4",
        ),
        (detector.DetectorConfig, {"network": {"fpn_channels": 7}}, "fpn_channels is 7; expected 8 to 1024"),
        (detector.DetectorConfig, {"network": {"fpn_channels": 12}}, "fpn_channels is 12; expected a multiple of 8"),
        (detector.DetectorConfig, {"network": {"fpn_channels": 0}}, "fpn_channels is 0; expected 8 to 1024"),
        (detector.DetectorConfig, {"network": {"fpn_channels": -8}}, "fpn_channels is -8; expected 8 to 1024"),
        (detector.DetectorConfig, {"network": {"size": 1_000_000_000}}, "a multiple of 32 from 64 to 2048"),
        (detector.DetectorConfig, {"network": {"backbone": "test_vit"}}, "test_vit has no map of stride 32"),
        (detector.DetectorConfig, {"augment": {"scale": 1}}, "detector.augment.scale is 1; expected 0 to 0.9"),
        (detector.DetectorConfig, {"network": 3}, "network is 3; expected a group of settings"),
        (detector.DetectorConfig, {"margin": "a"}, "margin is 'a'; expected a number"),
        (
            keypoints.KeypointsConfig,
            {"network": {"channels": 0}},
            "keypoints.network.channels is 0; expected 1 to 1024",
        ),
        (keypoints.KeypointsConfig, {"train": {"seed": -1}}, "^keypoints.train.seed is -1; expected 0 to"),
        (keypoints.KeypointsConfig, {"alarm": {"rows": -1}}, "keypoints.alarm.rows is -1; expected 0 to"),
        (
            detector.DetectorConfig,
            {"network": {"frozen_stride": 100}},
            r"detector\.network\.frozen_stride is 100; backbone",
        ),
        (
            keypoints.KeypointsConfig,
            {"network": {"frozen_stride": 100}},
            r"keypoints\.network\.frozen_stride is 100; backbone",
        ),
        (keypoints.KeypointsConfig, {"without_fold": -2}, "keypoints.without_fold is -2; expected -1 to"),
    ],
)
def test_settings_out_of_range_are_named(config: type, values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        restore(config, values, "x")


FLOATS = [
    (config, group.name if inner else "", leaf.name)
    for config, _ in STAGES
    for group in fields(config)
    for inner in [is_dataclass(group.type)]
    for leaf in (fields(group.type) if inner else [group])
    if leaf.type is float
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("config", "group", "name"), FLOATS)
def test_no_number_may_be_nan_or_infinite(config: type, group: str, name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"{name} is .*(nan|inf); expected"):
        restore(config, {group: {name: value}} if group else {name: value}, "x")


def test_plain_settings_of_an_older_version_come_under_their_present_names() -> None:
    """At every depth, and without what is gone and was off; what was on stays, to be told apart."""
    old = {
        "detector": {"flip_test": False, "margin": 0.1},
        "keypoints": {"loss": {"taught_weight": 0.3}, "x": 1},
        "y": [2],
    }
    assert renamed(Settings, old) == {
        "detector": {"margin": 0.1},
        "keypoints": {"loss": {"pseudo_weight": 0.3}, "x": 1},
        "y": [2],
    }
    assert renamed(Settings, {"detector": {"flip_test": True}}) == {"detector": {"flip_test": True}}
    assert renamed(Settings, None) is None


def test_a_claim_of_an_older_version_comes_up_to_date() -> None:
    claim = {"data": "d", "taught": "t", "config": {"loss": {"taught_weight": 0.3}}}
    now = as_now("keypoints")(claim)
    assert (now["pseudo_points"], now["config"]["loss"]["pseudo_weight"]) == ("t", 0.3)
    assert "taught" not in now
    assert now["config"]["crop"]["train_boxes"] == "out_of_fold"
