"""The file of an ablation: a preset, overrides for all rows, and rows of overrides by name. Checked before anything runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import garment_keypoints.pipeline.lab.failing  # noqa: F401 (its parts are named by configs of ablations)
from garment_keypoints.pipeline.contract.box_kinds import OUT_OF_FOLD
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.lab.ablation.overrides import FlatSettings, flatten, nest
from garment_keypoints.pipeline.learning.configs import check_format, restore

STAGES = ("detector", "keypoints")
IN_SAMPLE = "in_sample"
"""Boxes of detectors that have seen the image."""
KEYS = ("stage", "base", "common", "seeds", "rows")
ROW_KEYS = ("name", "set", "config", "boxes")
RESERVED = ("boxes", "folds", "fixed")
"""Names of a run's own files, which the tables must not overwrite."""
NAME = re.compile("[A-Za-z0-9_-]+")
MOST_SEEDS = 1000
SHARED = ("folds", "schema", "layout")
"""Settings that all rows have in common, or their figures would be of different pictures."""


@dataclass(frozen=True)
class Row:
    """A row of the table: what sets it apart from the others, in words, and its settings.

    `boxes` are those that its network learns in, where they are not those out of fold: in_sample, or a file of them as the
    ablation names it, relative to the `folder` that the ablation lies in.
    """

    name: str
    overrides: str
    settings: Any
    boxes: str = ""
    folder: Path = Path()


@dataclass(frozen=True)
class Ablation:
    """What is compared: `name` is that of the file, `base` the settings without any row's own."""

    name: str
    stage: str
    base: Any
    rows: tuple[Row, ...]
    seeds: int


def read_ablation(file: Path, config: type, base: Path | None = None, common: dict[str, Any] | None = None) -> Ablation:
    """Read an ablation whose rows are settings of the class `config`; `base` is taken for the one that the file names.

    `common` wins over what the file sets for all rows. Raises UserError with the first fault of the file, or with one
    of each row.
    """
    content = read_yaml(file)
    _check_head(file, content)
    preset = base or file.parent / str(content["base"])
    if not preset.is_file():
        given = f"--base is {str(base)!r}" if base else f"{file}: base is {content['base']!r}"
        raise UserError(f"{given}; expected a preset that exists" + ("" if base else ", relative to this file"))
    values = read_yaml(preset)
    check_format(values.get("format", 1), str(preset))
    start = flatten(config, values, str(preset))
    shared = flatten(config, _group(content.get("common"), f"{file}: common"), f"{file}: common") | (common or {})
    whole = _restored(config, start | shared, f"{file}: base and common")
    rows, faults = [], []
    for number, row in enumerate(content["rows"], start=1):
        try:
            rows.append(_read_row(file, number, row, content["stage"], whole, start, shared))
        except UserError as error:
            faults.append(str(error))
    faults += _repeated(file, rows)
    raise_all(faults)
    return Ablation(file.stem, content["stage"], whole, tuple(rows), content.get("seeds", 1))


def raise_all(faults: Sequence[str]) -> None:
    """Raise UserError with all of these faults; nothing when there is none."""
    if faults:
        raise UserError("\n  ".join([f"{len(faults)} faults:", *faults] if len(faults) > 1 else faults))


def with_seed(settings: Any, stage: str, seed: int) -> Any:
    """Return the settings with this seed of the stage's training."""
    group = getattr(settings, stage)
    return replace(settings, **{stage: replace(group, train=replace(group.train, seed=seed))})


def _check_head(file: Path, content: dict[Any, Any]) -> None:
    if not NAME.fullmatch(file.stem) or file.stem in RESERVED:
        raise UserError(
            f"{file}: an ablation is named after its file; expected letters, digits, - and _, and none of {', '.join(RESERVED)}"
        )
    _check_keys(content, KEYS, str(file))
    if content.get("stage") not in STAGES:
        raise UserError(f"{file}: stage is {content.get('stage')!r}; expected one of {', '.join(STAGES)}")
    if not isinstance(content.get("base"), str):
        raise UserError(f"{file}: base is {content.get('base')!r}; expected a preset, relative to this file")
    check_seeds(content.get("seeds", 1), f"{file}: seeds")
    if not isinstance(content.get("rows"), list) or not content["rows"]:
        raise UserError(f"{file}: rows is {content.get('rows')!r}; expected a list of at least one row")


