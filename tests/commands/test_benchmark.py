"""`benchmark` measures what it says, and its table compares like with like."""

import json
from pathlib import Path

import pytest
import torch
from garment_keypoints.pipeline.commands.benchmark import STAGES, Setting, Speed, measure, table
from garment_keypoints.pipeline.contract import images, warp
from garment_keypoints.pipeline.engine import predictor as engine

from tests.commands.running import run
from tests.learning.test_eight_bit import eight_bits

ROOT = Path(__file__).parents[2]
PHOTOS = sorted(map(str, (ROOT / "docs" / "photos").glob("*.jpg")))


@pytest.mark.parametrize("runtime", ["torch", "onnx", pytest.param("int8", marks=eight_bits)])
def test_every_stage_is_measured_and_left_as_it_was(runtime: str) -> None:
    threads, before = torch.get_num_threads(), (engine.read_image, warp.crop)
    speed = measure(Setting(runtime, 2, 1, False), "cpu", PHOTOS, seconds=0.3)
    torch.set_num_threads(threads)
    assert (engine.read_image, warp.crop) == before == (images.read_image, warp.crop)
    assert speed.photos >= 2
    assert speed.photos % 2 == 0
    assert speed.garments >= 1
    assert set(speed.stages_ms) == {*STAGES, "rest"}
    assert all(milliseconds > 0 for milliseconds in speed.stages_ms.values())
    whole = sum(milliseconds for name, milliseconds in speed.stages_ms.items() if name != "decode")
    assert whole == pytest.approx(1000 / speed.photos_per_second)


def test_the_factor_is_to_torch_with_the_same_settings() -> None:
    stages = dict.fromkeys((*STAGES, "rest"), 1.0)
    speeds = [
        Speed(Setting(runtime, batch, 1, True), 10, 9, rate, stages, 0.5)
        for runtime, batch, rate in (("torch", 1, 10.0), ("torch", 8, 20.0), ("onnx", 1, 25.0), ("onnx", 8, 60.0))
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(speeds).splitlines()[2:6]]
    assert [(row[0], row[1], row[4], row[5]) for row in rows] == [
        ("torch", "1", "10.0", "x1.00"),
        ("torch", "8", "20.0", "x1.00"),
        ("onnx", "1", "25.0", "x2.50"),
        ("onnx", "8", "60.0", "x3.00"),
    ]
    assert "| - |" in table(speeds[2:])
    # Two networks of a millisecond each, of the hundred that a photo takes.
    assert rows[0][-2] == "0.02"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--runtimes", "tensorrt"), "--runtimes is 'tensorrt'; expected some of torch, onnx, int8"),
        (("--seconds", 0), "--seconds is 0.0"),
        (("--photos", "gone.jpg"), "gone.jpg: no such photo"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: tuple, message: str, capsys: pytest.CaptureFixture) -> None:
    assert run("benchmark", *options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ("--photos", *PHOTOS, "--batches", 2, "--threads", 1, "--flip_tests", "true", "--seconds", 0.5)
    assert run("benchmark", *options, "--rounds", 1, "--out", tmp_path / "b.json") == 0
    made = json.loads((tmp_path / "b.json").read_text())
    assert [one["setting"]["runtime"] for one in made["speeds"]] == ["torch", "onnx"]
    assert 0 < made["start_s"]["--help"] < made["start_s"]["load()"] < made["start_s"]["predict, one photo"]
    assert "| onnx | 2 | 1 | yes |" in capsys.readouterr().out
