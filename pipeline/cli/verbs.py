"""The verbs, in the groups that the help shows them in, and where verbs of the release before have gone."""

import ast
import shutil
import textwrap
from importlib.util import find_spec
from pathlib import Path

from garment_keypoints.pipeline.cli.usage import UsageError, guess, program

GROUPS = {
    "use": ("predict", "serve", "catalogue", "export"),
    "train": ("sample", "convert", "check", "look", "describe", "train-detector", "boxes", "train-keypoints"),
    "evaluate": (*("submit", "evaluate", "evaluate-val", "evaluate-photos", "errors", "benchmark", "calibrate"),),
    "publish": ("publish", "card"),
}
"""A verb is a function of that name, alone in a file of that name in pipeline/commands."""
EXPERIMENTS = (
    *("ablate", "match", "match-matrix", "baselines", "report", "pseudo-label", "pseudo-points", "backgrounds"),
    *("gpu-pack", "gpu-run", "gpu-measure", "gpu-feed", "gpu-collect"),
)
"""Verbs of the laboratory, likewise in pipeline/lab/commands."""
GONE = {
    "claims": "its results are in docs/collapse.md",
    "match-remedies": "its results are in docs/match.md",
    "plan-catalogue": "its table and formula are in docs/scale.md",
}
LAB = "lab"


def _paths(package: str, verbs: tuple[str, ...]) -> dict[str, str]:
    names = {verb: verb.replace("-", "_") for verb in verbs}
    return {verb: f"{package}.{name}:{name}" for verb, name in names.items()}


LABORATORY = _paths("garment_keypoints.pipeline.lab.commands", EXPERIMENTS)
"""The function of each verb of `lab VERB`. Its parameters are the options, its docstring is the help."""
VERBS = {
    verb: path
    for group in GROUPS.values()
    for verb, path in _paths("garment_keypoints.pipeline.commands", group).items()
}
"""Those of the others; users compare settings of their own, so ablate is one of them too."""
VERBS["ablate"] = LABORATORY["ablate"]


def find_verb(verb: str, laboratory: bool = False) -> str:
    """Return the function of a verb; raises UsageError that names where it has gone, or the nearest one."""
    verbs = LABORATORY if laboratory else VERBS
    if verb in verbs:
        return verbs[verb]
    if verb in GONE:
        raise UsageError(f"the verb {verb} is gone; {GONE[verb]}")
    if verb in LABORATORY:
        raise UsageError(f"the verb {verb} is the laboratory's now: {program()} {LAB} {verb}")
    if verb in VERBS:
        raise UsageError(f"the verb {verb} is none of the laboratory's: {program()} {verb}")
    name = f"{program()} {LAB}" if laboratory else program()
    raise UsageError(f"no verb {verb!r}{guess(verb, verbs) or f'; `{name} --help` lists them'}")


def overview() -> str:
    """Return the help of the program: the verbs by group, each with a line."""
    name = program()
    lines = [f"usage: {name} VERB [options]", "", "Key points of garments in photos, in two stages."]
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:", *(line for verb in verbs for line in _entry(verb, VERBS[verb]))]
    lines += ["", "laboratory:", *_entry("ablate", VERBS["ablate"])]
    lines += _line(LAB, f"further experiments; `{name} {LAB} --help` lists them")
    return "\n".join(
        [*lines, "", f"`{name} VERB --help` explains the options of a verb, --version says which this is."]
    )


def laboratory_overview() -> str:
    """Return the help of `lab`."""
    name = f"{program()} {LAB}"
    lines = [f"usage: {name} VERB [options]", "", "The laboratory: experiments on how the networks are trained.", ""]
    lines += [line for verb, path in LABORATORY.items() for line in _entry(verb, path)]
    return "\n".join([*lines, "", f"`{name} VERB --help` explains the options of a verb."])


def summary(path: str) -> str:
    """Return the first line of a function's docstring, without importing its module, which takes seconds."""
    module, name = path.split(":")
    source = ast.parse(Path(find_spec(module).origin).read_text(encoding="utf-8"))
    function = next(node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(function) or "").splitlines()[0]


def _entry(verb: str, path: str) -> list[str]:
    first = summary(path)
    return _line(verb, first[0].lower() + first[1:].removesuffix("."))


def _line(verb: str, text: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, 120) - 2
    return textwrap.wrap(f"  {verb:16} {text}", width, subsequent_indent=" " * 19, break_long_words=False)
