"""What a preset in configs/ holds: the settings of both stages."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import TrainingSet
from garment_keypoints.pipeline.learning import configs
from garment_keypoints.pipeline.runs.claims import completed

PLACE = ("accelerator", "devices", "num_nodes", "strategy", "workers", "save_every", "in_memory")
"""Settings of a training that say where it runs, and decide nothing about its weights."""
FORMER_INPUTS = {"taught": "pseudo_points"}
"""What a claim names by hash beside the settings, as older versions called it."""


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
    """How the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT of your own (docs/schemas.md)."""
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


def as_now(stage: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what brings the claim of an older version up to date: settings by their present names, and defaults for new ones."""
    config, defaults = type(getattr(Settings(), stage)), _stage_deciding(Settings(), stage)

    def brought(claim: dict[str, Any]) -> dict[str, Any]:
        claim = {FORMER_INPUTS.get(name, name): value for name, value in claim.items()}
        return completed(claim | {"config": configs.renamed(config, claim.get("config"))}, defaults)

    return brought


def record_as_now(settings: Any) -> Any:
    """Return the plain settings in a record of an older version as they are written now, as `as_now` does."""
    return completed(configs.renamed(Settings, settings), asdict(Settings()))


def _stage_deciding(settings: Settings, stage: str) -> dict[str, Any]:
    group = asdict(getattr(settings, stage))
    return {"config": group | {"train": {name: value for name, value in group["train"].items() if name not in PLACE}}}
