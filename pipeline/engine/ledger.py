"""predictions.jsonl, which is both the result and the list of what is done: a line a photo, appended and never held whole."""

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.outputs import added_names
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import version_of
from garment_keypoints.pipeline.learning.manifests import recorded_refine
from garment_keypoints.pipeline.reporting.photo_places import FILES

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
    begun: int = 0
    """Bytes of the lines that were there when the job was opened."""

    @property
    def lines(self) -> Path:
        return self.folder / LINES

    def result(self, name: str, version: str) -> dict[str, Any] | None:
        """Return the result of a photo that is done; None of another one."""
        place = self._place(name, version)
        if place is None:
            return None
        with self.lines.open("rb") as lines:
            lines.seek(place)
            return _result(lines.readline())

    def is_new(self, name: str, version: str) -> bool:
        """Tell whether a photo has been done since the job was opened."""
        place = self._place(name, version)
        return place is not None and place >= self.begun

    def _place(self, name: str, version: str) -> int | None:
        key = _key(name, version)
        index = int(np.searchsorted(self.done, key))
        return int(self.places[index]) if index < len(self.done) and self.done[index] == key else None

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


def open_ledger(
    folder: Path, job: dict[str, Any], schema: Schema, keep: Callable[[dict[str, Any]], None] = lambda line: None
) -> Ledger:
    """Begin or go on with the job in this folder; `keep` is told each line that stays.

    Lines that are damaged, and those of photos that could not be read or have changed since, are dropped: they are done again.
    Raises UserError when the folder is of another job, or somebody else's.
    """
    described = {"format": FORMAT, **json.loads(json.dumps(job | added_names()))}
    file = folder / JOB
    if file.exists():
        _refuse_other(folder, _renamed(json_object(file)), described)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is no folder of predictions; choose another --out, or move it away")
    else:
        write_text(file, json.dumps(described, indent=1) + "\n")
    lines = folder / LINES
    return Ledger(folder, *_keep_good_lines(lines, schema, keep), lines.stat().st_size)


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


def _keep_good_lines(
    file: Path, schema: Schema, keep: Callable[[dict[str, Any]], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Drop what is to be done again from the file, by way of a second one; return the rest's sorted keys, and places."""
    if not file.exists():
        file.touch()
    kept, keys, places, dropped = file.with_name(f"{LINES}.partial"), array("Q"), array("q"), False
    with file.open("rb") as lines, kept.open("wb") as good:
        for line in lines:
            content = _whole(line, schema)
            if content is None or not _is_as_it_was(content["photo"], content[VERSION]):
                dropped = True
                continue
            places.append(good.tell())
            keys.append(int(_key(content["photo"], content[VERSION])))
            good.write(line)
            keep(content)
    os.replace(kept, file) if dropped else kept.unlink()
    return _sorted(np.array(keys, np.uint64), np.array(places, np.int64))


def _sorted(keys: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]


def _result(line: bytes) -> dict[str, Any]:
    return {key: value for key, value in json.loads(line).items() if key != VERSION}


def _whole(line: bytes, schema: Schema) -> dict[str, Any] | None:
    """Return what a line says of a photo that could be read; None of any other line, and of one that is torn or damaged."""
    try:
        # parse_constant: int refuses NaN.
        content = json.loads(line, parse_constant=int) if line.endswith(b"\n") else {}
        result = PhotoResult.from_dict(content, schema)
        numbers = [value for one in result.garments for value in (one.score, *one.box, *one.xy.ravel())]
        known = all(len(one.box) == 4 and one.category in schema.categories for one in result.garments)
        names = PurePosixPath(content["photo"]).name, content[VERSION], PurePosixPath(content.get(FILES, "."))
        whole = known and names[0] and isinstance(names[1], str) and not {"..", "/"} & {*names[2].parts}
        return content if whole and not result.error and not np.isinf([*result.size_wh, *numbers]).any() else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _is_as_it_was(name: str, version: str) -> bool:
    """Tell whether a photo, or the video that it is a frame of, is as it was, or is gone."""
    file = name if os.path.isfile(name) else os.path.dirname(name)
    return not os.path.isfile(file) or version_of(Path(file)) == version


def _key(name: str, version: str) -> np.uint64:
    return np.frombuffer(hashlib.blake2b(os.fsencode(f"{name}\0{version}"), digest_size=8).digest(), np.uint64)[0]