def check_seeds(seeds: Any, where: str) -> None:
    """Raise UserError unless this is a number of seeds."""
    if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS:
        raise UserError(f"{where} is {seeds!r}; expected a whole number of 1 to {MOST_SEEDS}")


def _read_row(
    file: Path, number: int, row: Any, stage: str, base: Any, start: FlatSettings, shared: FlatSettings
) -> Row:
    where = f"{file}: row {number}"
    if not isinstance(row, dict):
        raise UserError(f"{where} is {row!r}; expected name, and set or config")
    name = row.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{where}: name is {name!r}; expected letters, digits, - and _")
    where = f"{file}: row {name}"
    _check_keys(row, ROW_KEYS, where)
    config = type(base)
    own = flatten(config, _group(row.get("set"), f"{where}: set"), f"{where}: set")
    _check_own(own, stage, f"{where}: set")
    words = [f"{key}={_written(value)}" for key, value in own.items()]
    merged: FlatSettings = {}
    if "config" in row:
        place = file.parent / str(row["config"])
        if not place.is_file():
            raise UserError(f"{where}: config is {row['config']!r}; expected a file, relative to this one")
        merged = flatten(config, read_yaml(place), f"{where}: {place}")
        _check_own(merged, stage, f"{where}: {place}")
        words.insert(0, place.name)
    settings = _restored(config, start | merged | shared | own, where)
    for key in SHARED:
        given, expected = getattr(settings, key), getattr(base, key)
        if given != expected:
            raise UserError(f"{where}: {key} is {given!r}; expected {expected!r}, as in all rows: set it in common")
    boxes = _check_boxes(file, row.get("boxes", ""), stage, settings, where)
    return Row(name, ", ".join([*words, f"boxes={boxes}"] if boxes else words), settings, boxes, file.parent)


def _check_boxes(file: Path, boxes: Any, stage: str, settings: Any, where: str) -> str:
    """Return the boxes that a row's network is to learn in; raise UserError for what it cannot."""
    if boxes in ("", IN_SAMPLE) or (isinstance(boxes, str) and (file.parent / boxes).is_file()):
        if boxes and (stage != "keypoints" or settings.keypoints.crop.learned != OUT_OF_FOLD):
            raise UserError(f"{where}: boxes is {boxes!r}; expected none, since the row learns in others")
        return boxes
    raise UserError(f"{where}: boxes is {boxes!r}; expected {IN_SAMPLE}, or a file of boxes, relative to this one")


def _check_own(own: FlatSettings, stage: str, where: str) -> None:
    """Raise UserError for what a row cannot change by itself."""
    for name, value in own.items():
        if name == f"{stage}.train.seed":
            raise UserError(f"{where}: {name} is {value!r}; expected no seed here, seeds gives them to every row")
        if stage == "detector" and name.startswith("keypoints."):
            raise UserError(
                f"{where}: {name} is {value!r}; expected settings of the detector: all its rows are scored with one "
                "keypoint network, whose settings stand in common"
            )


def _repeated(file: Path, rows: Sequence[Row]) -> list[str]:
    """Return a fault for each name that comes a second time; on some disks A and a are one file."""
    names = [row.name.lower() for row in rows]
    return [
        f"{file}: row {row.name}: name is that of an earlier row; expected another one"
        for i, row in enumerate(rows)
        if names[i] in names[:i]
    ]


def _restored(config: type, flat: FlatSettings, where: str) -> Any:
    try:
        return restore(config, nest(flat), where)
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(where) else f"{where}: {text}") from None


def _group(values: Any, where: str) -> dict[Any, Any]:
    if values is not None and not isinstance(values, dict):
        raise UserError(f"{where} is {values!r}; expected settings by name, such as keypoints.train.lr: 3.0e-4")
    return values or {}


def _check_keys(content: dict[Any, Any], known: Sequence[str], where: str) -> None:
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise UserError(f"{where}: {unknown[0]} is no key of an ablation; expected {', '.join(known)}")


def _written(value: Any) -> str:
    """Write a value as YAML would."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
