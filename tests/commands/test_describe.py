"""`describe` on the presets: what it prints, and the file that it writes."""

import re
from pathlib import Path

import pytest

from tests.commands.running import TINY, run

SAMPLE = Path(__file__).parents[2] / "configs" / "sample.yaml"


def test_the_sample_preset_is_described_as_printed_and_as_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "networks.md"
    assert run("describe", "--config", SAMPLE, "--out", out) == 0
    printed = capsys.readouterr().out
    first, blank, rest = out.read_text().split("\n", 2)
    assert (first, blank, rest) == ("<!-- written by `python -m pipeline describe`; do not edit -->", "", printed)
    assert "retinanet with 96 channels, backbone tf_efficientnet_lite0, initialised from package" in printed
    assert "head fpn with 32 channels, codec softmax, loss cross_entropy, backbone tf_efficientnet_lite0" in printed
    assert re.search(r"\| head +\| FPNHead +\| 1x24x32x32 ", printed)
    assert re.findall(r"stride of the head's output: (\d+) px", printed) == ["16", "4"]
    assert printed.count("receptive field at the head: whole crop") == 2
    assert run("describe", "--config", SAMPLE, "--out", out, "--stage", "detector") == 0
    assert out.read_text().count("# ") == 1


def test_initial_weights_are_not_needed_and_layers_that_are_not_trained_are_told(capsys: pytest.CaptureFixture) -> None:
    options = ["--keypoints.network.backbone_weights", "/nowhere", "--keypoints.network.frozen_stride", 2]
    assert run("describe", *TINY, "--stage", "keypoints", *options) == 0
    printed = capsys.readouterr().out
    assert "initialised from /nowhere, trained behind stride 2" in printed
    assert "Detector" not in printed
    everything, trained = re.search(r"parameters: ([\d,]+), of which trained: ([\d,]+)", printed).groups()
    # Lite0's stem (3 x 3 x 3 x 32, BatchNorm) and first block (3 x 3 x 32, BatchNorm, 32 x 16, BatchNorm) are frozen.
    frozen = (864 + 64) + (288 + 64) + (512 + 32)
    assert int(everything.replace(",", "")) - int(trained.replace(",", "")) == frozen


def test_a_file_of_somebody_else_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "README.md"
    out.write_text("mine")
    assert run("describe", *TINY, "--out", out) == 1
    assert "is not a description that this command wrote; choose another --out" in capsys.readouterr().err
    assert out.read_text() == "mine"
