"""What is built for installing holds more than code: schemas, and weights with their notice."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "pipeline", "detector", "keypoints", "weights")
COMMAND = [*(sys.executable, "-m", "pip", "wheel", "."), "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]


FIND = "from pipeline.learning.pairs import DEFAULT, find_pair; print(find_pair(DEFAULT).detector)"


@pytest.mark.skipif(not all(map(find_spec, ("pip", "setuptools"))), reason="nothing to build a wheel with")
def test_a_wheel_holds_the_packaged_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    subprocess.run([*COMMAND, "--wheel-dir", str(tmp_path)], cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in ("learning/pretrained/movenet_lightning.safetensors", "learning/pretrained/NOTICE"):
            assert archive.read(f"pipeline/{name}") == (ROOT / "pipeline" / name).read_bytes()
        assert "pipeline/contract/schemas/fashionai.yaml" in archive.namelist()
        assert "weights/cpu/boxes.csv" not in archive.namelist()
    site = tmp_path / "site"
    install = (*(sys.executable, "-m", "pip", "install", wheel), "--no-deps", "--no-index", "--quiet", "--target", site)
    subprocess.run(install, check=True)
    # From another folder, and before the checkout that these tests run from.
    found = subprocess.run(
        (sys.executable, "-c", FIND), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout.strip() == str(site / "weights" / "cpu" / "detector.safetensors")
