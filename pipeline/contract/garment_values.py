"""What the columns of `outputs` say of a garment: read once when it is found, rounded when it is written, and read back."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.outputs import (
    ADDED,
    BUILT_IN,
    CSV,
    GROUPS,
    JSON,
    POINTS,
    Column,
    columns,
    groups,
)
from garment_keypoints.pipeline.contract.schema import Schema

if TYPE_CHECKING:
    from garment_keypoints.pipeline.contract.garments import Garment


def read_added(garment: "Garment", schema: Schema) -> dict[str, Any]:
    """Return what the added columns say of a garment, by key. Raises UserError where their functions fail."""
    return {key: _read(column, garment, schema) for key, column in ADDED.items()}


def plain(garment: "Garment", schema: Schema, place: str = JSON) -> dict[str, Any]:
    """Return the values that appear in a place, rounded; those of groups by name, and for each name by column.

    What has no value is left out.
    """
    values: dict[str, Any] = {}
    for column in columns(place):
        value = _value(column, garment, schema)
        if value is not None:
            values[column.name] = [_rounded(one, column) for one in value] if column.parts else _rounded(value, column)
    for group in groups(place):
        rows: dict[str, dict[str, Any]] = {}
        for column in columns(place, group.name):
            value = _value(column, garment, schema)
            for name, one in zip(group.names(schema), () if value is None else value, strict=value is not None):
                if not _none(one):
                    rows.setdefault(name, {})[column.name] = _rounded(one, column)
        if rows or group.name == POINTS:
            order = [name for name in group.names(schema) if name in rows]
            values[group.name] = {name: rows[name] for name in order}
    return values


def from_plain(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return what `plain` gave for JSON by key, as columns read it; columns that nobody has added are passed over.

    Raises KeyError or ValueError for values of another schema, or of something else.
    """
    found: dict[str, Any] = {}
    for column in (*BUILT_IN, *ADDED.values()):
        own = column.group or column.name
        value = values.get(own) if column.key in ADDED else values[own]
        found[column.key] = _by_name(value or {}, column, schema) if column.group else value
    return found


def _by_name(rows: Mapping[str, Mapping[str, Any]], column: Column, schema: Schema) -> np.ndarray | None:
    names = GROUPS[column.group].names(schema)
    if unknown := rows.keys() - {*names}:
        raise ValueError(f"{column.group} of {sorted(unknown)}, which {schema.name} does not know")
    values = [rows.get(name, {}).get(column.name) for name in names]
    return None if all(one is None for one in values) else _array(values, column)


def row(garment: "Garment", schema: Schema, place: str = CSV) -> list[Any]:
    """Return the cells of a garment below such a header; None where it has no value."""
    values = plain(garment, schema, place)
    cells = [cell for _, cell in flat_cells(values, place)]
    for group in groups(place):
        own, rows = columns(place, group.name), values.get(group.name, {})
        cells += [rows.get(name, {}).get(column.name) for name in group.names(schema) for column in own]
    return cells


def flat_cells(values: Mapping[str, Any], place: str) -> list[tuple[str, Any]]:
    """Return the values of a garment itself, of what `plain` gave, by their names in a table."""
    cells: list[tuple[str, Any]] = []
    for column in columns(place):
        value = values.get(column.name)
        parts = (value or [None] * len(column.parts)) if column.parts else [value]
        cells += zip(column.flat, parts, strict=True)
    return cells


def stacked(key: str, garments: "Sequence[Garment]", schema: Schema) -> np.ndarray:
    """Return the column of this key over G garments: (G,), (G, parts) or (G, names); NaN, or None of what is no number, for none.

    Raises UserError for a key that no column has.
    """
    known = {one.key: one for one in (*BUILT_IN, *ADDED.values())}
    if key not in known:
        raise UserError(f"no column {key!r}; there are {', '.join(known)}")
    column = known[key]
    names = GROUPS[column.group].names(schema) if column.group else column.parts
    found = []
    for garment in garments:
        value = _value(column, garment, schema)
        found.append(([None] * len(names) if names else None) if value is None else value)
    return _array(found, column).reshape(len(garments), *([len(names)] if names else []))


def _read(column: Column, garment: "Garment", schema: Schema) -> Any:
    """Return what a user's function says, checked and as `from_plain` gives it."""
    where = f"column {column.key!r} of a {garment.category}"
    length = len(GROUPS[column.group].names(schema)) if column.group else len(column.parts)
    try:
        value = column.read(garment, schema)
        if not length:
            return None if _none(value) else _checked(value, column)
        if value is None:
            return None
        values = [None if _none(one) else _checked(one, column) for one in value]
    except Exception as error:  # a user's function may raise whatever it likes
        raise UserError(f"{where}: its function fails ({type(error).__name__}: {error}); mend it") from error
    if len(values) != length:
        raise UserError(f"{where}: {len(values)} values; expected {length}, one a {'name' if column.group else 'part'}")
    return _array(values, column) if column.group else values


def _checked(value: Any, column: Column) -> Any:
    """Return a value as its kind; 3.7 is no int, and 1 no bool."""
    fits = {
        float: isinstance(value, int | float | np.number) and bool(np.isfinite(value)),
        int: isinstance(value, int | np.integer),
        str: isinstance(value, str),
        bool: isinstance(value, bool | np.bool_),
    }
    if not fits[column.kind]:
        raise TypeError(f"{value!r} where a {column.kind.__name__} is expected")
    return column.kind(value)


def _value(column: Column, garment: "Garment", schema: Schema) -> Any:
    return garment.values.get(column.key) if column.key in ADDED else column.read(garment, schema)


def _none(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _rounded(value: Any, column: Column) -> Any:
    if _none(value):
        return None
    return round(float(value), column.digits) if column.kind is float else column.kind(value)


def _array(values: Sequence[Any], column: Column) -> np.ndarray:
    return np.array(values, dtype=float if column.kind is float else object)
