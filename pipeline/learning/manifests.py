"""What weights.json says of the pair of weights beside it: their SHA-256, and with how many refinements it was published."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object

MANIFEST = "weights.json"
FORMAT = 1
FILES = {"detector": "detector.safetensors", "keypoints": "keypoints.safetensors"}
MOST_REFINEMENTS = 2


def is_manifest(file: Path) -> bool:
    """Tell whether a file is one that `publish_pair` wrote."""
    content = json_object(file)
    return content is not None and {"format", "sha256"} <= content.keys()


def published_refine(manifest: Path) -> int:
    """Return with how many refinements the pair that this manifest is of was published."""
    refine = recorded_refine(json_object(manifest) or {})
    if type(refine) is not int or not 0 <= refine <= MOST_REFINEMENTS:
        raise UserError(
            f"{manifest}: refine is {refine!r}; expected a whole number of 0 to {MOST_REFINEMENTS}; publish the pair again, with "
            "--refine"
        )
    return refine


def recorded_refine(content: Mapping[str, Any]) -> Any:
    """Return how many refinements a manifest or a record tells of; older ones count the first crop too, as `passes`."""
    if "refine" in content:
        return content["refine"]
    passes = content.get("passes", 1)
    return passes - 1 if type(passes) is int else passes


def check_published(file: Path) -> None:
    """Raise UserError when the manifest of a pair beside the file names it, and it is not what was published."""
    manifest = file.parent / MANIFEST
    digests = (json_object(manifest) or {}).get("sha256") if manifest.is_file() else None
    if isinstance(digests, dict) and file.name in digests:
        check_digest(file, digests[file.name])


def published_digests(manifest: Path) -> dict[str, str]:
    content = json_object(manifest) or {}
    digests = content.get("sha256")
    if content.get("format") != FORMAT or not isinstance(digests, dict) or not set(FILES.values()) <= digests.keys():
        raise UserError(
            f"{manifest}: damaged, or of a newer version; expected format {FORMAT} and the sha256 of "
            f"{' and '.join(FILES.values())}; copy the folder again, or publish the pair again"
        )
    return digests


def check_digest(file: Path, expected: str) -> None:
    try:
        found = digest_of(file)
    except FileNotFoundError:
        raise UserError(f"{file}: missing, {MANIFEST} beside it names it; copy the folder again") from None
    if found != expected:
        raise UserError(
            f"{file}: its SHA-256 is {found[:16]}…, {MANIFEST} beside it says {str(expected)[:16]}…: damaged, changed or half "
            "copied; copy the folder again, or publish the pair again"
        )


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
