"""Graphs in eight bits say nearly what those in float32 say, and are refused where they would say something else."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from garment_keypoints.pipeline import api
from garment_keypoints.pipeline.api import load
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.eight_bit import FLOAT_CONVOLUTIONS, quantise
from garment_keypoints.pipeline.learning.graphs import (
    Graph,
    inputs_seen,
    is_graph,
    refuse_without_instructions,
    write_graph,
)
from garment_keypoints.pipeline.learning.pairs import DEFAULT, MANIFEST, PACKAGED
from onnx import TensorProto
from torch import nn

from tests.commands.running import run

CPU = torch.cpu.get_capabilities()
eight_bits = pytest.mark.skipif(
    "x86" in CPU["architecture"] and not (CPU["avx512_vnni"] or CPU["avx_vnni"]), reason="this CPU has no VNNI"
)
PAIR = PACKAGED / DEFAULT
HEADER = {"format": 2, "stage": "keypoints", "schema": {}}
ROOT = Path(__file__).parents[2]


class Small(nn.Module):
    """Four convolutions behind each other, without anything between them that would hide what they round."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_graph(Small(), 16, ["maps"], HEADER, tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def inputs(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, 3, 16, 16)).astype(np.float32)


@eight_bits
def test_weights_become_integers_but_for_the_first_and_the_last(small: Path, tmp_path: Path) -> None:
    quantise(small, inputs(8), tmp_path / "small.int8.onnx", {"photos": 8})
    model = onnx.load(tmp_path / "small.int8.onnx")
    integers = [one for one in model.graph.initializer if one.data_type == TensorProto.INT8 and len(one.dims) == 4]
    assert len(integers) == 4 - FLOAT_CONVOLUTIONS - 1
    whole, rounded = Graph(small), Graph(tmp_path / "small.int8.onnx")
    assert rounded.header == HEADER | {"eight_bit": {"photos": 8}}
    expected, found = (graph(torch.tensor(inputs(8)))["maps"] for graph in (whole, rounded))
    difference = (expected - found).abs()
    assert 0 < difference.max() < 0.05 * expected.abs().max()


@eight_bits
def test_values_beyond_those_that_were_shown_are_clipped(small: Path, tmp_path: Path) -> None:
    """The scales come from the inputs given, so those must be like what is to be predicted."""
    quantise(small, inputs(8) / 100, tmp_path / "dark.onnx", {})
    expected, found = (Graph(file)(torch.tensor(inputs(2)))["maps"] for file in (small, tmp_path / "dark.onnx"))
    assert found.abs().max() < 0.1 * expected.abs().max()


def test_inputs_are_seen_while_that_is_wanted(small: Path) -> None:
    graph, first = Graph(small), torch.tensor(inputs(3))
    with inputs_seen([graph]) as seen:
        graph(first)
        graph(first[:1] + 1)
    graph(first)
    np.testing.assert_array_equal(np.concatenate(seen[0]), torch.cat([first, first[:1] + 1]))


@pytest.mark.parametrize(
    ("architecture", "avx512_vnni", "avx_vnni", "fits"),
    [
        ("x86_64", True, False, True),
        ("x86_64", False, True, True),
        ("x86_64", False, False, False),
        ("aarch64", False, False, True),
    ],
)
def test_a_cpu_without_the_instructions_refuses(
    architecture: str, avx512_vnni: bool, avx_vnni: bool, fits: bool
) -> None:
    capabilities = {"architecture": architecture, "avx512_vnni": avx512_vnni, "avx_vnni": avx_vnni}
    if fits:
        refuse_without_instructions(Path("x.onnx"), capabilities)
        return
    with pytest.raises(UserError, match=r"no instructions \(VNNI\).*take --runtime onnx"):
        refuse_without_instructions(Path("x.onnx"), capabilities)


@eight_bits
def test_a_cpu_without_the_instructions_still_tells_a_graph_from_other_files(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `export` writes it again instead of taking it for somebody else's."""
    integer = tmp_path / "small.int8.onnx"
    quantise(small, inputs(2), integer, {})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**CPU, "avx512_vnni": False, "avx_vnni": False})
    if "x86" in CPU["architecture"]:
        with pytest.raises(UserError, match="no instructions"):
            Graph(integer)
    assert is_graph(integer)


@eight_bits
def test_the_packaged_ones_find_the_same_garments(drawn: Path) -> None:
    photos = sorted((drawn / "test" / "Images").rglob("*.jpg"))[:10]
    options = {"threshold": 0.3, "device": "cpu"}
    distances = []
    for a, b in zip(load(runtime="onnx", **options)(photos), load(runtime="int8", **options)(photos), strict=True):
        for garment in a.garments:
            same = [one for one in b.garments if one.category == garment.category]
            if same:
                apart = (
                    np.linalg.norm(same[0].xy - garment.xy, axis=1) / np.ptp(garment.box.reshape(2, 2), axis=0).max()
                )
                distances += apart[np.isfinite(apart)].tolist()
    assert len(distances) > 50
    assert 0 < np.median(distances) < 0.01


def test_what_cannot_be_scaled_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    assert run("export", "--out", tmp_path / "out", "--int8", tmp_path / "empty") == 1
    assert not (tmp_path / "out").exists()
    assert "empty" in capsys.readouterr().err


@eight_bits
@pytest.mark.slow
def test_photos_without_garments_leave_a_pair_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PAIR, tmp_path / "pair")
    before = {file.name: file.read_bytes() for file in (tmp_path / "pair").iterdir()}
    pair = ("--weights", tmp_path / "pair", "--out", tmp_path / "pair")
    with monkeypatch.context() as patched:
        patched.setattr(api, "load", partial(api.load, threshold=0.99))
        assert run("export", *pair, "--int8", ROOT / "docs" / "photos") == 1
    assert "no garment was found in" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (tmp_path / "pair").iterdir()} == before
    assert run("export", *pair, "--int8", ROOT / "docs" / "photos") == 0
    listed = json.loads((tmp_path / "pair" / MANIFEST).read_text())["sha256"]
    assert "keypoints.int8.onnx" in listed
    assert load(weights=str(tmp_path / "pair"), runtime="int8")([ROOT / "docs" / "photos"])
