"""What a network is made of and what it costs, told by running it once on one picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from garment_keypoints.pipeline.reporting.receptive_field import receptive_field
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Forward = Callable[[nn.Module, Tensor], Any]
"""How a network is called on pictures (1, 3, size, size) of 0..255."""
DEPTH = 2
"""Layers are listed so many levels deep."""


@dataclass(frozen=True)
class Costs:
    """Parameters of a network, and 10^9 floating point operations for one picture.

    A multiply-add counts as 2 operations. Convolutions and matrix products are counted, what torch's FlopCounterMode knows;
    normalisation, activations, pooling and resizing, a few percent, are not.
    """

    parameters: int
    gflops: float
    trainable: int


@dataclass(frozen=True)
class Layer:
    """A part of a network: its name and class, the shapes that it gave, and its parameters with those of its own parts."""

    name: str
    type: str
    outputs: list[tuple[int, ...]]
    parameters: int


def on_crops(network: nn.Module, images: Tensor) -> Any:
    """Call a keypoint network, on crops of the first category."""
    return network(images, torch.zeros(len(images), dtype=torch.long))


def network_costs(network: nn.Module, size: int, run: Forward = on_crops) -> Costs:
    """Count the costs of a network on the CPU for one picture of size x size pixels; it is left in evaluation mode."""
    with FlopCounterMode(display=False) as counter:
        _run_once(network, size, run)
    parameters = list(network.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return Costs(sum(p.numel() for p in parameters), counter.get_total_flops() / 1e9, trainable)


def layers(network: nn.Module, size: int, run: Forward = on_crops) -> list[Layer]:
    """List the parts of a network two levels deep, with what they give for one picture, each time that they are called.

    A network that only wraps another one is not a level of its own.
    """
    inner = network
    while len(children := list(inner.children())) == 1:
        inner = children[0]
    parts = {name: part for name, part in inner.named_modules() if name and name.count(".") < DEPTH}
    outputs: dict[str, list[tuple[int, ...]]] = {name: [] for name in parts}

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, output: outputs[name].extend(tuple(t.shape) for t in tensors(output))

    hooks = [part.register_forward_hook(note(name)) for name, part in parts.items()]
    try:
        _run_once(network, size, run)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        Layer(name, type(part).__name__, outputs[name], sum(p.numel() for p in part.parameters()))
        for name, part in parts.items()
    ]


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested lists, tuples and dicts."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict | list | tuple):
        for inner in output.values() if isinstance(output, dict) else output:
            yield from tensors(inner)


def model_card(
    title: str, parts: str, network: nn.Module, size: int, run: Forward = on_crops, head: Forward = on_crops
) -> str:
    """Describe a network as Markdown; `parts` names what it is made of, `head` calls it for what its head gives.

    The first tensor of the head's last stage counts; a stride and a central cell are told of one that is a map (1, C, h, w).
    """
    costs = network_costs(network, size, run)
    with torch.no_grad():
        output = _head_output(head(network, _picture(size)))
    stride = f"{size / output.shape[-1]:g} px" if output.ndim == 4 else "none, it gives no map"
    field = receptive_field(network, size, lambda network, images: _head_output(head(network, images)))
    rows = []
    for one in layers(network, size, run):
        shapes = ", ".join("x".join(map(str, shape)) for shape in one.outputs)
        rows.append((one.name, one.type, shapes or "-", f"{one.parameters:,}"))
    return (
        f"# {title}\n\n{parts}.\n\n{_table(('layer', 'type', 'output', 'parameters'), rows)}\n"
        f"- parameters: {costs.parameters:,}, of which trained: {costs.trainable:,}\n"
        f"- operations: {costs.gflops:.3f} GFLOPs for one picture of {size} x {size} px (a multiply-add counts as 2)\n"
        f"- stride of the head's output: {stride}\n"
        f"- receptive field at the head: {field}\n"
    )


def _head_output(outputs: Any) -> Tensor:
    """Return the first tensor of the last stage."""
    return next(tensors(outputs[-1] if isinstance(outputs, list) else outputs))


def _run_once(network: nn.Module, size: int, run: Forward) -> None:
    network.eval()
    with torch.no_grad():
        run(network, _picture(size))


def _picture(size: int) -> Tensor:
    return torch.full((1, 3, size, size), 127.0)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    ruled = [head, tuple("-" * width for width in widths), *rows]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |\n" for row in ruled
    )
