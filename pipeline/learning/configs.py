"""Configs as nested dataclasses: made from plain values, and from the flat ones of format 1."""

import logging
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from garment_keypoints.pipeline.contract.faults import UserError

log = logging.getLogger("garment_keypoints")
FORMAT = 2
"""1: one flat list of settings a stage; 2: nested by what they set."""
Config = TypeVar("Config")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def restore(config: type[Config], values: dict[str, Any], where: str) -> Config:
    """Make a config, and those nested in it, from plain values; each must be a setting that it has.

    Raises UserError that begins with `where`.
    """
    known = {field.name: field.type for field in fields(config)}  # type: ignore[arg-type]
    values = present_names(config, values, where)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UserError(
            f"{where}: settings that this version does not know ({', '.join(unknown)}); use a newer version"
        )
    made = {}
    for name, value in values.items():
        if is_dataclass(known[name]):
            if not isinstance(value, dict):
                raise UserError(f"{where}: {name} is {value!r}; expected a group of settings")
            value = restore(known[name], value, where)
        elif not _fits(value, known[name]):
            raise UserError(f"{where}: {name} is {value!r}; expected {KINDS[known[name]]}")
        made[name] = value
    return config(**made)


def present_names(config: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Return settings under their present names: a config may list what older files call them in FORMER.

    What is gone is left out; that is said where it was more than false.
    """
    former = getattr(config, "FORMER", {})
    renamed = {}
    for name, value in values.items():
        present = former.get(name, name)
        if present:
            renamed[present] = value
        elif value:
            log.warning("%s: %s is %r; this setting is gone, it is left out", where, name, value)
    return renamed


def renamed(config: type, values: Any) -> Any:
    """Return nested plain settings of an older version under their present names, to be compared with present ones.

    What is gone is left out where it was off; nothing is checked.
    """
    if not isinstance(values, dict):
        return values
    former, known = getattr(config, "FORMER", {}), {field.name: field.type for field in fields(config)}  # type: ignore[arg-type]
    gone = {name for name, value in values.items() if former.get(name) == "" and not value}
    present = {former.get(name) or name: value for name, value in values.items() if name not in gone}
    return {
        name: renamed(known[name], value) if is_dataclass(known.get(name)) else value  # type: ignore[arg-type]
        for name, value in present.items()
    }


def _fits(value: Any, kind: type) -> bool:
    """Tell whether a plain value is of the kind; a whole number is a number too, and a truth value neither."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def check_groups(config: type, values: dict[Any, Any], where: str) -> None:
    """Raise UserError for a group of settings that is no mapping, and for a setting that is empty; others may come too."""
    for name, kind in ((field.name, field.type) for field in fields(config) if field.name in values):  # type: ignore[arg-type]
        value = values[name]
        if is_dataclass(kind):
            if not isinstance(value, dict):
                raise UserError(f"{where}: {name} is {value!r}; expected a group of settings")
            check_groups(kind, value, f"{where}: {name}")  # type: ignore[arg-type]
        elif value is None or isinstance(value, dict | list):
            raise UserError(f"{where}: {name} is {value!r}; expected {KINDS[kind]}")


def nest(config: type, flat: dict[str, Any], renamed: dict[str, str], dropped: Iterable[str] = ()) -> dict[str, Any]:
    """Return flat settings of format 1 as nested ones; `renamed` says which moved to another name, as GROUP.NAME.

    Those that nothing reads any more are `dropped`; a name that is not known stays at the top, for `restore` to refuse.
    """
    places = dict(renamed)
    for group in fields(config):
        if is_dataclass(group.type):
            places |= {
                leaf.name: f"{group.name}.{leaf.name}" for leaf in fields(group.type) if leaf.name not in renamed
            }
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        if name not in dropped:
            group, _, leaf = places.get(name, name).rpartition(".")
            (nested.setdefault(group, {}) if group else nested)[leaf] = value
    return nested


def nested(values: Any, name: str, lacking: Any = None) -> Any:
    """Return the plain setting of a dotted name; `lacking` where there is none."""
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            return lacking
        values = values[part]
    return values


def check_ranges(config: Any, where: str, ranges: dict[str, tuple[float, float]]) -> None:
    """Raise UserError for the first setting of `config` that is not from its least to its largest value; NaN never is."""
    for name, (least, largest) in ranges.items():
        if not least <= getattr(config, name) <= largest:
            place = f"{where}.{name}" if where else name
            raise UserError(f"{place} is {getattr(config, name)}; expected {least:g} to {largest:g}")


def check_sides(where: str, size: int) -> None:
    """Raise UserError unless `size` is a side that every stride of a pyramid divides, and that a machine can hold."""
    if not 64 <= size <= 2048 or size % 32:
        raise UserError(f"{where} is {size}; expected a multiple of 32 from 64 to 2048")


def check_format(number: int, where: str) -> None:
    """Raise UserError unless a file of settings is of the present format."""
    if number != FORMAT:
        raise UserError(
            f"{where}: format {number}, expected {FORMAT}: settings are nested since then, such as keypoints.train.lr for "
            "keypoints.lr; docs/configs.md lists what moved"
        )
