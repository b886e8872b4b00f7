"""The values of a schema's file, checked: names, pairs, mappings and OKS sigmas."""

import math
from collections.abc import Sequence
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError

REQUIRED, OPTIONAL = ("name", "keypoints", "categories"), ("reference", "pairs", "sigmas")
RESERVED = ("", "image_id", "image_category")
"""Names that a keypoint or category cannot have: nothing, and the CSV's own columns."""


def check_keys(data: Any) -> None:
    if not isinstance(data, dict):
        raise UserError(f"schema is {data!r}; expected a mapping with {', '.join(REQUIRED)}; see docs/schemas.md")
    missing, unknown = sorted(set(REQUIRED) - set(data)), sorted(map(str, set(data) - {*REQUIRED, *OPTIONAL}))
    if missing:
        raise UserError(f"schema lacks {missing}; see docs/schemas.md")
    if unknown:
        raise UserError(f"schema {data['name']}: unknown keys {unknown}; expected {', '.join(REQUIRED + OPTIONAL)}")
    read_names([data["name"]], "schema: `name`")


def read_names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{where} is {value!r}; expected a list of names")
    for one in value:
        if not isinstance(one, str):
            raise UserError(f"{where} has {one!r}; expected names (put quotes around numbers, yes and no)")
        if not one.isprintable() or one != one.strip() or one in RESERVED:
            raise UserError(
                f"{where} has {one!r}; expected printable names, and none of {', '.join(map(repr, RESERVED))}"
            )
        if value.count(one) > 1:
            raise UserError(f"{where} has {one!r} more than once; every name stands once")
    return tuple(value)


def read_pair(value: Any, where: str) -> tuple[str, str]:
    names = read_names(value, where)
    if len(names) != 2:
        raise UserError(f"{where} has {list(names)}; expected two different names")
    return names[0], names[1]


def read_mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where} is {value!r}; expected a mapping with the categories as keys")
    read_names(list(value), where)
    return value


def read_sigmas(value: Any, keypoints: Sequence[str], where: str) -> tuple[float, ...]:
    """Return the OKS sigma of each keypoint, in their order; raises UserError unless each has one above 0."""
    named = read_mapping(value, where)
    unknown, missing = [one for one in named if one not in keypoints], [one for one in keypoints if one not in named]
    if unknown or missing:
        what = f"names {unknown[0]!r}, which `keypoints` does not list" if unknown else f"lacks {missing[0]!r}"
        raise UserError(f"{where} {what}; give every keypoint a number above 0, or leave `sigmas` out")
    for name, one in named.items():
        if isinstance(one, bool) or not isinstance(one, int | float) or not 0 < one < math.inf:
            raise UserError(f"{where} has {one!r} for {name}; expected a number above 0")
    return tuple(float(named[name]) for name in keypoints)
