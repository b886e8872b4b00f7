"""Fixtures shared by all tests: the schema, a small drawn dataset, and the real data where FASHIONAI_ROOT names it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from garment_keypoints.pipeline.contract.outputs import ADDED, GROUPS
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.sample.write import draw_dataset

from tests.commands.running import TINY, run


@pytest.fixture(scope="session")
def schema() -> Schema:
    return load_schema("fashionai")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train/ (20 images) and test/ (10 images) of the sample, 128 pixels."""
    folder = tmp_path_factory.mktemp("drawn") / "sample"
    draw_dataset(folder, train=20, test=10, seed=1, size=128)
    return folder


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after train-detector, boxes and train-keypoints."""
    folder = tmp_path_factory.mktemp("run")
    for verb in ("train-detector", "boxes", "train-keypoints"):
        assert run(verb, *TINY, "--data", drawn / "train", "--run", folder) == 0
    return folder


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The present folder, for modules of a user's own; what they are and add is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    modules, added, groups = set(sys.modules), dict(ADDED), dict(GROUPS)
    yield tmp_path
    for registry, before in ((ADDED, added), (GROUPS, groups)):
        registry.clear()
        registry.update(before)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def fashionai_root() -> Path:
    if "FASHIONAI_ROOT" not in os.environ:
        pytest.skip("FASHIONAI_ROOT is not set: no real FashionAI data")
    return Path(os.environ["FASHIONAI_ROOT"])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
