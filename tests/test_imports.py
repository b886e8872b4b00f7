"""What predicting must not import: a photo's points should not wait for training code, timm or torchvision."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torchvision",
    "timm",
    "pytorch_lightning",
    "albumentations",
    "pycocotools",
    "scipy",
    "pandas",
    "imagehash",
    "torch._dynamo",
)
OWN = (
    "garment_keypoints.pipeline.train",
    "garment_keypoints.pipeline.learning.fit",
    "garment_keypoints.pipeline.engine.inference",
    "garment_keypoints.pipeline.lab",
    "garment_keypoints.detector.networks.build",
)
LOADING = "from garment_keypoints.pipeline.api import load; load(device='cpu')(sys.argv[1])"
PREDICTING = "from garment_keypoints.pipeline.cli.run import main; "
PREDICTING += "assert main(['predict', *sys.argv[1:], '--accelerator', 'cpu']) == 0"


def imported(code: str, *arguments: object) -> set[str]:
    """Return the names of all modules that a new process has imported after this code."""
    program = f"import json, sys; {code}; print('\\n' + json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def photo(drawn: Path) -> Path:
    return next((drawn / "test" / "Images").rglob("*.jpg"))


def test_loading_and_predicting_in_python(photo: Path) -> None:
    found = imported(LOADING, photo)
    assert "garment_keypoints.pipeline.engine.predictor" in found
    assert not found & {*HEAVY, *OWN}


def test_the_verb_predict(photo: Path, tmp_path: Path) -> None:
    found = imported(PREDICTING, photo, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "garments.csv").exists()
    assert not found & {*HEAVY, *OWN}


def test_help_imports_no_network() -> None:
    found = imported("import pipeline.__main__")
    assert not found & {"torch", "numpy", *HEAVY, *OWN}
