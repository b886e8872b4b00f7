"""Readers of what is told of trained networks: weights of each format, graphs, calibrations, and what a pair was published as."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.calibration import Calibration, fit
from garment_keypoints.pipeline.learning.graphs import Graph
from garment_keypoints.pipeline.learning.manifests import FILES, MANIFEST, published_digests, published_refine
from garment_keypoints.pipeline.learning.pairs import DEFAULT, PACKAGED
from garment_keypoints.pipeline.learning.weights import HEADER, upgrade
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.mutations import bytes_like, text_like, values_like

OLD = Path(__file__).parents[1] / "data" / "detector_format1.pt"
NetworkReader = tuple[str, st.SearchStrategy[bytes], Callable[[Path], Any]]


def files(folder: Path, schema: Schema, noise: st.SearchStrategy[bytes]) -> dict[str, NetworkReader]:
    """Return the name of a file, damaged ones, and what reads it, by the reader's name; `folder` is for making valid ones."""
    header, state = _old_weights()
    old = torch.load(OLD, weights_only=True)
    flat = {key: old[key] for key in ("format", "stage", "schema", "config", "extra")}
    found: dict[str, NetworkReader] = {}
    found["safetensors"] = (
        "x.safetensors",
        bytes_like([_safetensors(header, state)]) | values_like(header).map(partial(_safetensors, state=state)) | noise,
        partial(_weights, schema=schema),
    )
    found["torch weights"] = (
        "x.pt",
        bytes_like([_by_torch(flat, state)]) | values_like(flat).map(partial(_by_torch, state=state)) | noise,
        partial(_weights, schema=schema),
    )
    for name, start, read in (
        ("calibration.json", _calibration(folder, schema), lambda file: Calibration.load(file, schema, {})),
        ("weights.json", json.loads((PACKAGED / DEFAULT / MANIFEST).read_bytes()), _manifest),
    ):
        changed = values_like(start).map(lambda one: json.dumps(one).encode())
        found[name] = (name, text_like([json.dumps(start).encode()]) | changed | noise, read)
    found["graph"] = ("x.onnx", bytes_like([_graph()]) | noise, lambda file: Graph(file).check(file, 8, {"y": [3]}))
    return found


def _weights(file: Path, schema: Schema) -> None:
    network = load_detector(file, schema, with_ids=False).network
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def _old_weights() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    content = torch.load(OLD, weights_only=True)
    header = upgrade(content)
    return {key: header[key] for key in HEADER}, {key: value.clone() for key, value in content["state_dict"].items()}


def _safetensors(header: dict[str, Any], state: dict[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save(state, {key: json.dumps(value) for key, value in header.items()})


def _by_torch(changed: dict[str, Any], state: dict[str, torch.Tensor]) -> bytes:
    torch.save(changed | {"state_dict": changed.get("state_dict", state)}, file := io.BytesIO())
    return file.getvalue()


def _calibration(folder: Path, schema: Schema) -> dict[str, Any]:
    score, errors = np.random.default_rng(0).uniform(0, 1, (2, 20, len(schema.keypoints)))
    fit(score, errors, (score > 0.5).astype(float)).save(folder / "seed.json", schema, {"settings": {"crop.size": 64}})
    return json.loads((folder / "seed.json").read_bytes())


def _manifest(file: Path) -> None:
    assert set(published_digests(file)) >= {*FILES.values()}
    assert type(published_refine(file)) is int


def _graph() -> bytes:
    """Return a small graph as they are written here: weights as bytes and as numbers, and a header."""
    tensors = [numpy_helper.from_array(np.ones((8, 3), np.float32), "w")]
    tensors.append(helper.make_tensor("b", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]))
    nodes = [helper.make_node("ReduceMean", ["inputs"], ["m"], axes=[1, 2], keepdims=0)]
    nodes += [helper.make_node("MatMul", ["m", "w"], ["n"]), helper.make_node("Add", ["n", "b"], ["y"])]
    shapes = ("inputs", ["batch", 3, 8, 8]), ("y", ["batch", 3])
    taken, given = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    model = helper.make_model(
        helper.make_graph(nodes, "g", [taken], [given], tensors),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    model.metadata_props.add(key="format", value="2")
    return model.SerializeToString()
