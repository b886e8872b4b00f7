"""The images that a network has seen: a list in a file beside it, against which what must be unseen is checked."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import IDS, write_text


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


def known_ids(path: Path, content: dict[str, Any]) -> list[str] | None:
    """Return what `training_ids` does, or None where there is no list."""
    return training_ids(path, content) if "train_ids" in content or ids_file(path).exists() else None


def ids_file(path: Path) -> Path:
    return path.with_suffix(IDS)


def write_ids(path: Path, ids: Iterable[str]) -> None:
    write_text(ids_file(path), "".join(f"{one}\n" for one in ids))


def ids_digest(ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
