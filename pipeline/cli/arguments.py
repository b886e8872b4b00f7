"""Options from the signatures of the commands: an option is a parameter, with its type, default and line under Args."""

import ast
import importlib
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from docstring_parser import parse
from jsonargparse import ArgumentParser, set_parsing_settings

from pipeline.contract.formats.yaml_files import read_yaml
from pipeline.learning.configs import check_format, check_groups


def build_parser(
    verbs: dict[str, str], arguments: Sequence[str], program: str = "python -m pipeline"
) -> ArgumentParser:
    """Build the parser for these arguments: only the verb among them is imported, which takes seconds, and gets options.

    A parameter that is a dataclass (Settings, Device) becomes an option a field, one before the `/` of a signature words
    without an option's name.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog=program, description="Key points of garments in photos, in two stages.")
    subcommands = parser.add_subcommands(dest="verb", required=True)
    chosen = next(iter(arguments), None)
    for verb, path in verbs.items():
        summary = _summary(path)
        sub = ArgumentParser(description=summary)
        if verb == chosen:
            _add_options(sub, _load(path))
        subcommands.add_subcommand(verb, sub, help=summary[0].lower() + summary[1:].removesuffix("."))
    return parser


def call(verbs: dict[str, str], arguments: Sequence[str], program: str = "python -m pipeline") -> Any:
    """Parse the arguments and call the function of their verb."""
    _check_presets(verbs, arguments)
    parser = build_parser(verbs, arguments, program)
    # Lightning sets its own level when it is imported, and then advertises.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    parsed = parser.instantiate(parser.parse_args([_underscored(argument) for argument in arguments]))
    function = _load(verbs[parsed.verb])
    options = dict(vars(parsed[parsed.verb]))
    for name, hint in _hints(function).items():
        if is_dataclass(hint):
            options[name] = hint(**{field.name: options.pop(field.name) for field in fields(hint)})
    options.pop("config", None)
    parameters = inspect.signature(function).parameters.items()
    positional = [options.pop(name) for name, one in parameters if one.kind is one.POSITIONAL_ONLY]
    return function(*positional, **options)


def _add_options(parser: ArgumentParser, function: Callable[..., Any]) -> None:
    described = {one.arg_name: one.description for one in parse(function.__doc__ or "").params}
    hints = _hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(hints[name]):
            if any(is_dataclass(inner) for inner in get_type_hints(hints[name]).values()):
                parser.add_argument(
                    "--config", action="config", help="a YAML file of options, such as configs/cpu.yaml"
                )
            parser.add_class_arguments(hints[name])
            continue
        needed = parameter.default is parameter.empty
        options: dict[str, Any] = {"type": hints[name], "help": described[name]}
        if parameter.kind is parameter.POSITIONAL_ONLY:
            many = {"nargs": "+"} if needed else {"nargs": "*", "default": list(parameter.default)}
            parser.add_argument(name, **options | many | {"type": get_args(hints[name])[0]})
            continue
        if get_origin(hints[name]) is Sequence:
            options |= {"type": get_args(hints[name])[0], "nargs": "+" if needed else "*"}
        elif parameter.default is False:
            del options["type"]
            options["action"] = "store_true"
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        options |= {"required": True} if needed else {"default": default}
        parser.add_argument(f"--{name}", **options)


def _check_presets(verbs: dict[str, str], arguments: Sequence[str]) -> None:
    """Refuse by name a preset that the parser would stumble over: of format 1, damaged, or with something empty in it."""
    words = [part for argument in arguments for part in argument.split("=", 1)]
    files = [Path(value) for option, value in pairwise(words) if option == "--config"]
    for file in files:
        if not file.is_file() or words[0] not in verbs:
            continue  # the parser says what is wrong
        content = read_yaml(file)
        if {"detector", "keypoints"} & set(content):
            check_format(content.get("format", 1), str(file))
        for hint in _hints(_load(verbs[words[0]])).values():
            if is_dataclass(hint):
                check_groups(hint, content, str(file))


def _underscored(argument: str) -> str:
    """Take --at-most for --at_most."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _load(path: str) -> Callable[..., Any]:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(function).items() if name != "return"}


def _summary(path: str) -> str:
    """Return the first line of a function's docstring, without importing its module."""
    module, name = path.split(":")
    source = ast.parse(Path(find_spec(module).origin).read_text(encoding="utf-8"))
    function = next(node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(function) or "").splitlines()[0]
