"""Folds: by hash of the file's base name, with near-duplicates kept together. Fold 0 is `val`.

Looking for near-duplicates means decoding every picture, which finds the unreadable ones and points far outside their
picture as well: one pass before training.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.contract.faults import DataError, Fault
from pipeline.contract.images import read_image
from pipeline.contract.records import Annotation, ImageRow

HASH_BITS = 64
NEAR_BITS = 6
"""Pictures whose perceptual hashes differ in at most so many of 64 bits count as the same."""
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
        return _far_points(row, sizes[index]) if isinstance(row, Annotation) else []

    with ThreadPoolExecutor(2) as pool:
        for found in track(pool.map(look, range(len(rows))), len(rows)):
            faults.extend(found)
    return Survey(sizes, hashes, faults)


def assign_folds(rows: Sequence[ImageRow], folds: int, hashes: np.ndarray) -> np.ndarray:
    """Return the fold (N,) of each row; `hashes` (N, 64) are the survey's.

    A row's fold follows from its file name, so that it stays when other rows come or go; near-duplicates share the fold
    of the first name among them.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}; boxes out of fold need 2 or more")
    if len(rows) < folds:
        raise ValueError(f"{len(rows)} images cannot be split into {folds} folds")
    names = np.array([row.path.name for row in rows])
    groups = near_duplicates(hashes)
    first: dict[int, str] = {}
    for group, name in zip(groups, names, strict=True):
        first[group] = min(name, first.get(group, name))
    assigned = np.array([_bucket(first[group], folds) for group in groups])
    empty = sorted(set(range(folds)) - set(assigned.tolist()))
    if empty:
        raise ValueError(f"fold {empty[0]} of {folds} has no image; use fewer folds or more images ({len(rows)})")
    return assigned


def near_duplicates(hashes: np.ndarray) -> np.ndarray:
    """Number the groups (N,) of rows connected by perceptual hashes (N, 64) at most NEAR_BITS apart."""
    signs = hashes.astype(np.float32) * 2 - 1
    pairs = []
    for start in range(0, len(hashes), 2048):
        # For signs a and b, a . b = bits - 2 * (number of differing bits).
        near = signs[start : start + 2048] @ signs.T >= HASH_BITS - 2 * NEAR_BITS
        pairs.append(np.argwhere(near) + np.array([start, 0]))
    left, right = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def _bucket(name: str, folds: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % folds


def _far_points(row: Annotation, size_wh: np.ndarray) -> list[Fault]:
    slack = FAR_OUTSIDE * size_wh.max()
    far = row.present & ((row.xy < -slack) | (row.xy > size_wh + slack)).any(-1)
    if not far.any():
        return []
    x, y = row.xy[far][0]
    problem = f"point far outside its image (of {size_wh[0]} x {size_wh[1]} pixels)"
    remedy = f"expected 0 to {size_wh[0]} and 0 to {size_wh[1]}; correct the row or the picture"
    return [Fault(row.csv or row.image_id, problem, remedy, row.csv_row, value=f"{x:.0f}_{y:.0f} of {row.image_id}")]
