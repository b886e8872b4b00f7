"""The files of configs/ are read by the commands, and say what their names say."""

from functools import cache
from pathlib import Path

import garment_keypoints.pipeline.lab.failing  # noqa: F401 (the collapse set-ups name its parts)
import pytest
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.pipeline.cli.arguments import Verb, parse_words
from garment_keypoints.pipeline.commands.train_keypoints import train_keypoints
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.learning.configs import FORMAT
from garment_keypoints.pipeline.settings import Settings

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
COLLAPSE = ROOT / "pipeline" / "lab" / "configs" / "collapse"
LAID_OVER = sorted(file for folder in (CONFIGS / "networks", COLLAPSE) for file in folder.glob("*.yaml"))


@cache
def settings(*files: Path) -> Settings:
    """Parse the files as train-keypoints does, later ones over earlier ones."""
    options = [part for file in files for part in ("--config", str(file))]
    parsed = parse_words(Verb("train-keypoints", train_keypoints), [*options, "--data", ".", "--run", "."])
    return Settings(**{name: parsed[name] for name in Settings.__dataclass_fields__})


@pytest.mark.parametrize("preset", ["sample", "cpu", "best", "gpu"])
def test_presets_are_read(preset: str) -> None:
    assert settings(CONFIGS / f"{preset}.yaml").keypoints.train.batch_size > 1


@pytest.mark.parametrize("file", sorted((CONFIGS / "further").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_second_training_is_of_the_network_of_its_preset(file: Path) -> None:
    preset = CONFIGS / file.name
    first, second = settings(preset), settings(preset, file)
    assert (first.keypoints.network, first.detector) == (second.keypoints.network, second.detector)
    assert first.keypoints != second.keypoints
    assert read_yaml(file)["format"] == FORMAT


@pytest.mark.parametrize("file", LAID_OVER, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_parts_are_laid_over_a_preset(file: Path) -> None:
    """What the file does not name stays the preset's; nothing of the preset's own network is left by accident."""
    made, base = settings(CONFIGS / "cpu.yaml", file).keypoints, settings(CONFIGS / "cpu.yaml").keypoints
    assert isinstance(made, KeypointsConfig)
    assert (made.train.epochs, made.crop.padding) == (base.train.epochs, base.crop.padding)
    assert made.network.frozen_stride == (8 if file.stem.endswith("frozen") else 0)


HEADS = {
    "deeppose": "coordinates",
    "cpm": "cpm",
    "fpn": "fpn",
    "cpn": "cpn",
    "cascade": "cascade",
    "simcc": "simcc",
    "hrnet": "concatenation",
}
BACKBONES = {"lite0": "tf_efficientnet_lite0", "vgg16": "vgg16_bn", "vgg19": "vgg19_bn", "movenet": "movenet_lightning"}


@pytest.mark.parametrize("file", sorted((CONFIGS / "networks").glob("*.yaml")), ids=lambda file: file.stem)
def test_names_say_head_backbone_and_codec(file: Path) -> None:
    head, backbone, *rest = file.stem.split("_")
    made = settings(CONFIGS / "cpu.yaml", file).keypoints
    assert made.network.head.removesuffix("_fine") == HEADS.get(head, head)
    assert made.network.backbone in (BACKBONES.get(backbone, backbone), file.stem)
    for part in rest:
        name = part.rstrip("0123456789")
        if name != part:
            cells = made.crop.size // (4 if made.network.head.endswith("fine") else 8)
            assert (made.codec.name, cells) == (name, int(part.removeprefix(name)))
        elif name not in ("random", "ohkm"):
            assert made.codec.name == name
    assert ("random" in rest) == (made.network.backbone_weights == "none" and "lite0" in [*rest, backbone])
    assert f"--name {file.stem} " in file.read_text()


def test_the_preset_of_gpus_makes_the_steps_of_the_shipped_recipe_at_its_rates() -> None:
    """A larger batch takes more epochs for as many steps; 2,799 images each."""
    for files in ((), ("further",)):
        made, shipped = (
            settings(CONFIGS / name, *(CONFIGS / folder / name for folder in files))
            for name in ("gpu.yaml", "best.yaml")
        )
        for stage in ("detector", "keypoints"):
            ours, theirs = getattr(made, stage).train, getattr(shipped, stage).train
            assert ours.epochs / ours.batch_size == theirs.epochs / theirs.batch_size
            assert (ours.lr, ours.backbone_lr_factor) == (theirs.lr, theirs.backbone_lr_factor)
        assert made.keypoints.network == shipped.keypoints.network
        assert made.keypoints.codec == shipped.keypoints.codec
