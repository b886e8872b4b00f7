"""Files of tensors that a user hands in, safetensors or by torch.save: read without running anything in them."""

from pathlib import Path
from typing import Any

import torch
from garment_keypoints.pipeline.contract.faults import UserError
from safetensors import SafetensorError, safe_open
from torch import Tensor

KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64, torch.uint8, torch.bool)
BY_TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
"""How files by torch.save begin, today's and those before torch 1.6."""


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read what a safetensors file or one by torch.save holds, and the safetensors header ({} for torch's).

    Raises ValueError for any other file. torch's may hold tensors and plain values, no code.
    """
    try:
        with path.open("rb") as file:
            by_torch = file.read(4) in BY_TORCH
        if by_torch:
            return torch.load(path, map_location="cpu", weights_only=True), {}
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; train one, or name an existing one") from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged, or no file of weights ({error}); copy it again, or train it again") from None
    except Exception as error:  # fed with bytes of another kind, the unpickler raises whatever they lead it to
        raise UserError(
            f"{path}: not readable as weights ({type(error).__name__}; nothing in it was run); copy it again, or train it again"
        ) from None


def are_tensors(state: Any) -> bool:
    """Tell whether `state` holds plain tensors by name, of the kinds that networks have and with all their values there."""
    return isinstance(state, dict) and all(
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in KINDS
        # A view that repeats a few bytes can claim any size.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
        for key, value in state.items()
    )
