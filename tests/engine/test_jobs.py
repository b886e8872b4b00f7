"""What an interrupted inference goes on with: predictions of exactly the same job, and of no other."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.keypoints.networks.build import build_network
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes, SourceParts, build_source
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference, InferenceResult
from garment_keypoints.pipeline.engine.refinement import refined
from garment_keypoints.pipeline.engine.shards import ShardWriter
from garment_keypoints.pipeline.lab.consensus import Agreed
from garment_keypoints.pipeline.learning.pairs import find_pair
from garment_keypoints.pipeline.learning.weights import save_checkpoint
from PIL import Image

from tests.configs import detector_config, keypoints_config
from tests.oracle import Case, make_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")

CASES = [Case((130 + 10 * i, 140), "skirt") for i in range(3)]
BOXES = ((5.0, 5.0, 80.0, 120.0),) * len(CASES)


@dataclass(frozen=True)
class Setup:
    """Everything that decides the result; networks by their number among two of each stage."""

    source: str = "given"
    boxes: tuple[tuple[float, ...], ...] = BOXES
    detector: int = 0
    fallback_score: float = 0.3
    threshold: float = 0.4
    keypoints: int = 0
    padding: float = 0.15
    flip_test: bool = False
    refine: int = 1
    margin: float = 0.05
    agreed: tuple[float, ...] = ()
    tolerance: float = 0.1
    detail: int = 1024
    precision: str = "32-true"


GIVEN, FOUND, EVERY = Setup(), Setup(source="detector"), Setup(source="detections")
AGREED = Setup(refine=0, agreed=(0.1,))


@dataclass(frozen=True)
class World:
    """Rows, networks, and the folder of what an interrupt leaves; `predicted` notes the rows of each batch."""

    rows: list[Annotation]
    networks: dict[str, list[Path]]
    schema: Schema
    shards: Path
    predicted: list[int] = field(default_factory=list)

    def run(self, setup: Setup) -> InferenceResult:
        self.predicted.clear()
        locator = load_locator(self.networks["keypoints"][setup.keypoints], self.schema, setup.flip_test)
        locator.padding = setup.padding
        detector = load_detector(self.networks["detector"][setup.detector], self.schema)
        source: Any = GivenBoxes(torch.tensor(setup.boxes))
        if setup.source != "given":
            source = build_source(setup.source, SourceParts(detector, setup.fallback_score, setup.threshold))
        source = refined(setup.refine, source, locator, self.schema, setup.margin)
        flip_index = torch.tensor(self.schema.flip_index)
        points = Agreed([locator], setup.agreed, flip_index, setup.tolerance) if setup.agreed else locator
        pictures = PictureOptions(detail=setup.detail)
        device = Device(workers=0, accelerator="cpu", devices="1", batch_size=1, precision=setup.precision)
        inference = Inference(source, points, self.schema, device, pictures)
        return inference.run(RowSet.by_headers(self.rows, pictures), self.shards)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, schema: Schema) -> dict[str, list[Path]]:
    """Two untrained networks of each stage, as files."""
    folder, files = tmp_path_factory.mktemp("networks"), {"detector": [], "keypoints": []}
    first, second = (make(backbone_weights="none", size=64) for make in (detector_config, keypoints_config))
    for seed in (0, 1):
        torch.manual_seed(seed)
        built = {
            "detector": GarmentNetwork(first, len(schema.categories)),
            "keypoints": build_network(second, schema)[0],
        }
        for (stage, network), config in zip(built.items(), (first, second), strict=True):
            file = folder / f"{stage}{seed}.safetensors"
            save_checkpoint(file, stage, schema, asdict(config), network.state_dict(), train_ids=[])
            files[stage].append(file)
    return files


@pytest.fixture
def world(networks: dict[str, list[Path]], schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(make_rows(tmp_path, schema, CASES), networks, schema, tmp_path / "parts")
    plain = ShardWriter.write_on_batch_end

    def noting(self: ShardWriter, trainer: Any, module: Any, prediction: dict[str, Any], *more: Any) -> None:
        plain(self, trainer, module, prediction, *more)
        world.predicted.extend(prediction["index"].tolist())

    monkeypatch.setattr(ShardWriter, "write_on_batch_end", noting)
    return world


def interrupt(world: World, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the first row is written down."""
    noting = ShardWriter.write_on_batch_end

    def cut(self: ShardWriter, *arguments: Any) -> None:
        noting(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "write_on_batch_end", cut)
        with pytest.raises(KeyboardInterrupt):
            world.run(setup)
    assert world.predicted == [0]


