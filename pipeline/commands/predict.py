"""The verb that finds garments in photos of any kind."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.files import alone
from garment_keypoints.pipeline.contract.formats.results import write_tables
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.outputs import register_named
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.photos import Photo, find_photos
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.ledger import Ledger, open_ledger
from garment_keypoints.pipeline.engine.manifest import CatalogueJob, predict_manifest
from garment_keypoints.pipeline.engine.predictor import DetectionOptions, Predictor, load_predictor
from garment_keypoints.pipeline.learning.pairs import Weights
from garment_keypoints.pipeline.learning.placement import one_device
from garment_keypoints.pipeline.reporting.photo_files import PhotoFiles

log = logging.getLogger("garment_keypoints")
TELL_S = 10.0
"""Seconds between two lines of progress."""
OF_PHOTOS = {"limit": 0, "every": 1, "save_crop": False}
OF_CATALOGUES = {"shard": "1/1", "shard_size": 10_000}
"""Options that say nothing about the other kind of source, with their defaults."""


def predict(
    source: Sequence[str] = (),
    /,
    *,
    out: Path = Path("predictions"),
    device: Device,
    pictures: PictureOptions,
    networks: Weights,
    detection: DetectionOptions,
    overlays: bool = True,
    save_crop: bool = False,
    every: int = 1,
    limit: int = 0,
    manifest: Path | None = None,
    shard: str = "1/1",
    shard_size: int = 10_000,
    schema: str = "fashionai",
    columns: str = "",
) -> bool:
    """Find the garments in photos, with their categories and points; the same command goes on where it was.

    The exit status is 1 when no photo could be read.

    Args:
        source: photos, folders, patterns in quotes, .txt lists with a path a line, videos, or the number of a camera
        out: folder of the results: predictions.jsonl, garments.csv, COCO results, YOLO labels, overlays
        device: where the networks run; one device
        pictures: what a picture may cost
        networks: which networks predict
        detection: what counts as a garment, and how carefully its points are placed
        overlays: draw what was found on each photo
        save_crop: write the box of each garment as a picture
        every: of a video, take every such frame
        limit: rehearse on so many photos (0: all)
        manifest: instead of a source, a catalogue: Parquet or CSV with the columns id and uri, and perhaps category, whose
            garments alone are kept then; the results are Parquet files, one a shard
        shard: of a catalogue make only share I/N of the shards, such as 2/8, one of N processes
        shard_size: photos a shard
        schema: packaged schema, or a YAML file of your own
        columns: more columns of what is written: MODULE:OBJECT in a module of your own, such as mine:columns, that is a Column of
            garment_keypoints.pipeline.contract.outputs or a list of them
    """
    if (manifest is None) == (not source):
        raise UserError("expected photos to predict, or a catalogue (--manifest), and not both")
    if manifest is not None:
        _refuse("--manifest; cut the manifest itself", OF_PHOTOS, limit=limit, every=every, save_crop=save_crop)
        return predict_manifest(
            CatalogueJob(manifest, out, shard, shard_size, device, pictures, networks, detection, schema, columns)
        )
    _refuse("photos that are named; they are for a --manifest", OF_CATALOGUES, shard=shard, shard_size=shard_size)
    if every < 1 or limit < 0:
        raise UserError(f"--every is {every}, --limit {limit}; expected 1 or more, and 0 or more")
    with alone(out, "choose another --out"):
        loaded, pair = load_schema(schema), networks.pair(one_device(device))
        register_named(columns, loaded)
        predictor = load_predictor(pair, loaded, detection, device, pictures)
        photos = islice(find_photos(source, every, out, pictures), limit or None)
        return _predict_photos(photos, predictor, PhotoFiles(out, loaded, overlays, save_crop))


def _refuse(source: str, defaults: dict[str, object], **options: object) -> None:
    """Refuse options that would be ignored."""
    for name, value in options.items():
        if value != defaults[name]:
            raise UserError(f"--{name} is {value}, which says nothing about {source}, or leave --{name} out")


@dataclass
class _Run:
    """Photos on their way to the ledger: `waiting` are those that the predictor has taken, with their versions and rates."""

    predictor: Predictor
    ledger: Ledger
    files: PhotoFiles
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def predict(self, photos: Iterator[Photo]) -> None:
        """Write the lines of a batch as soon as they are there, and then what is drawn of them."""
        told, schema = time.monotonic(), self.predictor.schema
        for results in self.predictor.batches(self._not_done(photos)):
            lines, places = [], []
            for result in results:
                (version, rate), line = self.waiting.pop(result.photo), result.as_dict(schema)
                if not result.error:
                    places.append(self.files.place(line, rate))
                    self.files.outdate(places[-1])
                lines.append((line, version))
            self.ledger.append(lines)
            read = [(result, line) for result, (line, _) in zip(results, lines, strict=True) if not result.error]
            for place, (result, line) in zip(places, read, strict=True):
                # From its line, which is rounded: the same as when an interrupt comes between the two.
                self.files.write(place, PhotoResult.from_dict(line, schema), result.picture)
                self.counts["garments"] += len(result.garments)
            self.counts["read"] += len(read)
            self.counts["unread"] += len(results) - len(read)
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                log.info("%d photos", self.counts["photos"] - len(self.waiting))

    def _not_done(self, photos: Iterator[Photo]) -> Iterator[Photo]:
        """Yield the photos that are not done yet, each once; of those that are, make the files that are missing."""
        for photo in photos:
            if photo.name in self.waiting or self.ledger.is_new(photo.name, photo.version):
                continue  # it was named before
            self.counts["photos"] += 1
            known = self.ledger.result(photo.name, photo.version)
            if known is None:
                self.waiting[photo.name] = photo.version, photo.rate
                yield photo
                continue
            self.counts.update(("read", "done"))
            self._complete(photo, known)

    def _complete(self, photo: Photo, line: dict[str, Any]) -> None:
        place = self.files.place(line, photo.rate)
        if not self.files.lack(place, line):
            return
        self.files.tidy(place)
        result = PhotoResult.from_dict(line, self.predictor.schema)
        try:
            self.files.write(place, result, self.predictor.read(photo))
        except DataError as error:
            log.warning("%s: nothing is drawn of it", error.faults[0])


def _predict_photos(photos: Iterator[Photo], predictor: Predictor, files: PhotoFiles) -> bool:
    """Find the garments of photos that users name, with everything that is made of each; tell whether any could be read."""
    out, schema = files.folder, predictor.schema
    run = _Run(predictor, open_ledger(out, predictor.job, schema, files.keep), files)
    try:
        run.predict(photos)
    finally:
        write_tables(out, (PhotoResult.from_dict(one, schema) for one in run.ledger.results()), schema)
    files.finish()
    counts = run.counts
    print(
        f"{out}: {counts['photos']} photos, {counts['done']} of them done before, {counts['garments']} garments in the rest"
    )
    if counts["unread"]:
        print(f"{counts['unread']} photos could not be read; {run.ledger.lines} says why")
    if files.lacking:
        print(f"{files.lacking} photos lack labels or pictures; the warnings above say why")
    if not counts["photos"]:
        raise UserError("there was no photo in what was named")
    return counts["read"] > 0
