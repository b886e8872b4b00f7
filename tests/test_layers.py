"""Imports go one way, the product never imports its laboratory, and a class name stands for one thing.

contract <- learning, data, runs <- detector, keypoints <- settings, load, train, engine <- commands, api <- __main__; `lab` may
import all of them but __main__. The stages never import each other. `orchestrator`, `reporting` and `sample` know no stage.
"""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(f for package in ("pipeline", "detector", "keypoints") for f in (ROOT / package).rglob("*.py"))
BELOW = {
    "pipeline.contract": (),
    "pipeline.learning": ("contract", "runs", "data"),
    "pipeline.runs": ("contract", "learning", "data"),
    "pipeline.data": ("contract", "learning", "runs"),
    "pipeline.sample": ("contract",),
    "pipeline.orchestrator": ("contract",),
    "pipeline.reporting": ("contract", "learning", "runs", "data"),
    "detector": ("contract", "learning"),
    "keypoints": ("contract", "learning"),
}
"""What of `pipeline` each of these may import beside itself; those that are not named here lie above all of them."""
STAGES = ("detector", "keypoints")
PACKAGE = "garment_keypoints"
"""What is installed; the folders of the checkout are packages in it, and their names here are without it."""
TOP = {
    "pipeline.commands": (),
    "pipeline.cli": (),
    "pipeline.api": ("pipeline.commands", "pipeline.cli"),
    "pipeline.serving": ("pipeline.commands", "pipeline.cli"),
}
"""What those at the top must not import, beside the laboratory and __main__."""
UPPER = ("pipeline.lab", "pipeline.__main__")


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    assert not [one for one in found if within(one, "pipeline", *STAGES)], f"{file}: imported from outside {PACKAGE}"
    return [one.removeprefix(f"{PACKAGE}.") for one in found]


def within(module: str, *packages: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def room(module: str, rooms: dict[str, tuple[str, ...]]) -> str | None:
    return next((one for one in rooms if within(module, one)), None)


def allowed(importer: str, imported: str) -> bool:
    """Tell whether one module of this project may import another one."""
    own = room(importer, BELOW)
    if own == "pipeline.contract" and within(imported, "pytorch_lightning", "lightning"):
        return False
    if not within(imported, "pipeline", *STAGES) or imported == "pipeline" or within(importer, "pipeline.__main__"):
        return True
    if within(importer, "pipeline.lab"):
        return not within(imported, "pipeline.__main__")
    if own is not None:
        return within(imported, own, *(f"pipeline.{one}" for one in BELOW[own]))
    top = room(importer, TOP)
    above = [*TOP] if top is None else TOP[top]
    return not within(imported, *above, *UPPER)


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_go_one_way(file: Path) -> None:
    wrong = [one for one in imports(file) if not allowed(module(file), one)]
    assert not wrong


@pytest.mark.parametrize("file", [f for f in FILES if f.name == "__init__.py"], ids=name)
def test_packages_import_nothing(file: Path) -> None:
    assert imports(file) == []
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_file_stays_readable(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 270


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("detector.data", "keypoints.codecs.heatmap"),
        ("pipeline.contract.warp", "pytorch_lightning"),
        ("pipeline.contract.warp", "pipeline.learning.ranks"),
        ("pipeline.orchestrator", "detector.inference"),
        ("pipeline.engine.shards", "pipeline.commands.submit"),
        ("pipeline.commands.submit", "pipeline.lab.noise"),
        ("pipeline.lab.noise", "pipeline.__main__"),
        ("pipeline.api", "pipeline.commands.predict"),
    ],
)
def test_the_rule_is_seen_when_it_is_broken(importer: str, imported: str) -> None:
    assert not allowed(importer, imported)


def test_a_class_name_exists_once() -> None:
    """Aliases count as classes: a reader cannot tell `Run`, the class, from `Run`, the type of a function."""
    names = Counter(name for file in FILES for name in classes(file))
    assert not {name for name, count in names.items() if count > 1}


def classes(file: Path) -> list[str]:
    """Return the classes of a file, and what it names as a class would be named, such as `Key = tuple[str, int]`."""
    tree = ast.parse(file.read_text())
    found = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    values = [node for node in tree.body if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call)]
    targets = [target.id for node in values for target in node.targets if isinstance(target, ast.Name)]
    return found + [name for name in targets if re.fullmatch(r"[A-Z][a-z]\w*", name)]
