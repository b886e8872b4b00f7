"""The shards of a catalogue: each is a file of its own, made in a process of its own, which may die without harm."""

import hashlib
import json
import logging
import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import BusyError, UserError
from garment_keypoints.pipeline.contract.files import alone
from garment_keypoints.pipeline.contract.formats.catalogue import Manifest, any_read, open_manifest
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.outputs import added_names, register_named
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.engine.catalogue import ShardJob, predict_shard, state_of
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.predictor import DetectionOptions, load_predictor
from garment_keypoints.pipeline.learning.pairs import Weights
from garment_keypoints.pipeline.learning.placement import one_device
from garment_keypoints.pipeline.runs.claims import claim
from garment_keypoints.pipeline.runs.signals import interruptible

log = logging.getLogger("garment_keypoints")
SHARD = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
DEATHS = 2
"""So often a process may die at the same place before that is taken for a fault of something else than a photo."""
GRACE_S = 5
"""Seconds for the process to end by itself after Ctrl-C."""
FINISHED, REFUSED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class CatalogueJob:
    """What a process needs to make its shards."""

    manifest: Path
    out: Path
    shard: str
    shard_size: int
    device: Device
    pictures: PictureOptions
    networks: Weights
    detection: DetectionOptions
    schema: str
    columns: str = ""

    def own(self, count: int) -> list[int]:
        """Return the numbers of the shards, of a manifest of `count` photos, that this process makes."""
        found = SHARD.fullmatch(self.shard)
        number, of = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= of:
            raise UserError(f"--shard is {self.shard!r}; expected I/N, share I of N, such as 1/4 to 4/4")
        return list(range(number - 1, -(-count // self.shard_size), of))


def predict_manifest(job: CatalogueJob) -> bool:
    """Make the shards of the job, each as one Parquet file; those that are there are kept. Tell whether any photo could be read.

    A process that dies is started again as long as it gets on; a photo that it dies of is written down as an error.
    """
    if job.shard_size < 1:
        raise UserError(f"--shard_size is {job.shard_size}; expected 1 or more")
    manifest = open_manifest(job.manifest)
    own = job.own(len(manifest))
    manifest.refuse_repeated_ids()
    job.out.mkdir(parents=True, exist_ok=True)
    before, deaths = state_of(job.out, own), 0
    while True:
        ended, message = _in_a_process(job)
        if ended == FINISHED:
            break
        if ended == INTERRUPTED:
            raise KeyboardInterrupt
        if ended == REFUSED:
            raise UserError(message)
        after = state_of(job.out, own)
        deaths, before = (deaths + 1 if after == before else 0), after
        if deaths == DEATHS:
            raise UserError(
                f"the process that predicts died {deaths} times ({_cause(ended)}) without getting on; is there enough "
                "memory for the networks? Smaller --batch_size and --workers need less"
            )
        log.warning("the process that predicts died (%s); it goes on with smaller steps", _cause(ended))
    there = sorted(job.out.glob("part-*.parquet"))
    print(
        f"{job.out}: {len(there)} of {-(-len(manifest) // job.shard_size)} shards are there, {len(own)} of this share"
    )
    return any_read_of(job.out, own)


def any_read_of(out: Path, shards: Sequence[int]) -> bool:
    """Tell whether any photo of these shards could be read, and say if none could; one that is not there yet may have some."""
    own = [next(out.glob(f"part-{number:06d}-*.parquet"), None) for number in shards]
    if not own or None in own or any_read(filter(None, own)):
        return True
    print("no photo could be read; the column error says why")
    return False


def _in_a_process(job: CatalogueJob) -> tuple[int, str]:
    """Run the job in a process of its own; return how it ended, negative for a signal, and what it had to say."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender))
    process.start()
    sender.close()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join(GRACE_S)  # a terminal has told it as well; it keeps what is done
        if process.is_alive():  # a signal to this process alone
            process.terminate()
            process.join()
        raise
    try:
        message = receiver.recv()
    except EOFError:  # it had nothing to say
        message = ""
    return process.exitcode or FINISHED, message


def _work(job: CatalogueJob, sender: Any) -> None:
    """Make the shards; what runs in the process of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with interruptible():
        try:
            _make(job)
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)
        except (UserError, OSError) as error:
            sender.send(str(error))
            os._exit(REFUSED)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(INTERRUPTED)


def _make(job: CatalogueJob) -> None:
    maker = ShardMaker(job)
    own = job.own(maker.count)
    for number in own:
        if maker.out(number).exists():
            continue
        try:
            maker.make(number, _telling(f"shard {number}, {len(own)} of this share", maker.size(number)))
        except BusyError as error:
            log.info("shard %d: left to the process that is at it (%s)", number, error)


class ShardMaker:
    """Makes shards of a job, by number, with networks that are loaded once."""

    def __init__(self, job: CatalogueJob) -> None:
        self.job, self.schema = job, load_schema(job.schema)
        register_named(job.columns, self.schema)
        pair = job.networks.pair(one_device(job.device))
        self.predictor = load_predictor(pair, self.schema, job.detection, job.device, job.pictures)
        self.manifest = open_manifest(job.manifest)
        self.count = len(self.manifest)
        self.decides = json.loads(json.dumps(self.predictor.job | added_names()))
        claim(job.out, self.decides | {"manifest": _fingerprint(self.manifest), "shard_size": job.shard_size})
        self.digest = hashlib.sha256(json.dumps(self.decides, sort_keys=True).encode()).hexdigest()[:8]

    def out(self, number: int) -> Path:
        return self.job.out / f"part-{number:06d}-{self.digest}.parquet"

    def size(self, number: int) -> int:
        """Return how many photos a shard has."""
        return min(self.count, (number + 1) * self.job.shard_size) - number * self.job.shard_size

    def make(self, number: int, advance: Callable[[int], None] = lambda count: None) -> None:
        """Make a shard, or what is left of it; raises BusyError when another process is at it."""
        out, first = self.out(number), number * self.job.shard_size
        with alone(out):
            entries = self.manifest.entries(first, first + self.size(number), self.schema)
            root, most = self.job.manifest.parent, self.job.pictures.max_megabytes
            shard = ShardJob(entries, out, json.dumps(self.decides), self.schema, root, most)
            predict_shard(shard, self.predictor.find, advance)


def _telling(what: str, photos: int) -> Callable[[int], None]:
    """Return what tells how far a shard is, given how many photos more are done."""
    done, start = [], time.monotonic()

    def advance(count: int) -> None:
        done.append(count)
        rate = sum(done) / max(1e-3, time.monotonic() - start)
        log.info("%s: %d of %d photos, %.1f a second", what, sum(done), photos, rate)

    return advance


def _fingerprint(manifest: Manifest) -> str:
    """Return a hash of the manifest's size and ends: a longer one, or another one, would cut other shards."""
    size = manifest.file.stat().st_size
    with manifest.file.open("rb") as file:
        ends = file.read(2**20)
        file.seek(max(0, size - 2**20))
        ends += file.read()
    return hashlib.sha256(str(size).encode() + ends).hexdigest()[:16]


def _cause(exitcode: int) -> str:
    return (
        f"signal {-exitcode}" + (", perhaps for want of memory" if exitcode == -9 else "")
        if exitcode < 0
        else f"{exitcode}"
    )
