"""A graph whose weights are not finite or lie elsewhere, or that takes or gives something else, is refused when it is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.graph_tensors import check_tensors
from garment_keypoints.pipeline.learning.pairs import DEFAULT, PACKAGED
from onnx import TensorProto, helper, numpy_helper

LOADERS = {"detector": load_detector, "keypoints": load_locator}


def spoilt(tmp_path: Path, stage: str, spoil: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(PACKAGED / DEFAULT / f"{stage}.onnx")
    spoil(model)
    file = tmp_path / f"{stage}.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def _with_nan(model: onnx.ModelProto) -> None:
    weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(weight).copy()
    values.flat[7] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def _with_nan_as_numbers(model: onnx.ModelProto) -> None:
    node = helper.make_node(
        "Constant", [], ["unused"], value=helper.make_tensor("bad", TensorProto.FLOAT, [2], [1, np.nan])
    )
    model.graph.node.insert(0, node)


def _elsewhere(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")


def _renamed(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new if name == old else name
    for one in (*model.graph.input, *model.graph.output):
        one.name = new if one.name == old else one.name


def _of_one_picture(model: onnx.ModelProto) -> None:
    for one in (*model.graph.input, *model.graph.output):
        one.type.tensor_type.shape.dim[0].dim_value = 1


def _header(model: onnx.ModelProto, key: str, value: object) -> None:
    for one in model.metadata_props:
        one.value = json.dumps(value) if one.key == key else one.value


def _other_size(model: onnx.ModelProto) -> None:
    config = next(json.loads(one.value) for one in model.metadata_props if one.key == "config")
    _header(model, "config", config | {"crop": config["crop"] | {"size": 352}})


@pytest.mark.parametrize(
    ("stage", "spoil", "message"),
    [
        ("keypoints", _with_nan, "keypoints.onnx: tensor .* is not finite; export it again from weights that are"),
        ("detector", _with_nan, "detector.onnx: tensor .* is not finite"),
        ("detector", _with_nan_as_numbers, "detector.onnx: tensor bad is not finite"),
        ("detector", _elsewhere, "detector.onnx: tensor .* lies in another file; export it again"),
        (
            "keypoints",
            lambda model: _renamed(model, "maps", "heat"),
            r"a graph of .*heat \[24, 80, 80\]; .*maps \[24, 80",
        ),
        ("detector", lambda model: _renamed(model, "boxes", "b"), r"it should be of .*boxes \[3870, 4\]"),
        ("keypoints", lambda model: _renamed(model, "inputs", "x"), r"a graph of x \[3, 320, 320\]"),
        ("keypoints", _of_one_picture, "of a batch of any length; export it again"),
        ("keypoints", _other_size, r"it should be of inputs \[3, 352, 352\], maps \[24, 88, 88\]"),
        ("detector", lambda model: _header(model, "levels", [1, 2.0]), r"its header has levels \[1, 2.0\]; expected"),
        ("detector", lambda model: _header(model, "levels", None), "its header has levels None; expected"),
        ("detector", lambda model: _header(model, "levels", [3870, 1]), r"it should be of .*logits \[3871, 5\]"),
    ],
)
def test_a_spoilt_graph_is_refused_at_load(
    tmp_path: Path, schema: Schema, monkeypatch, stage: str, spoil: Callable, message: str
) -> None:
    file = spoilt(tmp_path, stage, spoil)
    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(b"0" * 10_000_000)  # from here the runtime would read it
    with pytest.raises(UserError, match=message):
        LOADERS[stage](file, schema)


def test_one_number_may_be_a_bound_that_is_none() -> None:
    for value, refused in ((np.inf, False), (-np.inf, False), (np.nan, True)):
        tensor = numpy_helper.from_array(np.array(value, np.float32), "bound")
        content = helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString()
        if refused:
            with pytest.raises(UserError, match="tensor bound is not finite"):
                check_tensors(content)
        else:
            check_tensors(content)
