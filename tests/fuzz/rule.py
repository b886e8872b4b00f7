"""The rule under test: a UserError that names the file, or a right result; nothing else happens."""

import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError

from tests.fuzz.readers import Reader

MOST_MEMORY_GB = 2.0
"""How far one small file may raise the peak of the process."""
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
_watched: list[tuple[str, list[str]]] = []


def _watch(event: str, values: tuple[Any, ...]) -> None:
    """An audit hook, which cannot be taken away again: it looks only while a file is read."""
    if not _watched:
        return
    folder, seen = _watched[-1]
    if event in STARTS:
        seen.append(f"{event} {values[:1]}")
    elif event == "open" and isinstance(values[0], str) and (values[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = os.path.abspath(values[0])
        if not path.startswith((folder, os.devnull)):
            seen.append(f"writes {path}")


sys.addaudithook(_watch)


def obeys(reader: Reader, folder: Path, content: bytes) -> None:
    """Let the reader read the content; raises AssertionError, or whatever escapes the reader, when the rule is broken."""
    file = folder / reader.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    seen: list[str] = []
    before = _peak_gb()
    _watched.append((str(folder), seen))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(file)
    except UserError as error:
        if file.name not in str(error):
            raise AssertionError(f"names no file: {error}") from error
    finally:
        _watched.pop()
    assert not seen
    assert _peak_gb() - before < MOST_MEMORY_GB, f"{len(content)} bytes took {_peak_gb():.1f} GB"


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
