"""One look at every picture before anything is trained: sizes, perceptual hashes, and what is wrong with it."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from rich.progress import track

from pipeline.contract.faults import DataError, Fault
from pipeline.contract.images import read_image
from pipeline.contract.records import Annotation, ImageRow

HASH_BITS = 64


FAR_OUTSIDE = 0.1
"""A point may lie outside its picture by this fraction of the longer side (cut garments); beyond, it is a fault."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the pictures found: `sizes_wh` (N, 2), `hashes` (N, 64) bool, and the faults."""

    sizes_wh: np.ndarray
    hashes: np.ndarray
    faults: list[Fault]


def survey(rows: Sequence[ImageRow], track: Callable[[Iterable, int], Iterable] = lambda items, total: items) -> Survey:
    """Decode every picture once; `track(items, total)` may show the progress of iterating."""
    sizes, hashes = np.zeros((len(rows), 2), dtype=int), np.zeros((len(rows), HASH_BITS), dtype=bool)
    faults: list[Fault] = []

    def look(index: int) -> list[Fault]:
        row = rows[index]
        try:
            image = read_image(row.path)
        except DataError as error:
            return error.faults
        sizes[index] = image.shape[1], image.shape[0]
        hashes[index] = imagehash.phash(Image.fromarray(image)).hash.ravel()
        return far_points(row, sizes[index]) if isinstance(row, Annotation) else []

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in track(pool.map(look, range(len(rows))), len(rows)):
            faults.extend(found)
    return Survey(sizes, hashes, faults)


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


ORIENTATION = 0x0112  # the EXIF tag; values from 5 on turn by 90 degrees


def image_sizes(rows: Sequence[ImageRow]) -> np.ndarray:
    """Return the sizes_wh (N, 2) of the rows' pictures as EXIF turns them, from their headers alone."""
    sizes = []
    for row in rows:
        with Image.open(row.path) as image:
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            sizes.append(image.size[::-1] if turned else image.size)
    return np.array(sizes)


def progress(description: str) -> Callable[[Iterable, int], Iterable]:
    return lambda items, total: track(items, description, total)
