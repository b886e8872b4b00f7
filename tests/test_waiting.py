"""From batch to points nothing waits for the device once an image: as many times for six photos as for two.

On a GPU torch itself counts (its sync debug mode). On a CPU the calls are counted that would wait on a GPU, on the way that a
GPU takes where a CPU has one of its own.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from garment_keypoints.detector.networks import dense
from garment_keypoints.pipeline.contract import warp
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import ImageBatch, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.predictor import DetectionOptions, load_predictor
from garment_keypoints.pipeline.learning.loading import ImageDataset, collate
from garment_keypoints.pipeline.learning.pairs import Weights
from garment_keypoints.pipeline.orchestrator import TwoStage
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

PHOTO = Path(__file__).parent.parent / "docs" / "photos" / "26acb9ef.jpg"
FUNCTIONS = {"tolist", "numpy", "cpu", "unique", "bincount", "masked_select", "repeat_interleave"}
OPERATORS = {"aten::_local_scalar_dense", "aten::nonzero"}


class Functions(TorchFunctionMode):
    """Counts calls that wait by their name, and boolean masks as indices."""

    def __init__(self, counts: list[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(function, "__name__", "")
        index = args[1] if name in ("__getitem__", "__setitem__") else ()
        index = index if isinstance(index, tuple) else (index,)
        if name in FUNCTIONS or any(isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in index):
            self.counts.append(name)
        return function(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Counts what is below int(), bool(), item() and nonzero()."""

    def __init__(self, counts: list[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function.name().split(".")[0] in OPERATORS:
            self.counts.append(function.name())
        return function(*args, **(kwargs or {}))


@contextmanager
def waits(device: str) -> Iterator[list[str]]:
    """Yield a list that gets an entry for each time that something waits for the device."""
    counts: list[str] = []
    if device == "cpu":
        with Functions(counts), Operators(counts):
            yield counts
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield counts
        finally:
            torch.cuda.set_sync_debug_mode("default")
    counts += [str(one.message) for one in caught if "synchroniz" in str(one.message)]


@pytest.fixture(scope="module")
def stages(schema: Schema) -> TwoStage:
    """The shipped pair as `predict` uses it, with the flip test and all passes."""
    return load_predictor(Weights(runtime="torch").pair("cpu"), schema, DetectionOptions(threshold=0.2)).stages


def batch_of(photos: int, device: str) -> ImageBatch:
    rows = [ImageRow(str(i), "dress", PHOTO) for i in range(photos)]
    dataset = ImageDataset(rows, [0] * photos, options=PictureOptions())
    return collate([dataset[i] for i in range(photos)]).to(device)


CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_nothing_waits_once_an_image(stages: TwoStage, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device == "cpu":
        monkeypatch.setattr(warp, "_unturned", lambda affine: torch.zeros(len(affine), dtype=torch.bool))
        monkeypatch.setattr(dense, "suppressed", dense.suppressed_at_once)
    stages.to(device)
    counted = {}
    for photos in (2, 6):
        batch = batch_of(photos, device)
        stages.predict_step(batch)  # what is made once, such as anchors, is made now
        with waits(device) as counts:
            result = stages.predict_step(batch)
        assert len(result["regions"]["image"]) >= photos
        counted[photos] = counts
    assert len(counted[2]) == len(counted[6]), counted
    assert 0 < len(counted[2]) < 60
