"""The tensors that an ONNX file holds, without the package onnx, which only writing graphs needs.

The file is in the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding), its fields as in
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from collections.abc import Iterator

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError

INSIDE = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph"},
}
"""Which fields of a message hold others."""
TYPE, NAME, ELSEWHERE, VALUES = 2, 8, 13, (4, 9, 10)
"""Fields of a tensor; its values are in one of three: as floats, as bytes, as doubles."""
KINDS = {1: np.float32, 10: np.float16, 11: np.float64}
"""What a tensor's TYPE means, of those with a value that is not finite."""
Value = int | memoryview


def check_tensors(content: bytes) -> None:
    """Raise UserError for a tensor that lies in another file, of which the hash of this one says nothing, or is not finite.

    Raises ValueError, TypeError, LookupError or RecursionError for bytes that are no graph.
    """
    for tensor in _tensors(memoryview(content), "model"):
        fields = list(_fields(tensor))
        parts = dict(fields)
        name = bytes(memoryview(parts.get(NAME, b""))).decode(errors="replace")
        if ELSEWHERE in parts:
            raise UserError(f"tensor {name} lies in another file; export it again, which writes one file")
        kind = KINDS.get(parts.get(TYPE))
        held = [np.frombuffer(value, kind) for field, value in fields if kind and field in VALUES]
        values = np.concatenate(held) if held else np.zeros(0)
        # One number alone may be a bound, which is infinite where there is none.
        if not np.isfinite(values).all() and (len(values) > 1 or np.isnan(values).any()):
            raise UserError(f"tensor {name} is not finite; export it again from weights that are")


def _tensors(message: memoryview, kind: str) -> Iterator[memoryview]:
    for field, value in _fields(message):
        inner = INSIDE[kind].get(field)
        if inner == "tensor":
            yield value
        elif inner:
            yield from _tensors(value, inner)


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of each field: a number, or its bytes."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        if key & 7 == 0:
            value, place = _number(message, place)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            length, place = _number(message, place)
        else:
            length = {1: 8, 5: 4}[key & 7]
        yield key >> 3, message[place : place + length]
        place += length


def _number(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number that begins here, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
