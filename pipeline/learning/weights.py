"""Files of trained networks: safetensors with everything about them in the header, written whole or not at all.

What a user hands in is never unpickled: torch's own files are read with weights_only=True.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.contract.faults import UserError
from pipeline.contract.files import write_bytes, write_text
from pipeline.contract.schema import Schema
from pipeline.learning import configs
from pipeline.learning.configs import Config, restore

FORMAT = 2
"""1: a dict by torch.save, with the training ids inside; 2: safetensors, with the ids' digest in the header."""
HEADER = (
    *("format", "stage", "schema", "config", "config_format"),
    *("provenance", "name", "fold", "train_ids_digest", "train_ids_count"),
)
BY_TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
"""How files by torch.save begin, today's and those before torch 1.6."""


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
) -> None:
    """Write a trained network. `fold` is the one that was left out of its training (None: none was).

    The ids of a fold's training images go into a file beside it: boxes out of fold are checked against them.
    """
    ids = sorted(set(train_ids))
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
    _write(path, header, state_dict, ids)


def load_checkpoint(path: Path, stage: str, schema: Schema) -> dict[str, Any]:
    """Read a network of this stage and schema: its header, and state_dict (float16 tensors come back as float32).

    A file of an older format has its training ids inside; they come as `train_ids`.
    """
    content = _read(path)
    if content["stage"] != stage:
        raise UserError(f"{path}: a checkpoint of the {content['stage']} stage, expected one of the {stage} stage")
    # Through Schema: what an older file does not say, from_dict fills in.
    if Schema.from_dict(content["schema"]) != schema:
        raise UserError(
            f"{path}: trained for schema {content['schema']['name']} with {len(content['schema']['keypoints'])} keypoints and "
            f"categories {', '.join(content['schema']['categories'])}; expected {schema.name} (--schema), exactly the same"
        )
    _check_finite(path, content["state_dict"], "damaged, or its training diverged; train it again with a lower lr")
    state = content["state_dict"]
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
    stored = content["config"]
    if content["config_format"] < configs.FORMAT:
        stored = upgrade_config(stored)
    network = stored.get("network", {}) | {"backbone_weights": "none"}
    return restore(config, stored | {"network": network}, f"{path}: weights with")


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
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} tensors do not fit the network of its config ({'; '.join(wrong[:3])}); train it again, "
            "or use the version of this project that wrote it"
        )
    network.load_state_dict(state_dict, strict=True)


def training_ids(path: Path, content: dict[str, Any]) -> list[str]:
    """Return the images that the network of `load_checkpoint` was trained on: from the file beside it, checked."""
    if "train_ids" in content:
        return content["train_ids"]
    sidecar = ids_file(path)
    remedy = f"copy it together with {path.name}, or train that again"
    try:
        ids = sidecar.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise UserError(
            f"{sidecar}: missing, the list of the images that {path.name} was trained on; {remedy}"
        ) from None
    except UnicodeDecodeError:
        ids = []
    if ids_digest(ids) != content["train_ids_digest"]:
        raise UserError(
            f"{sidecar}: {len(ids)} ids that are not the {content['train_ids_count']} that {path.name} was trained on; {remedy}"
        )
    return ids


def ids_file(path: Path) -> Path:
    return path.with_suffix(".ids.txt")


def ids_digest(ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def export_checkpoint(source: Path, out: Path, provenance: dict[str, Any], float16: bool = True) -> None:
    """Copy a trained network of any format into the present one, by default with float16 weights, half the size."""
    content = _read(source)
    state = {k: _halved(v) if float16 else v for k, v in content["state_dict"].items()}
    header = {key: content[key] for key in HEADER}
    header["provenance"] = content["provenance"] | {"exported": provenance}
    known = "train_ids" in content or ids_file(source).exists()
    _write(out, header, state, training_ids(source, content) if known else None)


def _halved(value: Tensor) -> Tensor:
    """Return a float32 tensor in float16, or as it is where one of its values is too large for that."""
    half = value.half() if value.dtype == torch.float32 else value
    return half if torch.equal(half.isfinite(), value.isfinite()) else value


def upgrade(header: dict[str, Any]) -> dict[str, Any]:
    """Bring what a file of any older format holds, header and `state_dict`, to the present one."""
    steps = {1: _from_1}
    while header["format"] in steps:
        header = steps[header["format"]](header)
    return header


def _from_1(header: dict[str, Any]) -> dict[str, Any]:
    extra = header["extra"]
    ids = sorted(set(extra["train_ids"]))
    return {
        **{key: header[key] for key in ("stage", "schema", "config")},
        "format": 2,
        "config_format": 1,
        "provenance": {},
        "name": str(extra["name"]),
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


def _read(path: Path) -> dict[str, Any]:
    """Return the present format's header, `state_dict`, and `train_ids` where the file holds them."""
    content, metadata = read_tensors(path)
    try:
        if metadata:
            content = {key: json.loads(value) for key, value in metadata.items()} | {"state_dict": content}
        if isinstance(content["format"], int) and content["format"] > FORMAT:
            raise UserError(
                f"{path}: weights of format {content['format']}, this version reads up to {FORMAT}; use a newer version"
            )
        content = upgrade(content)
        complete = {*HEADER, "state_dict"} <= set(content)
    except (KeyError, TypeError, AttributeError, IndexError, json.JSONDecodeError):
        complete = False
    if not complete:
        raise UserError(
            f"{path}: not a checkpoint of this project; name one that a training or `export` wrote "
            "(a training's own last.ckpt only resumes that training)"
        )
    return content


def _write(path: Path, header: dict[str, Any], state_dict: dict[str, Tensor], ids: list[str] | None) -> None:
    _check_finite(path, state_dict, "nothing was written; train with a lower lr, or export without float16")
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    metadata = {key: json.dumps(value) for key, value in header.items()}
    if header["fold"] is not None and ids is not None:
        write_text(ids_file(path), "".join(f"{one}\n" for one in ids))
    write_bytes(path, safetensors.torch.save(tensors, metadata))


def _check_finite(path: Path, state_dict: dict[str, Tensor], remedy: str) -> None:
    for key, value in state_dict.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UserError(f"{path}: tensor {key} is not finite; {remedy}")
