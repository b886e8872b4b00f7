"""One look at every picture before anything is trained: sizes, hashes of look and bytes, and what is wrong with it."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.images import PictureOptions, image_size, read_image
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from PIL import Image
from rich.progress import track

HASH_BITS = 64

FAR_OUTSIDE = 0.1
"""A point may lie outside its picture by this fraction of the longer side (cut garments); beyond, it is a fault."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the pictures found.

    `sizes_wh` (N, 2), perceptual `hashes` (N, 64) bool, `digests` SHA-256 of the bytes; `faults` by row. What could not be
    read has size 0, and no digest ("").
    """

    sizes_wh: np.ndarray
    hashes: np.ndarray
    digests: list[str]
    faults_by_row: dict[int, list[Fault]]

    @property
    def faults(self) -> list[Fault]:
        return [fault for faults in self.faults_by_row.values() for fault in faults]


def survey(
    rows: Sequence[ImageRow],
    track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
    options: PictureOptions | None = None,
) -> Survey:
    """Decode every picture once; `track(items, total)` may show the progress of iterating."""
    import imagehash  # here, with the scipy that it brings: predicting needs sizes alone

    sizes, hashes = np.zeros((len(rows), 2), dtype=int), np.zeros((len(rows), HASH_BITS), dtype=bool)
    digests, faults = [""] * len(rows), {}

    def look(index: int) -> list[Fault]:
        row = rows[index]
        try:
            picture = read_image(row.path, options)
        except DataError as error:
            return [_of_row(fault, row) for fault in error.faults]
        sizes[index], digests[index] = picture.size_wh, digest(row.path)
        hashes[index] = imagehash.phash(Image.fromarray(picture.pixels)).hash.ravel()
        return far_points(row, sizes[index]) if isinstance(row, Annotation) else []

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for index, found in enumerate(track(pool.map(look, range(len(rows))), len(rows))):
            if found:
                faults[index] = found
    finally:
        # After an interrupt, what has not begun shall not begin.
        pool.shutdown(cancel_futures=True)
    return Survey(sizes, hashes, digests, faults)


def digest(path: Path) -> str:
    """Return the SHA-256 of a picture's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_row(fault: Fault, row: ImageRow) -> Fault:
    """Say which row of a CSV asks for the picture, where one does."""
    if not row.csv:
        return fault
    return replace(fault, problem=f"{fault.problem} ({fault.file})", file=row.csv, row=row.csv_row, value=row.image_id)


def far_points(row: Annotation, size_wh: np.ndarray) -> list[Fault]:
    """Return a fault when a point lies far outside its picture, which is a slip of the pen and would spoil every mean."""
    slack = FAR_OUTSIDE * size_wh.max()
    far = row.present & ((row.xy < -slack) | (row.xy > size_wh + slack)).any(-1)
    if not far.any():
        return []
    x, y = row.xy[far][0]
    problem = f"point far outside its image (of {size_wh[0]} x {size_wh[1]} pixels)"
    remedy = f"expected 0 to {size_wh[0]} and 0 to {size_wh[1]}; correct the row or the picture"
    return [Fault(row.csv or row.image_id, problem, remedy, row.csv_row, value=f"{x:.0f}_{y:.0f} of {row.image_id}")]


def image_sizes(rows: Sequence[ImageRow], options: PictureOptions | None = None) -> np.ndarray:
    """Return the sizes_wh (N, 2) of the rows' pictures as EXIF turns them, mostly from their headers alone."""
    return np.array([image_size(row.path, options) for row in rows])


def progress(description: str) -> Callable[[Iterable, int], Iterable]:
    return lambda items, total: track(items, description, total)
