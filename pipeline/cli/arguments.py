"""Options from the signatures of the commands: an option is a parameter, with its type, default and line under Args."""

import importlib
import inspect
import logging
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse
from garment_keypoints.pipeline.cli.former import note, present_option
from garment_keypoints.pipeline.cli.presets import read_preset
from garment_keypoints.pipeline.cli.usage import UsageError, guess, program
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.configs import KINDS
from jsonargparse import ArgumentParser, set_parsing_settings

SWITCHES = ("help", "print_config")
"""Options that every verb has, or each that takes presets."""


@dataclass(frozen=True)
class Verb:
    """A verb with its function, as its users write it."""

    name: str
    function: Callable[..., Any]
    laboratory: bool = False

    @property
    def command(self) -> str:
        """What its users type."""
        return f"{program()} {'lab ' if self.laboratory else ''}{self.name}"

    @property
    def hints(self) -> dict[str, Any]:
        """The types of its parameters."""
        return {name: hint for name, hint in get_type_hints(self.function).items() if name != "return"}

    @property
    def groups(self) -> list[type]:
        """The parameters that are dataclasses (Settings, Device): an option a field."""
        return [hint for hint in self.hints.values() if is_dataclass(hint)]

    @property
    def takes_presets(self) -> bool:
        """Whether one of the groups holds groups itself."""
        return any(is_dataclass(inner) for group in self.groups for inner in get_type_hints(group).values())

    @property
    def options(self) -> dict[str, Any]:
        """The type of each option, by its dotted name."""
        named = self.hints.items()
        return dict(
            pair for name, hint in named for pair in (_leaves(hint) if is_dataclass(hint) else [(word_of(name), hint)])
        )


def call(name: str, path: str, words: Sequence[str], laboratory: bool = False) -> Any:
    """Parse the words after a verb and call its function, which is at `path`."""
    verb = Verb(name, _load(path), laboratory)
    # Lightning sets its own level when it is imported, and then advertises.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    options = parse_words(verb, words)
    for name, hint in verb.hints.items():
        if is_dataclass(hint):
            options[name] = hint(**{field.name: options.pop(field.name) for field in fields(hint)})
    parameters = inspect.signature(verb.function).parameters.items()
    options = {name: options[word_of(name)] for name, _ in parameters}
    positional = [options.pop(name) for name, one in parameters if one.kind is one.POSITIONAL_ONLY]
    return verb.function(*positional, **options)


def word_of(parameter: str) -> str:
    """Return the option of a parameter; one that would be a word of Python ends in _, such as from_."""
    return parameter.removesuffix("_")


def parse_words(verb: Verb, words: Sequence[str]) -> dict[str, Any]:
    """Return the value of each option, those of settings in groups; raises UsageError for words that make no command."""
    parser = build_parser(verb)
    try:
        parsed = parser.instantiate(parser.parse_args(_checked(verb, words)))
    except ArgumentError as error:
        raise _explained(verb, error) from None
    options = dict(vars(parsed))
    options.pop("config", None)
    return options


