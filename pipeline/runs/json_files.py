"""Records as JSON files: written whole or not at all, read with damage named."""

import json
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text


def holds(file: Path, *keys: str) -> bool:
    """Tell whether a file is a JSON object with these keys, as those are that this project writes."""
    try:
        return set(keys) <= read_json(file).keys()
    except (UserError, FileNotFoundError, IsADirectoryError):
        return False


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a results file; raise UserError when it is damaged."""
    content = json_object(path)
    if content is None:
        raise UserError(f"{path}: damaged, or no record of this project; remove it, and run again what should write it")
    return content