@pytest.mark.parametrize("setup", [GIVEN, FOUND, EVERY, AGREED], ids=["given", "found", "every", "agreed"])
def test_the_same_job_goes_on(world: World, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(world, setup, monkeypatch)
    assert world.run(setup).resumed
    assert world.predicted == [1, 2]


@pytest.mark.parametrize(
    ("setup", "change"),
    [
        (GIVEN, {"boxes": (*BOXES[1:], (5.0, 5.0, 80.0, 121.0))}),
        (GIVEN, {"keypoints": 1}),
        (GIVEN, {"padding": 0.1}),
        (GIVEN, {"flip_test": True}),
        (GIVEN, {"refine": 0}),
        (GIVEN, {"refine": 2}),
        (GIVEN, {"margin": 0.1}),
        (GIVEN, {"detail": 64}),
        (GIVEN, {"precision": "bf16-mixed"}),
        (GIVEN, {"source": "image"}),
        (FOUND, {"detector": 1}),
        (FOUND, {"fallback_score": 0.2}),
        (FOUND, {"source": "detections"}),
        (EVERY, {"threshold": 0.5}),
        (AGREED, {"agreed": (0.1, 0.2)}),
        (AGREED, {"tolerance": 0.2}),
        (AGREED, {"keypoints": 1}),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, dict) else value.source,
)
def test_another_job_begins_anew(
    world: World, setup: Setup, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(world, setup, monkeypatch)
    assert not world.run(replace(setup, **change)).resumed
    assert world.predicted == [0, 1, 2]


def other_picture(row: Annotation) -> Annotation:
    """Exchange a picture for another one of the same name and size."""
    Image.fromarray(np.zeros((140, 130, 3), dtype=np.uint8)).save(row.path)
    return row


CHANGES: dict[str, Callable[[Annotation], Annotation]] = {
    "picture": other_picture,
    "category": lambda row: replace(row, category="dress"),
    "instance": lambda row: replace(row, instance=1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_row_begins_anew(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(world, GIVEN, monkeypatch)
    world.rows[0] = CHANGES[name](world.rows[0])
    assert not world.run(GIVEN).resumed
    assert world.predicted == [0, 1, 2]


def test_another_schema_is_another_job(world: World) -> None:
    rows, source = RowSet.by_headers(world.rows), GivenBoxes(torch.tensor(BOXES))
    other = replace(world.schema, name="other")
    jobs = [Inference(source, None, schema).job(rows) for schema in (world.schema, other)]
    assert jobs[0]["schema"] != jobs[1]["schema"]


def test_another_runtime_is_another_job(schema: Schema) -> None:
    pairs = {runtime: find_pair("cpu", runtime) for runtime in ("torch", "onnx")}
    jobs = {
        runtime: (load_detector(pair.detector, schema).job(), load_locator(pair.keypoints, schema).job())
        for runtime, pair in pairs.items()
    }
    assert {name: [one["runtime"] for one in both] for name, both in jobs.items()} == {
        "torch": ["torch", "torch"],
        "onnx": ["onnx", "onnx"],
    }
    for torchs, graphs in zip(*jobs.values(), strict=True):
        assert torchs != graphs


def test_another_device_or_size_of_batches_is_the_same_job(world: World) -> None:
    """Neither decides the result."""
    rows, source = RowSet.by_headers(world.rows), GivenBoxes(torch.tensor(BOXES))
    devices = [Device(accelerator="cpu"), Device(accelerator="cpu", devices="2", batch_size=3, workers=1)]
    first, second = (Inference(source, None, world.schema, device).job(rows) for device in devices)
    assert first == second
