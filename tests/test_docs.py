"""What the pages show exists: their links, the verbs and options of their commands, the targets and variables of make."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from garment_keypoints.pipeline.cli.arguments import word_of
from garment_keypoints.pipeline.cli.verbs import LABORATORY, VERBS

ROOT = Path(__file__).parents[1]
WRITTEN = "<!-- written by "
"""How a page begins that a program writes; its commands are of the day that it was written."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN = [page for page in PAGES if not page.read_text().startswith(WRITTEN)]
PROGRAM = re.compile(r"(?:-m (?:-- )?pipeline|garment-keypoints) (lab )?([a-z][a-z-]*)((?: .*)?)$")
ALONE = re.compile(r"()([a-z][a-z-]*)((?: .*)?)$")
"""A command, and what is left of it in a sentence: its verb and some of its options."""
SWITCHES = {"help", "version", "config", "print_config"}
"""Options of every verb, or of each that takes presets."""


OTHERS = {"node-rank"}
"""Options of torchrun."""
PATHS = [*VERBS.values(), *LABORATORY.values()]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code(page: Path) -> list[str]:
    """Return the commands in fences, indented blocks and code spans, each on one line and without its comment."""
    text = page.read_text().replace("\\\n", " ")
    fences = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line for fence in fences for line in fence.splitlines()]
    lines += re.findall(r"^    (\S.*)", prose, re.M) + [
        " ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)
    ]
    return [" ".join(line.split("  #")[0].split()) for line in lines]


def commands(page: Path) -> Iterator[tuple[dict[str, str], str, set[str]]]:
    """Return table, verb and options of each command that a page shows, with the program's name or from the verb on."""
    for line in code(page):
        found = PROGRAM.search(line)
        alone = None if found else ALONE.match(line)
        if found or (alone and alone[2] in VERBS | LABORATORY):
            laboratory, verb, rest = (found or alone).groups()
            table = LABORATORY if laboratory or (alone and verb not in VERBS) else VERBS
            yield table, verb, set(re.findall(r"(?<= )--([a-z][\w.-]*)", rest.split("|")[0]))


@cache
def options(path: str) -> set[str]:
    """Return the options of a verb by its function, settings by their dotted names."""
    module, function = path.split(":")
    return SWITCHES | set(leaves(getattr(import_module(module), function)))


def leaves(of: Any, prefix: str = "") -> Iterator[str]:
    for field, hint in get_type_hints(of).items():
        if not is_dataclass(hint):
            yield f"{prefix}{word_of(field)}"
        else:
            yield from leaves(hint, f"{prefix}{field}." if prefix or is_dataclass(of) else "")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def missing_links(page: Path) -> list[str]:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    places = [(link, (page.parent / link.partition("#")[0]) if link[0] != "#" else page) for link in links]
    missing = [link for link, file in places if not file.exists()]
    for link, file in places:
        anchor = link.partition("#")[2]
        if anchor and file.exists() and anchor not in map(slug, re.findall(r"^#+ (.*)$", file.read_text(), re.M)):
            missing.append(link)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert missing_links(page) == []


@pytest.mark.parametrize("page", OWN, ids=name)
def test_commands_have_their_verbs_and_options(page: Path) -> None:
    wrong = []
    for table, verb, given in commands(page):
        if verb in table:
            wrong += [f"{verb} --{one}" for one in given if one.replace("-", "_") not in options(table[verb])]
        elif verb != "lab":
            wrong.append(verb)
    assert wrong == []


@pytest.mark.parametrize("page", OWN, ids=name)
def test_options_that_a_sentence_names_are_those_of_some_verb(page: Path) -> None:
    named = {found[1] for line in code(page) if (found := re.match(r"--([a-z][\w.-]*)", line))} - OTHERS
    assert sorted(one for one in named if not any(one.replace("-", "_") in options(path) for path in PATHS)) == []


@pytest.mark.parametrize("page", OWN, ids=name)
def test_make_has_the_targets_and_variables(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    wrong = []
    for line in code(page):
        for target, words in re.findall(r"(?:^|; |OMP_NUM_THREADS=1 )make((?: [A-Z_]+=\S*)*(?: [a-z-]+)?)(.*)", line):
            wrong += [
                one
                for one in target.split()
                if "=" not in one and not re.search(rf"^[a-z -]*\b{one}\b.*:", makefile, re.M)
            ]
            wrong += [one for one in re.findall(r" ([A-Z_]+)=", f"{target}{words}") if f"$({one})" not in makefile]
    assert wrong == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_results_are_shown_or_written_by_a_target() -> None:
    """What lies in docs/results is linked from a page, or is what the tables of docs/results.md and `make scale` are made of."""
    shown = "".join(page.read_text() for page in PAGES)
    kept = {"best.json", "cpu.json", "sample.json", "scale.json", "scale_training.json"}
    files = [file for file in (ROOT / "docs" / "results").rglob("*") if file.is_file() and file.name not in kept]
    assert [name(file) for file in files if f"({name(file).removeprefix('docs/')})" not in shown] == []


@pytest.mark.parametrize(
    ("text", "table", "verb", "given"),
    [
        ("`python -m pipeline predict a --out b --threshold 0.1`", VERBS, "predict", {"out", "threshold"}),
        ("`python -m pipeline lab match --boxes a`", LABORATORY, "match", {"boxes"}),
        ("```\npython -m pipeline submit --test a \\\n  --out b   # --not this\n```", VERBS, "submit", {"test", "out"}),
        ("`submit --refine 1`, `--threshold` and `make submit`", VERBS, "submit", {"refine"}),
        ("`pseudo-label --labels a`", LABORATORY, "pseudo-label", {"labels"}),
        ("`torchrun --run 1 -m -- pipeline train-keypoints --data a`", VERBS, "train-keypoints", {"data"}),
        ("`python -m pipeline prdict`", VERBS, "prdict", set()),
    ],
)
def test_commands_are_seen(tmp_path: Path, text: str, table: dict[str, str], verb: str, given: set[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert list(commands(page)) == [(table, verb, given)]
