"""Files of trained networks: safetensors with everything about them in the header, written whole or not at all.

What a user hands in is never unpickled: torch's own files are read with weights_only=True.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning import configs
from garment_keypoints.pipeline.learning.configs import Config, nested, restore
from garment_keypoints.pipeline.learning.graphs import SUFFIX, Graph
from garment_keypoints.pipeline.learning.tensor_files import are_tensors, read_tensors
from garment_keypoints.pipeline.learning.training_ids import ids_digest, write_ids
from torch import Tensor, nn

FORMAT = 2
"""1: a dict by torch.save, with the training ids inside; 2: safetensors, with the ids' digest in the header."""
HEADER: dict[str, Callable[[Any], bool]] = {
    "format": lambda value: value == FORMAT,
    "stage": lambda value: isinstance(value, str),
    "schema": lambda value: isinstance(value, dict),
    "config": lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value),
    "config_format": lambda value: type(value) is int,
    "provenance": lambda value: isinstance(value, dict),
    "name": lambda value: isinstance(value, str),
    "fold": lambda value: value is None or (type(value) is int and value >= 0),
    "train_ids_digest": lambda value: isinstance(value, str),
    "train_ids_count": lambda value: type(value) is int,
}
"""What stands beside the tensors, and what it must be."""


def save_checkpoint(
    path: Path,
    stage: str,
    schema: Schema,
    config: dict[str, Any],
    state_dict: dict[str, Tensor],
    *,
    train_ids: Iterable[str],
    fold: int | None = None,
    provenance: dict[str, Any] | None = None,
    seen: Iterable[str] | None = (),
) -> None:
    """Write a trained network. `fold` is the one that was left out of its training (None: none was).

    The ids of its training images go into a file beside it, against which boxes out of fold are checked. So do those that the
    network had `seen` that it started from; where they are not known (None), no list is written.
    """
    ids = sorted({*train_ids, *(seen or ())})
    header = {
        "format": FORMAT,
        "stage": stage,
        "schema": schema.to_dict(),
        "config": config,
        "config_format": configs.FORMAT,
        "provenance": provenance or {},
        "name": path.stem,
        "fold": fold,
        "train_ids_digest": ids_digest(ids),
        "train_ids_count": len(ids),
    }
    write_checkpoint(path, header, state_dict, None if seen is None else ids)


def load_checkpoint(path: Path, stage: str, schema: Schema) -> dict[str, Any]:
    """Read a network of this stage and schema: its header, and state_dict (float16 tensors come back as float32).

    A file of an older format has its training ids inside; they come as `train_ids`.
    """
    content = read_trained(path, stage)
    try:  # through Schema: what an older file does not say, from_dict fills in
        other = Schema.from_dict(content["schema"]) != schema
    except UserError as error:
        raise UserError(f"{path}: {error}; train it again, or publish it again") from None
    if other:
        raise UserError(
            f"{path}: trained for schema {content['schema']['name']} with {len(content['schema']['keypoints'])} keypoints and "
            f"categories {', '.join(content['schema']['categories'])}; expected {schema.name} (--schema), exactly the same"
        )
    return content


def read_trained(path: Path, stage: str) -> dict[str, Any]:
    """Read a network of this stage, as `load_checkpoint` does, and of whatever schema."""
    content = read_checkpoint(path)
    if content["stage"] != stage:
        raise UserError(f"{path}: a checkpoint of the {content['stage']} stage, expected one of the {stage} stage")
    state = content["state_dict"]
    _check_finite(path, state, "damaged, or its training diverged; train it again with a lower lr")
    content["state_dict"] = {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}
    return content


