"""Files that others read: written whole or not at all, by one process at a time, and known by a digest of their content."""

import hashlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from garment_keypoints.pipeline.contract.faults import BusyError, UserError

log = logging.getLogger("garment_keypoints")
WAIT_S = 5.0
"""Between two tries of what another process is at."""
LONGEST = 220
"""Bytes of a file's name that stay in that of its partial file, which is longer; file systems take 255."""
IDS = ".ids.txt"
"""How the list of training images beside weights is called, behind their stem."""
PARTIAL = re.compile(r"(.+)\.\d+-[0-9a-f]{8}\.partial")
"""What a file is called while it is written: its name, the process, a random number. A killed process leaves it."""


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none: under a temporary name first, then renamed."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none, as `write_text` does; an OSError names `path`."""
    whole = os.fsencode(path.name)
    name = path.name if len(whole) <= LONGEST else whole[:LONGEST].decode(errors="ignore")
    partial = path.with_name(f"{name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:  # x: neither an existing file nor what a link points to is written
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the name and lose the content
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def file_hash(path: Path) -> str:
    """Short hash of a file's content."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; train one, or name an existing file") from None


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool], what: str, remedy: str) -> None:
    """Raise UserError when `path` is there and is not a file that may be overwritten: `is_ours` tells, `what` says it."""
    if (path.exists() or path.is_symlink()) and not (path.is_file() and is_ours(path)):
        raise UserError(f"{path} exists and is not {what}; {remedy}, or remove it")


def when_free(step: Callable[[], Any]) -> None:
    """Take a step as soon as no other process is at it."""
    while True:
        try:
            step()
            return
        except BusyError as error:
            log.info("waiting: %s", error)
            time.sleep(WAIT_S)


@contextmanager
def alone(path: Path, remedy: str = "choose another one", enabled: bool = True) -> Iterator[None]:
    """Write `path`, a file or folder, as the only process that does; raise BusyError while another one is at it.

    What a killed process left half-written beside it is removed. With `enabled` off (other ranks) nothing is done.
    """
    if not enabled:
        yield
        return
    place = Path(os.path.abspath(path))
    file = place.with_name(f".{place.name}.lock")
    lock = FileLock(file, timeout=0)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BusyError(f"another process is writing {path}; wait for it, or {remedy}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        for left in place.parent.glob("*.partial"):
            name = PARTIAL.fullmatch(left.name)
            if name and (Path(name[1]).stem == place.stem or name[1] == place.stem + IDS):
                left.unlink(missing_ok=True)
        yield
    finally:
        # Removed while it is held: who opened it before then sees that it is gone, and does not count it as a lock.
        with suppress(OSError):
            file.unlink()
        lock.release()


def write_once(path: Path, text: str) -> bool:
    """Write a whole file unless it is there; tell whether it was written. Of processes that come together one writes it."""
    written = [False]

    def step() -> None:
        with alone(path):
            if not path.exists():
                write_text(path, text)
                written[0] = True

    when_free(step)
    return written[0]


def json_object(file: Path) -> dict[str, Any] | None:
    """Return the JSON object that a file holds; None when it holds anything else. Raises OSError when it cannot be read."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
