"""Networks as ONNX graphs: written by torch's exporter, run by ONNX Runtime, which is several times faster on a CPU.

A graph takes a batch of any length, of square inputs of a fixed size, and holds the header of its checkpoint as metadata.
"""

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.learning.graph_tensors import check_tensors
from torch import Tensor, nn

SUFFIX = ".onnx"
OPSET = 18
"""From 20 on GridSample is renamed, and older runtimes take it for another one; below 18 torch's exporter does not write."""
INPUTS = "inputs"
LARGE = 1024
"""Values of a weight from which on its size matters."""
EIGHT_BIT = "eight_bit"
"""In the header of a graph in eight bits: what made it so."""


class Graph(nn.Module):
    """A graph that ONNX Runtime runs on the CPU, with torch's number of threads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.session = _session(path)
        self.outputs = [one.name for one in self.session.get_outputs()]
        if self.runtime == "int8":
            refuse_without_instructions(path, torch.cpu.get_capabilities())

    @property
    def runtime(self) -> str:
        """What `--runtime` calls it: onnx, or int8."""
        return "int8" if EIGHT_BIT in _metadata(self.session) else "onnx"

    @property
    def header(self) -> dict[str, Any]:
        """What the graph says of itself, as `write_graph` got it."""
        return _header(self.session)

    def check(self, path: Path, size: int, outputs: Mapping[str, Sequence[int]]) -> None:
        """Raise UserError unless the graph makes these outputs, of these shapes behind the batch, of inputs of this side."""
        wanted = {INPUTS: [3, size, size], **{name: [*shape] for name, shape in outputs.items()}}
        given = {
            one.name: [*one.shape[1:]] if one.type == "tensor(float)" and isinstance(one.shape[0], str) else one.type
            for one in (*self.session.get_inputs(), *self.session.get_outputs())
        }
        inputs = [one.name for one in self.session.get_inputs()]
        if inputs != [INPUTS] or not wanted.items() <= given.items():
            raise UserError(
                f"{path}: a graph of {_listed(given)}; by its header it should be of {_listed(wanted)}, each of a batch of any "
                "length; export it again"
            )

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Run inputs float32 (B, 3, h, w); returns the outputs by name."""
        device = inputs.device
        arrays = self.session.run(self.outputs, {INPUTS: np.ascontiguousarray(inputs.float().cpu().numpy())})
        return {name: torch.from_numpy(one).to(device) for name, one in zip(self.outputs, arrays, strict=True)}


def runtime_of(network: nn.Module) -> str:
    """Return what runs a network: torch, onnx or int8."""
    return next((one.runtime for one in network.modules() if isinstance(one, Graph)), "torch")


def _session(path: Path) -> Any:
    import onnxruntime  # here, since most commands never need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its idle threads would spin on the cores that torch needs in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        content = path.read_bytes()
        check_tensors(content)
        # Without enable_fallback=0 it prints what fails, and tries the same again.
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        _metadata(session)
        return session
    except FileNotFoundError:
        raise UserError(f"{path}: no such graph; write it with `export`") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # whatever the runtime's parser raises on broken bytes
        raise UserError(f"{path}: damaged, or no ONNX graph of this project ({error}); export it again") from None


def _listed(shapes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _metadata(session: Any) -> dict[str, str]:
    """Return a graph's header as text; raise UnicodeDecodeError for what is none."""
    return session.get_modelmeta().custom_metadata_map


def _header(session: Any) -> dict[str, Any]:
    return {key: json.loads(text) for key, text in _metadata(session).items()}


def refuse_without_instructions(path: Path, capabilities: Mapping[str, Any]) -> None:
    """Raise UserError for an x86 CPU without VNNI, on which sums of products of eight bits overflow (and take no less time)."""
    if "x86" in capabilities["architecture"] and not (capabilities["avx512_vnni"] or capabilities["avx_vnni"]):
        raise UserError(
            f"{path}: a graph in eight bits, for which this CPU has no instructions (VNNI), so that results would be wrong; take "
            "--runtime onnx"
        )


@contextmanager
def inputs_seen(graphs: Sequence[Graph]) -> Iterator[list[list[np.ndarray]]]:
    """Yield a list for each graph, to which all its inputs (B, 3, h, w) come while this lasts."""
    seen: list[list[np.ndarray]] = [[] for _ in graphs]
    handles = [
        graph.register_forward_pre_hook(lambda _, arguments, own=own: own.append(arguments[0].float().cpu().numpy()))
        for graph, own in zip(graphs, seen, strict=True)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def is_graph(file: Path) -> bool:
    """Tell whether a file is a graph that `write_graph` wrote, or one in eight bits made of it, which this CPU may not run."""
    try:
        return {"format", "stage", "schema"} <= _header(_session(file)).keys()
    except (UserError, ValueError):
        return False


def write_graph(module: nn.Module, size: int, outputs: Sequence[str], header: dict[str, Any], file: Path) -> None:
    """Write what a module makes of inputs (B, 3, size, size) as a graph with these outputs, whole or not at all.

    Raises UserError where the packages that write graphs are not installed.
    """
    try:
        from onnxscript import optimizer
    except ImportError as error:
        raise UserError(
            f"export needs the package {error.name}, which only writing graphs does: pip install 'garment-keypoints[export]'"
        ) from None
    for name in ("onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of each constant that they join
    # A batch of 2: the exporter takes a length of 1 for a constant. Not optimised: that would join BatchNorm with convolutions,
    # whose weights float16 holds no longer; the runtime does it when it loads the graph.
    example = torch.rand(2, 3, size, size) * 255
    program = torch.onnx.export(
        module.eval(), (example,), dynamo=True, opset_version=OPSET, external_data=False, verbose=False, optimize=False,
        input_names=[INPUTS], output_names=list(outputs), dynamic_shapes=({0: torch.export.Dim("batch")},),
    )  # fmt: skip
    # The runtime needs the bounds of a ReLU6 as constants; else it takes three times as long.
    optimizer.inline(program.model)
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    _halve(model.graph)
    save_graph(model, header, file)


def save_graph(model: Any, header: dict[str, Any], file: Path) -> None:
    """Check an ONNX model and write it with this header, whole or not at all."""
    import onnx

    # The exporter notes beside each node which line it comes from, with this machine's paths.
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
    for key, value in header.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    onnx.checker.check_model(model)
    content = io.BytesIO()
    onnx.save(model, content)
    write_bytes(file, content.getvalue())


def _halve(graph: Any) -> None:
    """Store large weights that float16 holds exactly as such, behind a Cast that the runtime folds away."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= LARGE:
            whole = numpy_helper.to_array(weight)
            values = whole.astype(np.float16)
            if np.array_equal(values.astype(np.float32), whole):
                name = weight.name
                weight.CopyFrom(numpy_helper.from_array(values, f"{name}_float16"))
                casts.append(helper.make_node("Cast", [f"{name}_float16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
