"""The layer rule: contract <- learning <- detector, keypoints <- assemble <- crop_boxes <- views <- commands <- __main__.

The rest of `pipeline` (data, inference, studies, reporting, sample) never imports a stage, nor what imports one.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(f for package in ("pipeline", "detector", "keypoints") for f in (ROOT / package).rglob("*.py"))
ABOVE = (  # each may import those before it
    "pipeline.assemble",
    "pipeline.crop_boxes",
    "pipeline.views",
    "pipeline.commands",
    "pipeline.api",
    "pipeline.__main__",
)


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def forbidden(file: Path) -> tuple[str, ...]:
    """Prefixes that a file must not import."""
    path = name(file)
    if path.startswith("pipeline/contract/"):
        return ("detector", "keypoints", "pytorch_lightning", "lightning", *others("pipeline.contract"))
    if path.startswith("pipeline/learning/"):
        return ("detector", "keypoints", *others("pipeline.contract", "pipeline.learning"))
    if path.startswith(("detector/", "keypoints/")):
        other = "keypoints" if path.startswith("detector/") else "detector"
        return (other, *others("pipeline.contract", "pipeline.learning"))
    if path in ("pipeline/assemble.py", "pipeline/crop_boxes.py", "pipeline/views.py"):
        return ABOVE[ABOVE.index(path.removesuffix(".py").replace("/", ".")) + 1 :]
    if path.startswith(("pipeline/commands/", "pipeline/api.py")):
        return ("detector", "keypoints", "pipeline.__main__")
    if path == "pipeline/__main__.py":
        return ("detector", "keypoints")
    return ("detector", "keypoints", *ABOVE)


def others(*kept: str) -> list[str]:
    modules = {".".join(f.relative_to(ROOT).with_suffix("").parts) for f in (ROOT / "pipeline").rglob("*.py")}
    return sorted(m.removesuffix(".__init__") for m in modules if not m.startswith(kept) and m != "pipeline.__init__")


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_go_one_way(file: Path) -> None:
    wrong = [i for i in imports(file) for f in forbidden(file) if i == f or i.startswith(f + ".")]
    assert not wrong


@pytest.mark.parametrize("file", [f for f in FILES if f.name == "__init__.py"], ids=name)
def test_packages_import_nothing(file: Path) -> None:
    assert imports(file) == []
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_file_stays_readable(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 270


def test_the_rule_is_seen_when_it_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    bad = tmp_path / "detector" / "bad.py"
    bad.parent.mkdir()
    bad.write_text("from keypoints.codecs.heatmap import HeatmapCodec\n")
    with pytest.raises(AssertionError):
        test_imports_go_one_way(bad)
