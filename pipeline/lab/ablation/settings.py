"""What of the settings decides about an ablation's runs and boxes, and what is left of runs with others."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.ablation.definition import Ablation
from garment_keypoints.pipeline.lab.ablation.overrides import FlatSettings, flatten
from garment_keypoints.pipeline.runs.claims import differences
from garment_keypoints.pipeline.runs.json_files import read_json
from garment_keypoints.pipeline.runs.steps import REMEDY
from garment_keypoints.pipeline.settings import PLACE, Settings, record_as_now


def on_one_device(settings: Settings) -> Settings:
    """Return the settings with each training on one device, whatever the machine has: an ablation is divided by runs."""
    stages = {name: getattr(settings, name) for name in ("detector", "keypoints")}
    one = {name: replace(group, train=replace(group.train, devices="1")) for name, group in stages.items()}
    return replace(settings, **one)


def deciding(settings: Any) -> Any:
    """Return plain settings without those that say where a run runs, and without the fold that it leaves out."""
    if not isinstance(settings, dict):
        return settings
    left_out = {*PLACE, "without_fold"}
    return {name: deciding(value) for name, value in settings.items() if name not in left_out}


def flat_deciding(settings: Settings, stage: str) -> FlatSettings:
    """Return what decides about a row of an ablation by dotted name; the seed of the stage is that of each run."""
    flat = flatten(Settings, deciding(asdict(settings)), "settings")
    flat.pop(f"{stage}.train.seed")
    return flat


def flat_rows(ablation: Ablation, base: Settings) -> tuple[FlatSettings, dict[str, FlatSettings]]:
    """Return by dotted name what decides of `base`, and of each row of an ablation."""
    rows = {row.name: flat_deciding(row.settings, ablation.stage) for row in ablation.rows}
    learned = {row.name: {"boxes": row.boxes} for row in ablation.rows if row.boxes}
    return flat_deciding(base, ablation.stage), {name: flat | learned.get(name, {}) for name, flat in rows.items()}


def of_boxes(settings: Any) -> dict[str, Any]:
    """Everything of plain settings that decides about the boxes out of fold; None where something is missing."""
    known = deciding(settings) if isinstance(settings, dict) else {}
    pictures = known.get("pictures")
    return {"detector": known.get("detector"), "detail": pictures.get("detail") if isinstance(pictures, dict) else None}


def fingerprint(settings: Settings) -> str:
    """Name the detectors of these settings."""
    return hashlib.sha256(json.dumps(of_boxes(asdict(settings)), sort_keys=True).encode()).hexdigest()[:12]


def read_of(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read the record of a run with these plain settings; raise UserError for one of others."""
    content = read_json(file)
    refuse_others(file, deciding(record_as_now(content.get("settings"))), settings)
    return content


def refuse_others(file: Path, known: Any, settings: dict[str, Any]) -> None:
    """Raise UserError, naming what differs, when a record's settings are not the ablation's."""
    differing = differences(known, settings)
    if differing:
        raise UserError(
            f"{file} is of other settings than the ablation's ({'; '.join(differing[:5])}); {REMEDY}, or rename the row"
        )


def refuse_other_inputs(file: Path, record: dict[str, Any], expected: dict[str, str]) -> None:
    """Raise UserError when a run was made from other data, boxes or networks than those that are there, by their hashes."""
    made = record.get("inputs")
    differing = differences({name: made.get(name) for name in expected} if isinstance(made, dict) else {}, expected)
    if differing:
        raise UserError(
            f"{file} was made from other inputs than those that are there ({'; '.join(differing)}); {REMEDY}"
        )
