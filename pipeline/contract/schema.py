"""Categories and keypoints of a data set, read from a YAML file: who mirrors whom, and what normalises an error."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.contract.schema_values import (
    check_keys,
    read_mapping,
    read_names,
    read_pair,
    read_sigmas,
)

SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Schema:
    """Names and order of everything that is numbered elsewhere.

    `keypoints` are in the order of the CSV's columns (K of them), `members` holds the keypoint indices of each category.
    `normalisers` are the reference stems in order of preference, or the two keypoints of each category that has a pair.
    `pairs` are the keypoints (left, right) that a mirror swaps; None derives them from the names. Left and right are the
    picture's. `sigmas` are those of OKS, one a keypoint, where somebody measured them.
    """

    name: str
    keypoints: tuple[str, ...]
    members: dict[str, tuple[int, ...]]
    normalisers: tuple[str, ...] | dict[str, tuple[str, str]] = ()
    pairs: tuple[tuple[str, str], ...] | None = None
    sigmas: tuple[float, ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.members:
            raise UserError(f"schema {self.name}: no categories; give at least one with its keypoints")
        flip = self.flip_index
        for category, members in self.members.items():
            lone = sorted(self.keypoints[k] for k in members if flip[k] not in members)
            if lone:
                raise UserError(f"schema {self.name}: {category} has {lone} without the keypoint of the other side")
        _ = self.reference

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self.members)

    @cached_property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """Index pairs (left, right) of the keypoints that a mirror swaps."""
        return _derived_sides(self) if self.pairs is None else _declared_sides(self, self.pairs)

    @cached_property
    def flip_index(self) -> tuple[int, ...]:
        """For each keypoint the index of its mirror image (itself when it has no side)."""
        flip = list(range(len(self.keypoints)))
        for left, right in self.sides:
            flip[left], flip[right] = right, left
        return tuple(flip)

    @cached_property
    def reference(self) -> dict[str, tuple[int, int] | None]:
        """The pair of keypoints of each category whose distance normalises the error (NE).

        None: the category has no such pair, and the diagonal of the box of a garment's annotated points takes its place.
        """
        if isinstance(self.normalisers, dict):
            return _declared_reference(self, self.normalisers)
        return _derived_reference(self, self.normalisers)

    @cached_property
    def mask(self) -> torch.Tensor:
        """(C, K) bool: does the category have the keypoint?"""
        mask = torch.zeros(len(self.members), len(self.keypoints), dtype=torch.bool)
        for row, members in enumerate(self.members.values()):
            mask[row, list(members)] = True
        return mask

    def category_index(self, category: str) -> int:
        try:
            return self.categories.index(category)
        except ValueError:
            raise UserError(f"unknown category {category!r}; {self.name} has {', '.join(self.categories)}") from None

    @property
    def fingerprint(self) -> str:
        """Short hash of everything that gives the numbers their meaning."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, as in the YAML file; `from_dict` reads them back.

        Weights are compared with it: what it says of a schema must not change. Sigmas, which scoring alone reads, are left out.
        """
        declared = isinstance(self.normalisers, dict)
        data = {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "reference": {c: list(p) for c, p in self.normalisers.items()} if declared else list(self.normalisers),
            "categories": {c: [self.keypoints[k] for k in members] for c, members in self.members.items()},
        }
        return data if self.pairs is None else data | {"pairs": [list(pair) for pair in self.pairs]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Schema":
        """Make a schema of what `to_dict` or a YAML file gives; raises UserError for anything else."""
        check_keys(data)
        name = data["name"]
        keypoints = read_names(data["keypoints"], f"schema {name}: `keypoints`")
        categories = read_mapping(data["categories"], f"schema {name}: `categories`")
        members = {}
        for category, listed in categories.items():
            names = read_names(listed, f"schema {name}: `categories`, {category}")
            unknown = [one for one in names if one not in keypoints]
            if unknown or not names:
                what = (
                    f"{category} names {unknown}, which `keypoints` does not list"
                    if unknown
                    else f"{category} is empty"
                )
                raise UserError(f"schema {name}: {what}")
            members[category] = tuple(sorted(keypoints.index(one) for one in names))
        reference, pairs = data.get("reference", ()), data.get("pairs")
        where = f"schema {name}: `reference`"
        if isinstance(reference, dict):
            normalisers = {c: read_pair(p, f"{where}, {c}") for c, p in read_mapping(reference, where).items()}
        else:
            normalisers = read_names(reference, where)
        if pairs is not None:
            if not isinstance(pairs, list):
                raise UserError(f"schema {name}: `pairs` is {pairs!r}; expected a list of pairs [left, right]")
            pairs = tuple(read_pair(pair, f"schema {name}: `pairs`") for pair in pairs)
        sigmas = data.get("sigmas")
        if sigmas is not None:
            sigmas = read_sigmas(sigmas, keypoints, f"schema {name}: `sigmas`")
        return cls(name, keypoints, members, normalisers, pairs, sigmas)


def load_schema(name_or_path: str | Path = "fashionai") -> Schema:
    """Read a schema that comes with the package (by name) or one of your own (path of a YAML file)."""
    packaged = resources.files("garment_keypoints.pipeline.contract") / "schemas" / f"{name_or_path}.yaml"
    source = packaged if _is_file(packaged) else Path(name_or_path)
    if not _is_file(source):
        raise UserError(f"no schema {str(name_or_path)!r}: neither packaged (such as fashionai) nor a YAML file")
    try:
        return Schema.from_dict(read_yaml(source))
    except UserError as error:
        raise error if str(source) in str(error) else UserError(f"{name_or_path}: {error}") from None


def _is_file(source: Any) -> bool:
    try:
        return source.is_file()
    except OSError:  # longer than a name may be, or in a folder that may not be read
        return False


def _derived_sides(schema: Schema) -> tuple[tuple[int, int], ...]:
    sides = []
    for k, name in enumerate(schema.keypoints):
        parts = name.split("_")
        mirrored = "_".join(SIDES.get(part, part) for part in parts)
        if mirrored not in schema.keypoints:
            raise UserError(
                f"schema {schema.name}: keypoint {mirrored!r} is missing, the mirror image of {name!r}; "
                "add it, or declare `pairs`"
            )
        if name < mirrored:  # "left" sorts before "right"
            sides.append((k, schema.keypoints.index(mirrored)))
    return tuple(sides)


def _declared_sides(schema: Schema, pairs: Sequence[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
    names = [name for pair in pairs for name in pair]
    for name in names:
        if name not in schema.keypoints:
            raise UserError(f"schema {schema.name}: `pairs` names {name!r}, which `keypoints` does not list")
        if names.count(name) > 1:
            raise UserError(
                f"schema {schema.name}: `pairs` has {name!r} more than once; a keypoint has one mirror image"
            )
    return tuple((schema.keypoints.index(left), schema.keypoints.index(right)) for left, right in pairs)


def _derived_reference(schema: Schema, stems: Sequence[str]) -> dict[str, tuple[int, int] | None]:
    by_stem: dict[str, tuple[int, int]] = {}
    for left, right in schema.sides:
        stem = _stem(schema.keypoints[left])
        if stem == _stem(schema.keypoints[right]):
            by_stem[stem] = left, right
    lone = [stem for stem in stems if stem not in by_stem]
    if lone:
        raise UserError(
            f"schema {schema.name}: `reference` names {lone}, but `keypoints` has no pair such as {lone[0]}_left and "
            f"{lone[0]}_right; correct it, or name two keypoints a category"
        )
    pairs = [by_stem[stem] for stem in stems]
    return {c: next((p for p in pairs if set(p) <= set(members)), None) for c, members in schema.members.items()}


def _declared_reference(schema: Schema, pairs: dict[str, tuple[str, str]]) -> dict[str, tuple[int, int] | None]:
    reference: dict[str, tuple[int, int] | None] = dict.fromkeys(schema.members)
    for category, pair in pairs.items():
        if category not in schema.members:
            known = ", ".join(schema.members)
            raise UserError(f"schema {schema.name}: `reference` names category {category!r}; expected one of {known}")
        own = [schema.keypoints[k] for k in schema.members[category]]
        for name in pair:
            if name not in own:
                raise UserError(f"schema {schema.name}: `reference` of {category} names {name!r}, not a keypoint of it")
        reference[category] = schema.keypoints.index(pair[0]), schema.keypoints.index(pair[1])
    return reference


def _stem(name: str) -> str:
    return "_".join(part for part in name.split("_") if part not in SIDES)
