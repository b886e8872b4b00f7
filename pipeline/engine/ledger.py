"""predictions.jsonl, which is both the result and the list of what is done: a line a photo, appended and never held whole."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.contract.outputs import added_names
from garment_keypoints.pipeline.data.photos import version_of
from garment_keypoints.pipeline.learning.manifests import recorded_refine

LINES = "predictions.jsonl"
JOB = "job.json"
FORMAT = 1
VERSION = "file_version"
"""In a line, beside the result: what tells whether the photo is still the same."""


@dataclass
class Ledger:
    """The folder of a job, of which sixteen bytes a photo are held: hashes of the names and versions that are done, `done` (N,)
    in their order, and the `places` (N,) of their lines."""

    folder: Path
    done: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def lines(self) -> Path:
        return self.folder / LINES

    def result(self, name: str, version: str) -> dict[str, Any] | None:
        """Return the result of a photo that is done; None of another one."""
        key = _key(name, version)
        index = int(np.searchsorted(self.done, key))
        if index == len(self.done) or self.done[index] != key:
            return None
        with self.lines.open("rb") as lines:
            lines.seek(self.places[index])
            return _result(lines.readline())

    def append(self, lines: Sequence[tuple[dict[str, Any], str]]) -> None:
        """Add the results of photos, each with its version, all of them or (after a power cut) the first few."""
        texts = [json.dumps({**line, VERSION: version}, allow_nan=False).encode() + b"\n" for line, version in lines]
        with self.lines.open("ab") as file:
            place = file.tell()
            try:
                file.write(b"".join(texts))
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(place)  # half a line would be in the way of whoever reads the others
                raise
        keys = np.array([_key(line["photo"], version) for line, version in lines], np.uint64)
        places = place + np.cumsum([0, *map(len, texts)])[:-1]
        self.done, self.places = _sorted(np.concatenate([self.done, keys]), np.concatenate([self.places, places]))

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield the result of each photo, in the order in which they were done."""
        with self.lines.open("rb") as lines:
            yield from map(_result, lines)


def open_ledger(folder: Path, job: dict[str, Any]) -> Ledger:
    """Begin or go on with the job in this folder.

    Lines of photos that could not be read, or have changed since, are dropped: they are done again. Raises UserError when the
    folder is of another job, or somebody else's.
    """
    described = {"format": FORMAT, **json.loads(json.dumps(job | added_names()))}
    file = folder / JOB
    if file.exists():
        _refuse_other(folder, _renamed(json_object(file)), described)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is no folder of predictions; choose another --out, or move it away")
    else:
        write_text(file, json.dumps(described, indent=1) + "\n")
    return Ledger(folder, *_keep_good_lines(folder / LINES))


def _renamed(job: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a job in today's words."""
    if job is None or "passes" not in job:
        return job
    return {key: value for key, value in job.items() if key != "passes"} | {"refine": recorded_refine(job)}


def _refuse_other(folder: Path, known: dict[str, Any] | None, job: dict[str, Any]) -> None:
    if known == job:
        return
    keys = {**known, **job} if known else ()
    named = [f"{key} was {known.get(key)}, now {job.get(key)}" for key in keys if known.get(key) != job.get(key)]
    raise UserError(
        f"{folder} holds predictions of another job ({'; '.join(named) or f'{JOB} is damaged'}); choose another --out, or "
        "remove it"
    )


def _keep_good_lines(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Drop what is to be done again from the file, by way of a second one; return the rest's sorted keys, and places."""
    if not file.exists():
        file.touch()
    kept, keys, places, dropped = file.with_name(f"{LINES}.partial"), array("Q"), array("q"), False
    with file.open("rb") as lines, kept.open("wb") as good:
        for line in lines:
            key = _key_of(line)
            if key is None:
                dropped = True
            else:
                places.append(good.tell())
                keys.append(int(key))
                good.write(line)
    os.replace(kept, file) if dropped else kept.unlink()
    return _sorted(np.array(keys, np.uint64), np.array(places, np.int64))


def _sorted(keys: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]


def _result(line: bytes) -> dict[str, Any]:
    return {key: value for key, value in json.loads(line).items() if key != VERSION}


def _key_of(line: bytes) -> np.uint64 | None:
    """Return the key of a whole line whose photo is as it was, or is gone; None for one that is to be done again."""
    try:
        content = json.loads(line) if line.endswith(b"\n") else {}
        name, version = content["photo"], content[VERSION]
    except (ValueError, KeyError, TypeError):
        return None
    path = Path(name)
    present = version_of(path if path.is_file() else path.parent)  # a frame lies in its video
    changed = path.is_file() or path.parent.is_file()
    return None if "error" in content or (changed and present != version) else _key(name, version)


def _key(name: str, version: str) -> np.uint64:
    return np.frombuffer(hashlib.blake2b(os.fsencode(f"{name}\0{version}"), digest_size=8).digest(), np.uint64)[0]
