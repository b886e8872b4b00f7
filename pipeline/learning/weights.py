"""Files of trained networks: plain dicts and tensors, read with weights_only=True, written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.contract.schema import Schema

FORMAT = 1


def save_checkpoint(
    path: Path,
    stage: str,
    schema: Schema,
    config: dict[str, Any],
    state_dict: dict[str, Tensor],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a trained network. `extra` holds plain values, such as a detector's `train_ids` and `fold`."""
    content = {
        "format": FORMAT,
        "stage": stage,
        "schema": schema.to_dict(),
        "config": config,
        "extra": extra or {},
        "state_dict": {key: value.detach().cpu().contiguous() for key, value in state_dict.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        torch.save(content, partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        # A full disk is a RuntimeError to torch.
        raise OSError(
            getattr(error, "errno", None), (str(error) or "cannot write").splitlines()[0], str(path)
        ) from None


def load_checkpoint(path: Path, stage: str, schema: Schema) -> dict[str, Any]:
    """Read a network of this stage and schema: config, extra and state_dict (float16 tensors come back as float32)."""
    content = _read(path)
    if content["stage"] != stage:
        raise ValueError(f"{path}: a checkpoint of the {content['stage']} stage, expected one of the {stage} stage")
    if content["schema"] != schema.to_dict():
        raise ValueError(
            f"{path}: trained for schema {content['schema']['name']} with {len(content['schema']['keypoints'])} keypoints and "
            f"categories {', '.join(content['schema']['categories'])}; expected {schema.name} (--schema), exactly the same"
        )
    state = content["state_dict"]
    content["state_dict"] = {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}
    return content


def export_checkpoint(source: Path, out: Path) -> None:
    """Copy a trained network with float16 weights, half the size, to be published."""
    content = _read(source)
    state = {k: v.half() if v.dtype == torch.float32 else v for k, v in content["state_dict"].items()}
    schema = Schema.from_dict(content["schema"])
    save_checkpoint(out, content["stage"], schema, content["config"], state, content["extra"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such checkpoint; train one, or name an existing file") from None
    except Exception as error:  # fed with bytes of another kind, the unpickler raises whatever they lead it to
        raise ValueError(f"{path}: not a readable checkpoint ({type(error).__name__}); train it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not a checkpoint of this project (a training's own last.ckpt only resumes that training)"
        )
    return content
