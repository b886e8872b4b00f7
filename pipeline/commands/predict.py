"""The verb that finds garments in photos of any kind."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pipeline import load
from pipeline.contract.faults import UserError
from pipeline.contract.files import alone, write_text
from pipeline.contract.formats.results import YOLO, write_tables, yolo_data, yolo_labels
from pipeline.contract.garments import PhotoResult
from pipeline.contract.images import PictureOptions
from pipeline.contract.outputs import register_named
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.photos import PHOTOS, Photo, find_photos
from pipeline.engine.finder import Finder, Finding
from pipeline.engine.inference import Device
from pipeline.engine.ledger import Ledger, open_ledger
from pipeline.engine.manifest import CatalogueJob, predict_manifest
from pipeline.learning import ranks
from pipeline.learning.pairs import Weights
from pipeline.learning.placement import device_of
from pipeline.reporting.overlay import save_crops, save_overlay, save_video

log = logging.getLogger("pipeline")
CHUNK = 256
"""Photos that are predicted, drawn and written down together."""
OVERLAYS, LABELS, CROPS, PARTS, FRAMES = "overlays", "labels", "crops", ".parts", ".frames"


@dataclass(frozen=True)
class _Drawing:
    """What is made of each photo beside its line."""

    folder: Path
    schema: Schema
    overlays: bool
    crops: bool

    def of(self, photo: Photo, result: PhotoResult) -> None:
        """Write label, overlay and crops of a photo; nothing of one that could not be read."""
        if result.error:
            return
        name = _place(photo.name)
        write_text(self.folder / LABELS / _label_name(name, photo), yolo_labels(result, self.schema))
        picture = name if name.suffix.lower() in (".jpg", ".jpeg") else name.with_name(f"{name.name}.jpg")
        if self.overlays:
            save_overlay(photo.path, self.folder / OVERLAYS / picture, result, self.schema)
        if self.crops:
            save_crops(photo.path, self.folder / CROPS / picture, result)

    def of_videos(self, rates: dict[str, float]) -> None:
        """Join the overlays of each video, by the path as it was named, with the frames a second."""
        for name, rate in rates.items() if self.overlays else ():
            frames = self.folder / OVERLAYS / _place(name)
            if frames.is_dir():
                save_video(frames, frames.with_name(f"{frames.stem}-overlay.mp4"), rate)


def predict(
    source: Sequence[str] = (),
    /,
    *,
    out: Path,
    device: Device,
    pictures: PictureOptions,
    networks: Weights,
    finding: Finding,
    overlays: bool = True,
    save_crop: bool = False,
    every: int = 1,
    limit: int = 0,
    manifest: Path | None = None,
    shard: str = "1/1",
    shard_size: int = 10_000,
    schema: str = "fashionai",
    columns: str = "",
) -> None:
    """Find the garments in photos, with their categories and points; the same command goes on where it was.

    Args:
        source: photos, folders, patterns in quotes, .txt lists with a path a line, videos, or the number of a camera
        out: folder of the results: predictions.jsonl, garments.csv, COCO results, YOLO labels, overlays
        device: where the networks run; one device
        pictures: what a picture may cost
        networks: which networks predict
        finding: what counts as a garment, and how carefully its points are placed
        overlays: draw what was found on each photo
        save_crop: write the box of each garment as a picture
        every: of a video, take every such frame
        limit: rehearse on so many photos (0: all)
        manifest: instead of a source, a catalogue: Parquet or CSV with the columns id and uri, and perhaps category, whose
            finds alone are kept then; the results are Parquet files, one a shard
        shard: of a catalogue make only share I/N of the shards, such as 2/8, one of N processes
        shard_size: photos a shard
        schema: packaged schema, or a YAML file of your own
        columns: more columns of what is written: MODULE:OBJECT, a Column of pipeline.contract.outputs or a list of them, in a
            module of your own, such as mine:columns
    """
    if (manifest is None) == (not source):
        raise UserError("expected photos to predict, or a catalogue (--manifest), and not both")
    if manifest is not None:
        predict_manifest(
            CatalogueJob(manifest, out, shard, shard_size, device, pictures, networks, finding, schema, columns)
        )
        return
    if every < 1 or limit < 0:
        raise UserError(f"--every is {every}, --limit {limit}; expected 1 or more, and 0 or more")
    with alone(out, "choose another --out", enabled=ranks.is_zero()):
        loaded, pair = load_schema(schema), networks.pair(device_of(device))
        register_named(columns, loaded)
        finder = load.load_finder(pair, loaded, finding, device, pictures)
        photos = islice(find_photos(source, every, without=out), limit or None)
        _predict_photos(photos, finder, _Drawing(out, loaded, overlays, save_crop))


def _predict_photos(photos: Iterator[Photo], finder: Finder, drawing: _Drawing) -> None:
    """Find the garments of photos that users name, with everything that is made of each."""
    out, loaded = drawing.folder, drawing.schema
    ledger = open_ledger(out, finder.job)
    try:
        counts = _predict_all(photos, ledger, finder, drawing)
    finally:
        write_tables(out, (PhotoResult.from_dict(one, loaded) for one in ledger.results()), loaded)
        write_text(out / LABELS / YOLO, yolo_data(loaded))
    print(
        f"{out}: {counts['photos']} photos, {counts['done']} of them done before, {counts['garments']} garments in the rest"
    )
    if counts["unread"]:
        print(f"{counts['unread']} photos could not be read; {ledger.lines} says why")


def _predict_all(photos: Iterator[Photo], ledger: Ledger, finder: Finder, drawing: _Drawing) -> dict[str, int]:
    counts, videos = dict.fromkeys(("photos", "done", "garments", "unread"), 0), {}
    frames = ledger.folder / FRAMES
    shutil.rmtree(frames, ignore_errors=True)  # of a killed process
    frames.mkdir()
    try:
        while chunk := _next_chunk(photos, ledger, frames, counts):
            videos |= {photo.name.rpartition("/")[0]: photo.rate for photo in chunk if photo.rate}
            results = finder.find([one.name for one in chunk], [one.path for one in chunk], ledger.folder / PARTS)
            for photo, result in zip(chunk, results, strict=True):
                drawing.of(photo, result)
                counts["garments"] += len(result.garments)
                counts["unread"] += bool(result.error)
                if photo.path.parent == frames:
                    photo.path.unlink()
            ledger.append(
                [(one.as_dict(drawing.schema), photo.version) for photo, one in zip(chunk, results, strict=True)]
            )
            log.info("%d photos", counts["photos"])
    finally:
        shutil.rmtree(frames)
    drawing.of_videos(videos)
    return counts


def _next_chunk(photos: Iterator[Photo], ledger: Ledger, frames: Path, counts: dict[str, int]) -> list[Photo]:
    """Return the next photos that are not done yet, each once, and each with a file."""
    chunk: dict[str, Photo] = {}
    for photo in photos:
        counts["photos"] += 1
        if photo.name in chunk or ledger.holds(photo.name, photo.version):
            counts["done"] += 1
            continue
        chunk[photo.name] = photo.saved(frames)
        if len(chunk) == CHUNK:
            break
    return list(chunk.values())


def _place(name: str) -> PurePosixPath:
    """Return where the files of a photo go: its path as it was named, without what leads out of a folder."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..") and not part.endswith(":")]
    return PurePosixPath(*parts)


def _label_name(name: PurePosixPath, photo: Photo) -> PurePosixPath:
    """Return the photo's name in .txt, as YOLO wants it; with its own suffix where others differ by that alone."""
    alike = [] if photo.path is None else [photo.path.with_suffix(suffix) for suffix in PHOTOS]
    if sum(one.exists() for one in alike) > 1:
        return name.with_name(f"{name.name}.txt")
    return name.with_suffix(".txt")
