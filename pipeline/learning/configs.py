"""Configs as nested dataclasses: made from plain values, and from the flat ones of format 1."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pipeline.contract.faults import UserError

FORMAT = 2
"""1: one flat list of settings a stage; 2: nested by what they set."""
Config = TypeVar("Config")


def restore(config: type[Config], values: dict[str, Any], where: str) -> Config:
    """Make a config, and those nested in it, from plain values; each must be a setting that it has.

    Raises UserError that begins with `where`.
    """
    known = {field.name: field.type for field in fields(config)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UserError(
            f"{where}: settings that this version does not know ({', '.join(unknown)}); use a newer version"
        )
    made = {}
    for name, value in values.items():
        inner = is_dataclass(known[name]) and isinstance(value, dict)
        made[name] = restore(known[name], value, where) if inner else value
    return config(**made)


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


def check_ranges(config: Any, where: str, most: dict[str, float]) -> None:
    """Raise UserError for the first setting of `config` that is not from 0 to its largest value."""
    for name, largest in most.items():
        if not 0 <= getattr(config, name) <= largest:
            raise UserError(f"{where}.{name} is {getattr(config, name)}; expected 0 to {largest}")


def check_format(number: int, where: str) -> None:
    """Raise UserError unless a file of settings is of the present format."""
    if number != FORMAT:
        raise UserError(
            f"{where}: format {number}, expected {FORMAT}: settings are nested since then, such as keypoints.train.lr for "
            "keypoints.lr; docs/configs.md lists what moved"
        )