def build_parser(verb: Verb) -> ArgumentParser:
    """Build the parser of a verb's options; one before the `/` of a signature is words without an option's name."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    described = parse(verb.function.__doc__ or "")
    lines = {one.arg_name: one.description for one in described.params}
    text = "\n\n".join(filter(None, (described.short_description, described.long_description)))
    parser = ArgumentParser(prog=verb.command, description=text, exit_on_error=False, allow_abbrev=False)
    usage = [verb.command]
    if verb.takes_presets:
        parser.add_argument("--config", action="config", help="a preset, such as cpu, or a YAML file of options")
    for name, parameter in inspect.signature(verb.function).parameters.items():
        hint = verb.hints[name]
        if is_dataclass(hint):
            parser.add_class_arguments(hint)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            needed = parameter.default is parameter.empty
            many = {"nargs": "+"} if needed else {"nargs": "*", "default": list(parameter.default)}
            parser.add_argument(name, type=get_args(hint)[0], help=lines[name], **many)
            usage.append(f"{name.upper()} ...")
        else:
            word = word_of(name)
            parser.add_argument(f"--{word}", help=lines[name], **_option(parameter, hint))
            usage += [f"--{word} {word.upper()}"] if parameter.default is parameter.empty else []
    parser.usage = " ".join([*usage, "[options]"])
    return parser


def _option(parameter: inspect.Parameter, hint: Any) -> dict[str, Any]:
    """Return how the parser is to take a parameter."""
    if parameter.default is False:
        return {"action": "store_true", "default": False}
    needed = parameter.default is parameter.empty
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    options = {"required": True} if needed else {"default": default}
    if get_origin(hint) is Sequence:
        return options | {"type": get_args(hint)[0], "nargs": "+" if needed else "*"}
    return options | {"type": hint}


def _checked(verb: Verb, words: Sequence[str]) -> list[str]:
    """Return the words with every option under its present name, and presets as what they hold.

    Raises UsageError for an option that the verb does not have; a part of a name is none.
    """
    options, groups = verb.options, verb.groups
    known = {*options, *SWITCHES, *(["config"] if verb.takes_presets else [])}
    first, *rest = _parts(words)
    checked = list(first)
    for option, *values in rest:
        name, equals, value = option.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        values = [value, *values] if equals else values
        present = present_option(verb.name, name, known, groups)
        if present.name not in {"", *known}:
            raise UsageError(f"no option --{name} of {verb.name}{_hint(verb, name, known)}")
        many = len(values) if get_origin(options.get(present.name)) is Sequence else 1
        if present.name != name:
            values = [*map(present.value, values[:many]), *values[many:]]
            note("", f"--{name}", present.name and " ".join([f"--{present.name}", *values[:many]]))
        if name == "config":
            values[:1] = [read_preset(verb.name, one, options, groups) for one in values[:1]]
        if present.name:
            head = f"--{present.name}"
            checked += [f"{head}={values[0]}", *values[1:]] if equals else [head, *values]
        else:
            checked += values[1:]
    return checked


def _parts(words: Sequence[str]) -> list[list[str]]:
    """Return the words before the first option, and each option with the words up to the next."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    return parts


def _explained(verb: Verb, error: ArgumentError) -> UserError:
    """Return the parser's complaint as one line in a user's words."""
    message, options = " ".join(str(error.message).split()), verb.options
    if missing := re.fullmatch("the following arguments are required: (.*)", message):
        return UsageError(f"{verb.name} needs {_named(verb, missing[1].split(', '))}")
    if wrong := re.fullmatch('Parser key "([^"]+)"(?: element [0-9]+)?: (.*?)(?: Got value: (.*))?', message):
        name, text, value = wrong.groups()
        if value is None or name not in options:
            return UsageError(f"--{name}: {text}")
        return UsageError(f"--{name} is {value!r}; expected {_expected(options[name], value)}")
    if extra := re.fullmatch("unrecognized arguments: (.*)", message):
        return UsageError(f"{extra[1]!r} is nothing that {verb.name} takes; `{verb.command} --help` lists its options")
    return UsageError(message.removeprefix("argument "))


def _named(verb: Verb, names: Iterable[str]) -> str:
    """Return these options with the line that explains each."""
    lines = {one.arg_name: " ".join(one.description.split()) for one in parse(verb.function.__doc__ or "").params}
    parameters = inspect.signature(verb.function).parameters
    words = {name for name, one in parameters.items() if one.kind is one.POSITIONAL_ONLY}
    return " and ".join(
        f"{name.upper() if name in words else f'--{name}'} ({lines[name]})" for name in names if name in lines
    )


def _hint(verb: Verb, name: str, known: Iterable[str]) -> str:
    return guess(name, known, "--") or f"; `{verb.command} --help` lists them"


def _expected(hint: Any, value: str) -> str:
    """Say what values a type has, with the nearest to a wrong one."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}{guess(value, map(str, get_args(hint)))}"
    inner = [one for one in get_args(hint) if one is not type(None)]
    if get_origin(hint) in (Sequence, Union, UnionType) and len(inner) == 1:
        return _expected(inner[0], value)
    return KINDS.get(hint, f"a value of type {getattr(hint, '__name__', hint)}")


def _leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the settings of a dataclass and of those in it, by dotted name, with their types."""
    for name, hint in get_type_hints(group).items():
        if get_origin(hint) is ClassVar or hint is ClassVar:
            continue
        if is_dataclass(hint):
            yield from _leaves(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def _load(path: str) -> Callable[..., Any]:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)
