"""YAML files of settings and schemas."""

from pathlib import Path
from typing import Any

import yaml
from garment_keypoints.pipeline.contract.faults import UserError


def read_yaml(file: Path) -> dict[Any, Any]:
    """Read a YAML file that holds a mapping; raises UserError naming the file for anything else."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 ({error}); save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2020-13-45
        raise UserError(f"{file}: not readable as YAML: {error}; correct it") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds {type(content).__name__}, expected a mapping of names to values")
    return content
