"""YAML files of settings and schemas: every one is read here, and says each thing once and in plain words."""

import re
from pathlib import Path
from typing import Any

import yaml
from garment_keypoints.pipeline.contract.faults import UserError
from yaml.nodes import MappingNode, Node, ScalarNode

LARGEST = 60_000
"""Bytes, which are read within a second; a schema of hundreds of keypoints has 30,000."""
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def read_yaml(file: Path) -> dict[Any, Any]:
    """Read a YAML file that holds a mapping; raises UserError naming the file for anything else.

    No part may repeat another by an alias (a few lines could claim any size), no name stand twice in a mapping, and no
    whole number be written to another base than ten. What a message quotes of the file is a name or a number of that kind.
    """
    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UserError(f"{file}: more than {LARGEST:,} bytes, expected a file of settings or a schema")
    try:
        values = yaml.load(content.decode("utf-8"), _PlainLoader)
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 ({error}); save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{file}: line {mark.line + 1}: {error.problem}; correct it") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2020-13-45
        raise UserError(f"{file}: not readable as YAML: {' '.join(str(error).split())}; correct it") from None
    if not isinstance(values, dict):
        raise UserError(f"{file}: holds {type(values).__name__}, expected a mapping of names to values")
    return values


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases before anything is made of them, names that come twice, and numbers that YAML 1.1 reads in its own way."""

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"*{event.anchor} repeats another part, expected every part written out",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for name in (name for name, _ in node.value if isinstance(name, ScalarNode)):
            if (name.tag, name.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{name.value} stands twice, expected once", problem_mark=name.start_mark
                )
            seen.add((name.tag, name.value))
        return super().construct_mapping(node, deep)

    def construct_whole_number(self, node: ScalarNode) -> int:
        if not DECIMAL.fullmatch(node.value):
            raise yaml.MarkedYAMLError(
                problem=f"{node.value} is no number to base ten, expected one without a leading 0, or a text in quotes",
                problem_mark=node.start_mark,
            )
        return self.construct_yaml_int(node)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_whole_number)
