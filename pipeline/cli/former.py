"""Names of the release before this one: they are taken for one release, with a line that says the present name."""

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, fields, is_dataclass

log = logging.getLogger("garment_keypoints")


@dataclass(frozen=True)
class Present:
    """What an option is called now (nothing: it is gone), and its value in today's terms."""

    name: str
    value: Callable[[str], str] = str


def one_less(number: str) -> str:
    """Return a number of passes as that of refinements; what is no number stays, for the parser to refuse."""
    return str(int(number) - 1) if number.isdecimal() else number


PASSES = {"passes": Present("refine", one_less)}
STUDY = {"study": Present("ablation")}
FORMER: dict[str, dict[str, Present]] = {
    **dict.fromkeys(("predict", "serve", "catalogue", "submit", "evaluate-val", "calibrate", "publish"), PASSES),
    **dict.fromkeys(("ablate", "match-matrix"), STUDY),
    "train-keypoints": {"taught": Present("pseudo_points")},
}
"""Former names of options, by verb; those of settings stand with the settings, as FORMER of their class."""


def present_option(verb: str, name: str, known: Container[str], groups: Sequence[type]) -> Present:
    """Return what the option or dotted setting `name` of a verb is now; a name that says nothing stays as it is.

    `known` are the names of today, `groups` the classes of settings that the verb takes.
    """
    if name in known:
        return Present(name)
    former = FORMER.get(verb, {}).get(name)
    return former or Present(_present_setting(name, groups))


def note(where: str, former: str, present: str) -> None:
    """Say in one line what a former name is now; nothing: it is gone."""
    if present:
        log.warning("%s%s is now %s; the former name works for this release only", where, former, present)
    else:
        log.warning("%s%s: this setting is gone, it is left out", where, former)


def _present_setting(name: str, groups: Sequence[type]) -> str:
    """Return a dotted setting under its present name; nothing where it is gone."""
    first, _, rest = name.partition(".")
    for group in groups:
        first = getattr(group, "FORMER", {}).get(first, first)
        kind = next((field.type for field in fields(group) if field.name == first), None)
        if rest and is_dataclass(kind):
            inner = _present_setting(rest, [kind])
            return f"{first}.{inner}" if inner else ""
    return f"{first}.{rest}" if rest and first else first
