"""What a preset in configs/ holds: the settings of both stages."""

from dataclasses import asdict, dataclass, field
from typing import Any

from detector.config import DetectorConfig
from keypoints.config import KeypointsConfig
from pipeline.contract.images import PictureOptions
from pipeline.contract.schema import Schema
from pipeline.data.select import TrainingSet
from pipeline.learning import configs

PLACE = ("accelerator", "devices", "num_nodes", "strategy", "workers", "save_every", "in_memory")
"""Settings of a training that say where it runs, and decide nothing about its weights."""


@dataclass
class Settings:
    """What a preset in configs/ holds."""

    format: int = configs.FORMAT
    """Format of the settings; another one is refused."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    keypoints: KeypointsConfig = field(default_factory=KeypointsConfig)
    folds: int = 2
    """Detectors for boxes out of fold."""
    schema: str = "fashionai"
    """Packaged schema, or a YAML file of your own."""
    layout: str = "fashionai"
    """How the data lie on disk: fashionai, or MODULE:OBJECT, a layout of your own (docs/schemas.md)."""
    pictures: PictureOptions = field(default_factory=PictureOptions)
    """What a picture may cost, and how large it is decoded."""

    def __post_init__(self) -> None:
        configs.check_format(self.format, "settings")


def claimed(settings: Settings, training_set: TrainingSet, schema: Schema, stage: str) -> dict[str, Any]:
    """Everything that decides about the weights of the stage `detector` or `keypoints`; where it runs does not."""
    return {
        "data": training_set.fingerprint,
        "schema": schema.fingerprint,
        "folds": settings.folds,
        "detail": settings.pictures.detail,
        **_stage_deciding(settings, stage),
    }


def unsaid(stage: str) -> dict[str, Any]:
    """What the claim of an older version, which has fewer settings, is to be completed with: their defaults."""
    return _stage_deciding(Settings(), stage)


def _stage_deciding(settings: Settings, stage: str) -> dict[str, Any]:
    group = asdict(getattr(settings, stage))
    return {"config": group | {"train": {name: value for name, value in group["train"].items() if name not in PLACE}}}