def restored(
    config: type[Config],
    content: dict[str, Any],
    path: Path,
    upgrade_config: Callable[[dict[str, Any]], dict[str, Any]],
) -> Config:
    """Make the config of the weights that `load_checkpoint` read from `path`; its backbone is not filled a second time.

    `upgrade_config` brings the stage's settings of format 1 to the present one.
    """
    where = f"{path}: weights with"
    stored = content["config"]
    if content["config_format"] not in (1, configs.FORMAT):
        raise UserError(f"{where} settings of format {content['config_format']}; use a newer version")
    try:
        if content["config_format"] < configs.FORMAT:
            stored = upgrade_config(stored)
        lacking = [name for name in config.DECISIVE if nested(stored, name, lacking=...) is ...]
        if lacking:
            raise UserError(f"no {', '.join(lacking)}; publish them again, or train again")
        if isinstance(stored.get("network"), dict):
            stored = stored | {"network": stored["network"] | {"backbone_weights": "none"}}
        return restore(config, stored, "settings")
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def fill(network: nn.Module, state_dict: dict[str, Tensor], path: Path) -> None:
    """Load the tensors of `path` into the network; each must be there, with the network's shape, and no other."""
    expected = network.state_dict()
    wrong = [f"{key} is missing" for key in expected if key not in state_dict]
    wrong += [f"{key} is not in the network" for key in state_dict if key not in expected]
    wrong += [
        f"{key} is {tuple(value.shape)}, expected {tuple(expected[key].shape)}"
        for key, value in state_dict.items()
        if key in expected and value.shape != expected[key].shape
    ]
    wrong += [
        f"{key} is {value.dtype}, expected {expected[key].dtype}"
        for key, value in state_dict.items()
        if key in expected and value.is_floating_point() != expected[key].is_floating_point()
    ]
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} tensors do not fit the network of its config ({'; '.join(wrong[:3])}); train it again, "
            "or use the version of this project that wrote it"
        )
    network.load_state_dict(state_dict, strict=True)


def upgrade(header: dict[str, Any]) -> dict[str, Any]:
    """Bring what a file of any older format holds, header and `state_dict`, to the present one."""
    steps = {1: _from_1}
    while header["format"] in steps:
        header = steps[header["format"]](header)
    return header


def _from_1(header: dict[str, Any]) -> dict[str, Any]:
    extra = header["extra"]
    if not isinstance(extra["train_ids"], list) or not isinstance(extra["name"], str):
        raise TypeError("train_ids or name")
    ids = sorted(set(extra["train_ids"]))
    return {
        **{key: header[key] for key in ("stage", "schema", "config")},
        "format": 2,
        "config_format": 1,
        "provenance": {},
        "name": extra["name"],
        "fold": extra.get("fold"),
        "train_ids_digest": ids_digest(ids),
        "train_ids_count": len(ids),
        "train_ids": ids,
        "state_dict": {key: _finite_variance(key, value) for key, value in header["state_dict"].items()},
    }


def _finite_variance(key: str, value: Tensor) -> Tensor:
    """Format 1 let BatchNorm's variances overflow in float16. float32's largest has infinity's effect: the bias alone."""
    if key.endswith(".running_var") and value.dtype == torch.float16:
        return value.float().nan_to_num(nan=torch.nan, posinf=torch.finfo(torch.float32).max)
    return value


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a network of any stage and schema: its header, `state_dict`, and `train_ids` where the file holds them.

    An ONNX graph comes as `graph`, without tensors.
    """
    graph = Graph(path) if path.suffix == SUFFIX else None
    content, metadata = read_tensors(path) if graph is None else ({}, None)
    try:
        if graph is not None:
            content = {**graph.header, "state_dict": {}, "graph": graph}
        if metadata:
            content = {key: json.loads(value) for key, value in metadata.items()} | {"state_dict": content}
        if isinstance(content["format"], int) and content["format"] > FORMAT:
            raise UserError(
                f"{path}: weights of format {content['format']}, this version reads up to {FORMAT}; use a newer version"
            )
        content = upgrade(content)
        odd = sorted(name for name, fits in HEADER.items() if not fits(content[name]))
        odd += [] if are_tensors(content["state_dict"]) else ["state_dict"]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        odd = ["header"]
    if odd:
        raise UserError(
            f"{path}: not a checkpoint of this project (by its {', '.join(odd)}); name one that a training or `publish` wrote "
            "(a training's own last.ckpt only resumes that training)"
        )
    return content


def write_checkpoint(path: Path, header: dict[str, Any], state_dict: dict[str, Tensor], ids: list[str] | None) -> None:
    """Write a network with a whole header; `ids` of its training images, where they are known, as `save_checkpoint` does."""
    _check_finite(path, state_dict, "nothing was written; train with a lower lr, or publish without float16")
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    metadata = {key: json.dumps(value) for key, value in header.items()}
    if ids is not None:
        write_ids(path, ids)
    write_bytes(path, safetensors.torch.save(tensors, metadata))


def _check_finite(path: Path, state_dict: dict[str, Tensor], remedy: str) -> None:
    for key, value in state_dict.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UserError(f"{path}: tensor {key} is not finite; {remedy}")
