"""Folds: by hash of the file's base name, with near-duplicates kept together. Fold 0 is `val`."""

import hashlib
from collections.abc import Sequence

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.data.survey import HASH_BITS

NEAR_BITS = 6
"""Pictures whose perceptual hashes differ in at most so many of 64 bits count as the same."""


def assign_folds(rows: Sequence[ImageRow], folds: int, hashes: np.ndarray) -> np.ndarray:
    """Return the fold (N,) of each row; `hashes` (N, 64) are the survey's.

    A row's fold follows from its file name, so that it stays when other rows come or go; near-duplicates share the fold
    of the first name among them.
    """
    if folds < 2:
        raise UserError(f"folds is {folds}; boxes out of fold need 2 or more")
    if len(rows) < folds:
        raise UserError(f"{len(rows)} images cannot be split into {folds} folds")
    names = np.array([row.path.name for row in rows])
    groups = near_duplicates(hashes)
    first: dict[int, str] = {}
    for group, name in zip(groups, names, strict=True):
        first[group] = min(name, first.get(group, name))
    assigned = np.array([_bucket(first[group], folds) for group in groups])
    empty = sorted(set(range(folds)) - set(assigned.tolist()))
    if empty:
        raise UserError(f"fold {empty[0]} of {folds} has no image; use fewer folds or more images ({len(rows)})")
    return assigned


def near_duplicates(hashes: np.ndarray) -> np.ndarray:
    """Number the groups (N,) of rows connected by perceptual hashes (N, 64) at most NEAR_BITS apart."""
    from scipy.sparse import coo_array  # here: predicting has no folds
    from scipy.sparse.csgraph import connected_components

    pairs = [np.stack([np.arange(len(hashes))] * 2, 1)]
    # Of NEAR_BITS + 1 bands, at least one is the same in both; so only rows that share a band need to be compared.
    for band in np.array_split(np.arange(HASH_BITS), NEAR_BITS + 1):
        _, bucket = np.unique(hashes[:, band], axis=0, return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(bucket[order])) + 1):
            signs = hashes[rows].astype(np.float32) * 2 - 1
            # For signs a and b, a . b = bits - 2 * (number of differing bits).
            near = np.argwhere(signs @ signs.T >= HASH_BITS - 2 * NEAR_BITS)
            pairs.append(rows[near])
    left, right = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def _bucket(name: str, folds: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % folds
