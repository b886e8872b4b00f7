"""Files that others read: written whole or not at all, and known by a digest of their content."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from pipeline.contract.faults import UserError


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none: under a temporary name first, then renamed."""
    _write(path, lambda partial: partial.write_text(text, encoding="utf-8", newline="\n"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none, as `write_text` does."""
    _write(path, lambda partial: partial.write_bytes(content))


def _write(path: Path, write: Callable[[Path], int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def file_hash(path: Path) -> str:
    """Short hash of a file's content."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; train one, or name an existing file") from None
