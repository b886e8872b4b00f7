"""Files of options (--config): found by path or by the name of a preset, their names checked, former ones under today's."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from garment_keypoints.pipeline.cli.former import note, present_option
from garment_keypoints.pipeline.cli.usage import guess
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.learning.configs import check_format, check_groups

CONFIGS = Path(__file__).parents[2] / "configs"
"""The presets of this project, in a checkout as in an installation."""


def find_preset(name: str) -> Path:
    """Return the file of this path, or the preset of this name: cpu, networks/hrnet_w18; .yaml may be left out."""
    packaged = CONFIGS / (name if name.endswith(".yaml") else f"{name}.yaml")
    file = next((one for one in (Path(name), packaged) if one.is_file()), None)
    if file is None:
        known = {one.relative_to(CONFIGS).with_suffix("").as_posix() for one in CONFIGS.rglob("*.yaml")}
        top = ", ".join(sorted(one for one in known if "/" not in one))
        near = guess(name.removesuffix(".yaml"), known) or guess(Path(name).stem, known)
        raise UserError(f"--config is {name!r}; expected a YAML file, or a preset ({top}){near}")
    return file


def read_preset(verb: str, name: str, options: Mapping[str, Any], groups: Sequence[type]) -> str:
    """Return the options of a file as YAML that holds nothing but names and kinds of groups that the verb has.

    `options` are the types of the verb's options by dotted name, `groups` the classes of settings among them. Raises
    UserError that begins with the file.
    """
    file = find_preset(name)
    content = read_yaml(file)
    if {"detector", "keypoints"} & set(content):
        check_format(content.get("format", 1), str(file))
    content = _present(verb, str(file), content, options, groups)
    for group in groups:
        check_groups(group, content, str(file))
    return yaml.safe_dump(content)


def _present(
    verb: str, file: str, content: dict[Any, Any], options: Mapping[str, Any], groups: Sequence[type]
) -> dict[str, Any]:
    """Return the content nested, under today's names; raises UserError for the first name that the verb does not have."""
    nested: dict[str, Any] = {}
    for name, value in _flat(content):
        present = present_option(verb, name, options, groups)
        if present.name != name and (present.name or value):
            value = int(present.value(str(value))) if type(value) is int else value
            note(f"{file}: ", name, present.name and f"{present.name}: {value}")
        if not present.name:
            continue
        if any(one.startswith(f"{present.name}.") for one in options):
            if value != {}:
                raise UserError(f"{file}: {name} is {value!r}; expected a group of settings")
            continue
        if present.name not in options:
            raise UserError(f"{file}: {name} is no setting of {verb}{guess(name, options)}")
        *place, leaf = present.name.split(".")
        group = nested
        for part in place:
            group = group.setdefault(part, {})
        group[leaf] = value
    return nested


def _flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return what is nested by dotted name."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
