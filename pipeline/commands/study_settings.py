"""What of the settings decides about a study's runs, and their boxes."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

from pipeline.assemble import Settings
from pipeline.commands.train import PLACE


def on_one_device(settings: Settings) -> Settings:
    """Return the settings with each training on one device, whatever the machine has: a study is divided by runs."""
    stages = {name: getattr(settings, name) for name in ("detector", "keypoints")}
    one = {name: replace(group, train=replace(group.train, devices="1")) for name, group in stages.items()}
    return replace(settings, **one)


def deciding(settings: Any) -> Any:
    """Return plain settings without those that say where a run runs, and without the fold that it leaves out."""
    if not isinstance(settings, dict):
        return settings
    left_out = {*PLACE, "without_fold"}
    return {name: deciding(value) for name, value in settings.items() if name not in left_out}


def of_boxes(settings: Settings) -> dict[str, Any]:
    """Everything of the settings that decides about the boxes out of fold."""
    return {"detector": deciding(asdict(settings))["detector"], "detail": settings.pictures.detail}


def fingerprint(settings: Settings) -> str:
    """Name the detectors of these settings."""
    return hashlib.sha256(json.dumps(of_boxes(settings), sort_keys=True).encode()).hexdigest()[:12]
