"""A run folder is of one make: settings and inputs, by hash, that a later step must find unchanged."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, write_once
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.json_files import read_json

CONFIG = "config.yaml"
log = logging.getLogger("garment_keypoints")


AsNow = Callable[[dict[str, Any]], dict[str, Any]]
"""Brings the settings of an older version up to date."""


def claim(folder: Path, config: dict[str, Any], as_now: AsNow | None = None) -> None:
    """Make `folder` the run of this config; raise UserError when it already holds a run of another one.

    `as_now` brings those of a run of an older version up to date.
    """
    refuse_other_settings(folder, config, as_now)
    file = folder / CONFIG
    if ranks.is_zero() and not file.exists() and not write_once(file, yaml.safe_dump(_plain(config), sort_keys=False)):
        refuse_other_settings(folder, config, as_now)  # another process was faster


def refuse_other_settings(folder: Path, config: dict[str, Any], as_now: AsNow | None = None) -> None:
    """Raise UserError, as `claim` does, when `folder` holds a run of another config; it is not claimed yet."""
    file = folder / CONFIG
    if not file.exists():
        return
    remedy = "choose another run folder (RUN=), or remove this one"
    try:
        known = read_yaml(file)
    except UserError as error:
        raise UserError(f"{error} (damaged: it should hold the settings of this run; {remedy})") from None
    known = as_now(known) if as_now else known
    differing = differences(_plain(known), _plain(config))
    if differing:
        raise UserError(f"{folder} holds a run with other settings ({'; '.join(differing[:5])}); {remedy}")


def refuse_another_make(file: Path, inputs: dict[str, Any], remedy: str) -> None:
    """Raise UserError when the record beside `file` describes another file, or one made from other inputs than these.

    A file without a record, such as one that was published, is taken as it is.
    """
    record = file.with_suffix(".json")
    known = read_json(record) if record.exists() else {}
    if "outputs" not in known:
        log.warning("%s: no record beside it says what it was made from; taken as it is", file)
        return
    made, of = known["outputs"], known.get("inputs")
    if not (isinstance(made, dict) and isinstance(of, dict)):
        raise UserError(f"{record}: damaged, it should name by hash what {file.name} was made from; {remedy}")
    differing = differences(made.get(file.name), file_hash(file), "its own hash")
    differing += differences({name: of.get(name) for name in inputs}, inputs)
    if differing:
        raise UserError(f"{file} is not what this step needs: by {record.name}, {'; '.join(differing[:5])}; {remedy}")


def _plain(config: dict[str, Any]) -> Any:
    """Return settings as they come back from a file: of lists, mappings, texts and numbers alone."""
    return json.loads(json.dumps(config, default=str))  # str: a damaged file may hold dates


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Name what differs between two nested plain values, such as `config.train.lr was 0.01, now 0.02`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{name}.{k}" if name else k)]
    return [] if old == new else [f"{name} was {old}, now {new}"]


def completed(known: Any, defaults: Any) -> Any:
    """Return nested plain settings with `defaults` for what they do not say, as those of an older version do not."""
    if not (isinstance(known, dict) and isinstance(defaults, dict)):
        return known
    return defaults | {name: completed(value, defaults.get(name)) for name, value in known.items()}
