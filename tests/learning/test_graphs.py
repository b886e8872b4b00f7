"""ONNX graphs say what the networks that they were made from say, and anything else is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.detector.export import export_detector
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.keypoints.export import export_keypoints
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.keypoints.networks.build import build_network
from garment_keypoints.pipeline.api import Predictor, load
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.graphs import Graph
from garment_keypoints.pipeline.learning.pairs import DEFAULT, MANIFEST, PACKAGED, Pair, find_pair
from garment_keypoints.pipeline.learning.weights import HEADER, read_checkpoint

from tests.commands.running import run
from tests.configs import detector_config, keypoints_config

PAIR = PACKAGED / DEFAULT
ROOT = Path(__file__).parents[2]


def photos(drawn: Path, count: int) -> list[Path]:
    return sorted((drawn / "test" / "Images").rglob("*.jpg"))[:count]


def agree(torch_one: Predictor, onnx_one: Predictor, files: list[Path]) -> None:
    """Both find the same garments, with boxes and points within a tenth of a pixel."""
    found = 0
    for a, b in zip(torch_one(files), onnx_one(files), strict=True):
        assert a.category == b.category
        np.testing.assert_allclose(a.box, b.box, atol=0.1)
        np.testing.assert_allclose(a.xy, b.xy, atol=0.1)
        np.testing.assert_allclose(a.point_score, b.point_score, atol=1e-3)
        found += len(a.garments)
    assert found


def test_the_packaged_graphs_say_what_the_weights_say(drawn: Path) -> None:
    options = {"threshold": 0.2, "device": "cpu"}
    agree(load(runtime="torch", **options), load(runtime="onnx", **options), photos(drawn, 10))


def test_batches_of_any_length(drawn: Path) -> None:
    graph = Graph(PAIR / "keypoints.onnx")
    size = graph.header["config"]["crop"]["size"]
    crops = torch.rand(3, 3, size, size) * 255
    together = graph(crops)["maps"]
    for i in range(3):
        torch.testing.assert_close(graph(crops[i : i + 1])["maps"][0], together[i], rtol=1e-4, atol=1e-3)


def test_a_graph_knows_its_checkpoint(schema: Schema) -> None:
    for stage in ("detector", "keypoints"):
        graph, weights = (read_checkpoint(PAIR / f"{stage}{suffix}") for suffix in (".onnx", ".safetensors"))
        same = [key for key in HEADER if key != "provenance"]
        assert {key: graph[key] for key in same} == {key: weights[key] for key in same}
        assert graph["provenance"]["graph"]["command"].startswith("python -m pipeline export")


def test_the_runtime_is_chosen(tmp_path: Path) -> None:
    suffixes = {
        runtime: {Pair.of(DEFAULT, None, None, runtime, device).detector.suffix for device in devices}
        for runtime, devices in (("torch", ("cpu", "cuda")), ("onnx", ("cpu", "cuda")), ("auto", ("cpu",)))
    }
    assert suffixes == {"torch": {".safetensors"}, "onnx": {".onnx"}, "auto": {".onnx"}}
    assert Pair.of(DEFAULT, None, None, "int8").keypoints.name == "keypoints.int8.onnx"
    assert Pair.of(DEFAULT, None, None, "auto", "cuda").detector.suffix == ".safetensors"
    shutil.copytree(PAIR, tmp_path / "pair")
    manifest = json.loads((tmp_path / "pair" / MANIFEST).read_text())
    manifest["sha256"] = {name: digest for name, digest in manifest["sha256"].items() if not name.endswith(".onnx")}
    (tmp_path / "pair" / MANIFEST).write_text(json.dumps(manifest))
    assert Pair.of(str(tmp_path / "pair"), None, None, "auto").detector.suffix == ".safetensors"
    for runtime, option in (("onnx", ""), ("int8", " --int8 PHOTOS")):
        with pytest.raises(UserError, match=f"has no such graphs; add them with `export .*pair{option}`, or take"):
            Pair.of(str(tmp_path / "pair"), None, None, runtime)


GRAPH = (PAIR / "keypoints.onnx").read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"no graph at all", GRAPH[:5000], GRAPH.replace(b"config_format", b"config_f\xe5rmat")]
)
def test_a_damaged_graph_is_refused(tmp_path: Path, schema: Schema, capfd, content: bytes) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.onnx: damaged, or no ONNX graph of this project"):
        load_locator(file, schema)
    with pytest.raises(UserError, match="no such graph"):
        load_detector(tmp_path / "gone.onnx", schema)
    assert capfd.readouterr() == ("", "")


def test_a_graph_of_the_other_stage_is_refused(schema: Schema) -> None:
    with pytest.raises(UserError, match="a checkpoint of the detector stage, expected one of the keypoints stage"):
        load_locator(PAIR / "detector.onnx", schema)


def test_what_cannot_be_a_graph_is_refused(tmp_path: Path, schema: Schema) -> None:
    faster = GarmentNetwork(detector_config(type="faster_rcnn", size=64, fpn_channels=16, backbone_weights="none"), 5)
    with pytest.raises(UserError, match="export a detector of type retinanet"):
        export_detector(faster, {}, tmp_path / "x.onnx")
    five, _ = build_network(
        keypoints_config(size=64, per_category=True, head_channels=16, backbone="conv4", backbone_weights="none"),
        schema,
    )
    with pytest.raises(UserError, match="several graphs"):
        export_keypoints(five, 64, {}, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_pair_gets_graphs_that_agree(trained: Path, drawn: Path, tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    # The tiny detector is sure of nothing.
    networks = ("--detector", PAIR / "detector.safetensors", "--keypoints", trained / "keypoints" / "final.safetensors")
    assert run("publish", *networks, "--out", pair, "--terms", "for tests") == 0
    assert run("export", "--weights", pair, "--out", pair) == 0
    assert find_pair(str(pair), "onnx").detector == pair / "detector.onnx"
    assert not any(
        str(ROOT).encode() in file.read_bytes() or b"site-packages" in file.read_bytes() for file in pair.glob("*.onnx")
    )
    options = {"weights": str(pair), "threshold": 0.02, "device": "cpu"}
    agree(load(runtime="torch", **options), load(runtime="auto", **options), photos(drawn, 6))
    before = (pair / "keypoints.onnx").read_bytes()
    (pair / "keypoints.onnx").write_text("mine")
    assert run("export", "--weights", pair, "--out", pair) == 1
    assert (pair / "keypoints.onnx").read_text() == "mine" != before
