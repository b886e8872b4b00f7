"""Categories and keypoints of a data set, read from a YAML file; flip index and reference pairs follow from the names."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml


@dataclass(frozen=True)
class Schema:
    """Names and order of everything that is numbered elsewhere.

    `keypoints` are in the order of the CSV's columns (K of them), `members` holds the keypoint indices of each category,
    `stems` the reference stems in order of preference. Left and right are the picture's.
    """

    name: str
    keypoints: tuple[str, ...]
    members: dict[str, tuple[int, ...]]
    stems: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.keypoints)) != len(self.keypoints):
            raise ValueError(f"schema {self.name}: a keypoint name stands twice in {list(self.keypoints)}")
        if not self.members:
            raise ValueError(f"schema {self.name}: no categories; give at least one with its keypoints")
        flip = self.flip_index
        if any(flip[flip[k]] != k for k in range(len(flip))):
            raise ValueError(f"schema {self.name}: mirroring twice must give every keypoint back")
        for category, members in self.members.items():
            if {flip[k] for k in members} != set(members):
                lone = sorted(self.keypoints[k] for k in members if flip[k] not in members)
                raise ValueError(f"schema {self.name}: {category} has {lone} without the keypoint of the other side")
        _ = self.reference

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self.members)

    @cached_property
    def flip_index(self) -> tuple[int, ...]:
        """For each keypoint the index of its mirror image (itself when the name has no side)."""
        return tuple(self._index(_mirrored(name)) for name in self.keypoints)

    @cached_property
    def reference(self) -> dict[str, tuple[int, int]]:
        """The pair of keypoints of each category whose distance normalises the error (NE)."""
        return {category: self._reference_pair(category, members) for category, members in self.members.items()}

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
            raise ValueError(f"unknown category {category!r}; {self.name} has {', '.join(self.categories)}") from None

    @property
    def fingerprint(self) -> str:
        """Short hash of everything that gives the numbers their meaning."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, as in the YAML file; `from_dict` reads them back."""
        categories = {c: [self.keypoints[k] for k in members] for c, members in self.members.items()}
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "reference": list(self.stems),
            "categories": categories,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Schema":
        missing = {"name", "keypoints", "reference", "categories"} - set(data)
        if missing:
            raise ValueError(f"schema lacks {sorted(missing)}; see pipeline/contract/schemas/fashionai.yaml")
        keypoints = tuple(data["keypoints"])
        members = {}
        for category, names in data["categories"].items():
            unknown = [name for name in names if name not in keypoints]
            if unknown:
                raise ValueError(f"schema {data['name']}: {category} names {unknown}, which `keypoints` does not list")
            members[category] = tuple(sorted(keypoints.index(name) for name in names))
        return cls(data["name"], keypoints, members, tuple(data["reference"]))

    def _index(self, name: str) -> int:
        if name not in self.keypoints:
            raise ValueError(
                f"schema {self.name}: keypoint {name!r} is missing, the mirror image of {_mirrored(name)!r}"
            )
        return self.keypoints.index(name)

    def _reference_pair(self, category: str, members: tuple[int, ...]) -> tuple[int, int]:
        names = [self.keypoints[k] for k in members]
        for stem in self.stems:
            left, right = f"{stem}_left", f"{stem}_right"
            if left in names and right in names:
                return self.keypoints.index(left), self.keypoints.index(right)
        raise ValueError(f"schema {self.name}: {category} has no pair of {list(self.stems)} to normalise its error by")


def load_schema(name_or_path: str | Path = "fashionai") -> Schema:
    """Read a schema that comes with the package (by name) or one of your own (path of a YAML file)."""
    packaged = resources.files("pipeline.contract") / "schemas" / f"{name_or_path}.yaml"
    source = packaged if packaged.is_file() else Path(name_or_path)
    if not source.is_file():
        raise ValueError(f"no schema {str(name_or_path)!r}: neither packaged (such as fashionai) nor a YAML file")
    try:
        data = yaml.safe_load(source.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{name_or_path}: not readable as YAML: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{name_or_path}: expected a mapping with name, keypoints, reference, categories")
    return Schema.from_dict(data)


def _mirrored(name: str) -> str:
    swap = {"left": "right", "right": "left"}
    return "_".join(swap.get(part, part) for part in name.split("_"))
