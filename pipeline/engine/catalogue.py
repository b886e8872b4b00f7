"""One shard of a catalogue: photos fetched, predicted a chunk at a time, and written as one file; what is there is skipped.

A process that dies leaves a marker of the photos that it was at. The next one halves them until one photo is left, which is
written down as an error: so no photo can stop a shard, and none is lost.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.contract.formats.catalogue import Entry, join_found, write_found
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import DROP
from garment_keypoints.pipeline.contract.schema import Schema

log = logging.getLogger("garment_keypoints")
CHUNK = 256
"""Photos that are fetched, predicted and written down together."""
BLOCK = 2**18
"""Bytes that are fetched at once."""
TRYING = "trying.json"
PART = re.compile(r"([0-9]{9})-([0-9]{9})\.parquet")
POISON = "the process that read it died"
Range = tuple[int, int]
Find = Callable[[Sequence[str], Sequence[Path]], list[PhotoResult]]
"""Finds the garments of photos, by names and files."""


@dataclass(frozen=True)
class ShardJob:
    """What is done with the entries of a shard: `out` the file that it ends in, `job` what decides its rows."""

    entries: Sequence[Entry]
    out: Path
    job: str
    schema: Schema
    root: Path
    most_megabytes: float
    """What is fetched of a photo; a larger one is an error."""

    @property
    def folder(self) -> Path:
        """Where what is done lies until all is."""
        return self.out.with_suffix(".parts")


def predict_shard(shard: ShardJob, find: Find, advance: Callable[[int], None] = lambda count: None) -> None:
    """Predict what of a shard is not done yet, and write its file; `advance` is told how many photos are done."""
    if shard.out.exists():
        advance(len(shard.entries))
        return
    shard.folder.mkdir(parents=True, exist_ok=True)
    done = _done(shard.folder)
    advance(sum(last - first for first, last in done))
    for first, last in _ranges(len(shard.entries), done, _trying(shard.folder)):
        _predict_range(shard, first, last, find)
        advance(last - first)
    join_found(shard.out, [_part(shard.folder, *one) for one in sorted(_done(shard.folder))])
    shutil.rmtree(shard.folder)


def _predict_range(shard: ShardJob, first: int, last: int, find: Find) -> None:
    """Predict these photos and write them down; one alone that a process has died of is only written down."""
    entries, marker = shard.entries[first:last], shard.folder / TRYING
    if last - first == 1 and _trying(shard.folder) == (first, last):
        log.warning("%s: %s; it is written down as an error", entries[0].uri, POISON)
        results = [PhotoResult(entries[0].id, (0, 0), [], POISON)]
    else:
        write_text(marker, json.dumps({"first": first, "last": last}))
        try:
            results = _found(entries, shard, find)
        except BaseException:
            marker.unlink()  # nothing that has been told of is the photos' fault
            raise
    write_found(_part(shard.folder, first, last), entries, results, shard.job, shard.schema)
    marker.unlink(missing_ok=True)


def _found(entries: Sequence[Entry], shard: ShardJob, find: Find) -> list[PhotoResult]:
    with fetched([one.uri for one in entries], shard.root, shard.most_megabytes) as places:
        there = {i: one for i, one in enumerate(places) if isinstance(one, Path)}
        names, files = [entries[i].id for i in there], list(there.values())
        results = dict(zip(there, find(names, files) if there else [], strict=True))
    return [
        # An error names the file that was read; users know it by its uri.
        replace(results[i], error=results[i].error.replace(str(places[i]), entry.uri))
        if i in results
        else PhotoResult(entry.id, (0, 0), [], str(places[i]))
        for i, entry in enumerate(entries)
    ]


@contextmanager
def fetched(uris: Sequence[str], root: Path, most_megabytes: float) -> Iterator[list[Path | str]]:
    """Yield a file for each uri, or why there is none; what is not a path here is copied, and gone afterwards.

    Of a uri that has more megabytes no more is fetched.

    Paths are relative to `root`.
    """
    with TemporaryDirectory(prefix="photos-") as folder:
        yield [_fetched(uri, root, Path(folder) / f"{i:06d}", int(1e6 * most_megabytes)) for i, uri in enumerate(uris)]


def _fetched(uri: str, root: Path, copy: Path, most: int) -> Path | str:
    if "://" not in uri:
        return root / uri
    try:
        import fsspec  # here: photos that lie on this machine need none

        with fsspec.open(uri, "rb") as source, copy.open("wb") as file:
            while file.tell() <= most and (block := source.read(BLOCK)):
                file.write(block)
            if file.tell() > most:
                return f"{uri}: too large a file; expected at most {most / 1e6:g} MB; raise max_megabytes, {DROP}"
    except Exception as error:  # stores, archives and protocols raise whatever they like
        return f"{uri}: cannot be fetched ({type(error).__name__}: {error})"
    return copy


def _ranges(count: int, done: Sequence[Range], trying: Range | None) -> list[Range]:
    """Return what is left as ranges of at most CHUNK photos; those at which a process died are halved, and come first."""
    left: list[Range] = []
    at = 0
    for first, last in [*sorted(done), (count, count)]:
        for start in range(at, first, CHUNK):
            left.append((start, min(start + CHUNK, first)))
        at = last
    if trying is None:
        return left
    halved: list[Range] = []
    for first, last in left:
        low, high = max(first, trying[0]), min(last, trying[1])
        if low >= high:
            halved.append((first, last))
            continue
        middle = (low + high) // 2
        cuts = [first, low, middle, high, last] if high - low > 1 else [first, low, high, last]
        halved += [(a, b) for a, b in pairwise(cuts) if b > a]
    return sorted(halved, key=lambda one: not (trying[0] <= one[0] < trying[1]))


def _done(folder: Path) -> list[Range]:
    found = [PART.fullmatch(file.name) for file in folder.iterdir()]
    return [(int(one[1]), int(one[2])) for one in found if one]


def photos_done(folder: Path) -> int:
    """Return how many photos are done of the shard whose parts lie in the folder."""
    try:
        return sum(last - first for first, last in _done(folder))
    except FileNotFoundError:  # it is whole by now
        return 0


def _part(folder: Path, first: int, last: int) -> Path:
    return folder / f"{first:09d}-{last:09d}.parquet"


def state_of(out: Path, shards: Sequence[int]) -> list[str]:
    """Return what tells whether anything has been done of these shards, by number: their files, and what markers say.

    Those of others do not count: other processes write them.
    """
    own = {f"part-{number:06d}" for number in shards}
    names = [one for one in sorted(out.glob("part-*")) if one.name[: len("part-000000")] in own]
    files = [str(file) for one in names for file in ([one] if one.is_file() else sorted(one.glob("*.parquet")))]
    markers = [one / TRYING for one in names if (one / TRYING).is_file()]
    return files + [marker.read_text(encoding="utf-8") for marker in markers]


def _trying(folder: Path) -> Range | None:
    """Return the photos at which an earlier process died."""
    marker = folder / TRYING
    content = json_object(marker) if marker.exists() else None
    return (int(content["first"]), int(content["last"])) if content else None
