"""Settings by dotted name (keypoints.train.lr), as the files of ablations give them."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.configs import KINDS

FlatSettings = dict[str, Any]
"""Settings by dotted name."""


def flatten(config: type, values: Mapping[Any, Any], where: str, group: str = "") -> FlatSettings:
    """Return settings, written nested, dotted or both, by dotted name.

    Raises UserError that begins with `where` for a name that `config` does not have, and for a value of another kind.
    """
    known = {field.name: field.type for field in fields(config)}  # type: ignore[arg-type]
    flat: FlatSettings = {}
    for written, value in values.items():
        name, _, rest = str(written).partition(".")
        if name not in known:
            expected = ", ".join(f"{group}{one}" for one in known)
            raise UserError(f"{where}: {group}{written} is no setting; expected one of {expected}")
        kind: Any = known[name]
        if rest:
            value = {rest: value}
        if not is_dataclass(kind):
            flat[f"{group}{name}"] = _plain(value, kind, f"{where}: {group}{name}")
        elif isinstance(value, dict):
            flat |= flatten(kind, value, where, f"{group}{name}.")  # type: ignore[arg-type]
        else:
            raise UserError(f"{where}: {group}{name} is {value!r}; expected a group of settings")
    return flat


def flat_of(nested: Mapping[str, Any], group: str = "") -> FlatSettings:
    """Return nested settings by dotted name, whatever they are called."""
    flat: FlatSettings = {}
    for name, value in nested.items():
        flat |= flat_of(value, f"{group}{name}.") if isinstance(value, dict) else {f"{group}{name}": value}
    return flat


def nest(flat: FlatSettings) -> dict[str, Any]:
    """Return settings by dotted name as nested ones."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, leaf = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = value
    return nested


def _plain(value: Any, kind: type, where: str) -> Any:
    """Return a value as its setting's kind; YAML reads 1e-3 as a text, and the number of devices as a number."""
    try:
        if kind is float and not isinstance(value, bool | None):
            return float(value)
        if kind is str and type(value) in (int, float):
            return str(value)
    except (TypeError, ValueError, OverflowError):
        pass
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where} is {value!r}; expected {KINDS.get(kind, kind.__name__)}")
    return value
