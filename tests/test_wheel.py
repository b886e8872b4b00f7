"""What is installed is one package: it works where files of a user's have the names of our folders."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli.verbs import VERBS

from garment_keypoints import __version__

ROOT = Path(__file__).parents[1]
ROOMS = ("pipeline", "detector", "keypoints")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "garment_keypoints", "configs", "weights", *ROOMS)
PIP = [sys.executable, "-m", "pip"]
BUILD = [*PIP, "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
MINE = "raise SystemExit('this is a file of the user')\n"

pytestmark = pytest.mark.skipif(not all(map(find_spec, ("pip", "setuptools"))), reason="nothing to build a wheel with")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    subprocess.run([*BUILD, "--wheel-dir", str(folder)], cwd=source, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """A folder with nothing but what was installed."""
    folder = wheel.parent / "site"
    subprocess.run([*PIP, "install", wheel, "--no-deps", "--no-index", "--quiet", "--target", folder], check=True)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a user's, with a photo, and with files whose names are those of our folders."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "pipeline").mkdir()
    for name in ("pipeline/__init__.py", "detector.py", "keypoints.py"):
        (tmp_path / name).write_text(MINE)
    shutil.copy(sorted((ROOT / "docs" / "photos").glob("*.jpg"))[0], tmp_path / "photo.jpg")
    return tmp_path


def in_folder(own: Path, site: Path, *command: object) -> str:
    """Return what a command says in the user's folder, where the user's own files are importable too."""
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{own}"}
    words = [sys.executable, *map(str, command)]
    ended = subprocess.run(words, cwd=own, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_wheel_holds_one_package_with_its_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in ("movenet_lightning.safetensors", "NOTICE"):
            file = f"pipeline/learning/pretrained/{name}"
            assert archive.read(f"garment_keypoints/{file}") == (ROOT / file).read_bytes()
    assert {name.split("/")[0] for name in names} == {"garment_keypoints", f"garment_keypoints-{__version__}.dist-info"}
    inside = {name.removeprefix("garment_keypoints/") for name in names}
    presets = {file.relative_to(ROOT).as_posix() for file in (ROOT / "configs").rglob("*.yaml")}
    assert (
        presets | {"pipeline/contract/schemas/fashionai.yaml", "pipeline/lab/configs/ablations/keypoints.yaml"}
        <= inside
    )
    assert {"weights/cpu/detector.safetensors", "weights/cpu/README.md", "py.typed"} <= inside
    assert "weights/cpu/boxes.csv" not in inside
    assert not [name for name in inside if re.match(r"docs|tests|pipeline/lab/results", name)]


def test_every_folder_of_the_sources_is_a_package_of_the_wheel() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    folders = {".".join(("garment_keypoints", *file.relative_to(ROOT).parts[:-1])) for file in files}
    assert sorted(listed) == sorted(
        folders | {"garment_keypoints", "garment_keypoints.configs", "garment_keypoints.weights"}
    )


def test_the_command_has_its_name(own: Path, site: Path) -> None:
    command = site / "bin" / "garment-keypoints"
    assert in_folder(own, site, command, "--version") == f"garment-keypoints {__version__}\n"
    text = in_folder(own, site, command, "--help")
    assert text.startswith("usage: garment-keypoints VERB")
    assert all(f"\n  {verb} " in text for verb in VERBS)
    assert in_folder(own, site, "-m", "garment_keypoints", "--help").startswith(
        "usage: python -m garment_keypoints VERB"
    )


def test_a_preset_goes_by_its_name(own: Path, site: Path) -> None:
    code = "from garment_keypoints.pipeline.cli.presets import find_preset; print(find_preset('cpu'))"
    assert in_folder(own, site, "-c", code) == f"{site / 'garment_keypoints' / 'configs' / 'cpu.yaml'}\n"


def test_it_predicts_beside_files_of_the_same_names(own: Path, site: Path) -> None:
    in_folder(own, site, site / "bin" / "garment-keypoints", "predict", "photo.jpg", "--out", "found")
    (line,) = map(json.loads, (own / "found" / "predictions.jsonl").read_text().splitlines())
    assert line["garments"]
    code = "import sys, garment_keypoints as g; print('torch' in sys.modules, g.load.__module__, 'pipeline' in sys.modules)"
    assert in_folder(own, site, "-c", code) == "False garment_keypoints.pipeline.api False\n"
