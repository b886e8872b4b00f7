"""Load full images in batches, resumable to the step: what a training step sees depends on the seed and the step alone.

A picture that cannot be read travels from the loader's worker as what it is, a DataError; torch would hand on its text.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.images import Picture, PictureOptions, read_image
from garment_keypoints.pipeline.contract.records import ImageBatch, ImageRow
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler

UNIFORMS = 32
"""Random numbers of a draw, of which each stage names its own (keypoints.augment, detector.data); more than any needs."""

Item = tuple[Picture, int, int, np.ndarray]
Unread = tuple[int, DataError]
"""The row of a picture that cannot be read, and why."""
ColourChange = Callable[[np.ndarray, int], np.ndarray]


class ImageDataset(Dataset[Item]):
    """Decoded pictures of the rows. `photometric(image, seed)` changes colours only, never geometry."""

    def __init__(
        self,
        rows: Sequence[ImageRow],
        category: Sequence[int],
        photometric: ColourChange | None = None,
        options: PictureOptions | None = None,
    ) -> None:
        self.rows, self.category, self.photometric, self.options = rows, category, photometric, options
        self.kept: list[Picture] = []

    def keep(self) -> None:
        """Decode every picture now and keep them in memory, which forked workers share; reading costs no decoding then.

        Raises DataError for the first that cannot be read.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.kept = list(pool.map(lambda row: read_image(row.path, self.options), self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        index, seed = key if isinstance(key, tuple) else (key, 0)
        picture = self.kept[index] if self.kept else read_image(self.rows[index].path, self.options)
        if self.photometric is not None:
            picture = replace(picture, pixels=self.photometric(picture.pixels, seed))
        return picture, self.category[index], index, np.random.default_rng(seed).random(UNIFORMS)

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[Item | Unread]:
        """What torch's loaders call: the items of a batch, and what could not be read."""
        items: list[Item | Unread] = []
        for key in keys:
            try:
                items.append(self[key])
            except DataError as error:
                items.append((key[0] if isinstance(key, tuple) else key, error))
        return items


def collate(items: Sequence[Item]) -> ImageBatch:
    """Pad pictures at the right and bottom to the largest of the batch."""
    pictures, category, index, uniform = zip(*items, strict=True)
    images = [picture.pixels for picture in pictures]
    height, width = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    padded = torch.zeros(len(images), 3, height, width, dtype=torch.uint8)
    for target, image in zip(padded, images, strict=True):
        target[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(image).permute(2, 0, 1)
    return ImageBatch(
        images=padded,
        sizes_wh=torch.tensor([picture.size_wh for picture in pictures]),
        category=torch.tensor(category),
        index=torch.tensor(index),
        uniform=torch.from_numpy(np.stack(uniform)).float(),
        reduced=torch.tensor([picture.reduced for picture in pictures]),
    )


def _collate_read(items: Sequence[Item | Unread]) -> tuple[ImageBatch | None, list[Unread]]:
    unread = [item for item in items if isinstance(item[1], DataError)]
    read = [item for item in items if not isinstance(item[1], DataError)]
    return (collate(read) if read else None), unread


class Batches:
    """The batches of a loader. What cannot be read is raised, or given to `skip` (row, why), and its batch lacks it.

    No DataLoader itself, so that Lightning takes it as it is.
    """

    def __init__(self, loader: DataLoader, skip: Callable[[int, DataError], None] | None = None) -> None:
        self.loader, self.skip = loader, skip

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[ImageBatch]:
        for batch, unread in self.loader:
            if unread and self.skip is None:
                raise DataError([fault for _, error in unread for fault in error.faults])
            for index, error in unread:
                self.skip(index, error)
            if batch is not None:
                yield batch


class StepBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yield batches of (index, seed) from `start_step` to `total_steps`, the same whenever training is resumed.

    Each pass over the data has its own order; a batch that runs over the end of a pass takes the rest from the next. Its
    length is that of the whole training, since Lightning counts a resumed run from there. `batch_size` is that of all ranks
    together; each takes its share of every batch, and shares differ by one image where they do not come out even. With
    `groups` (N,) the rows of a batch are of one group, but for those that are left when each group is cut into batches.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        total_steps: int,
        seed: int,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        groups: np.ndarray | None = None,
    ) -> None:
        if num_items < 1:
            raise UserError("there is no row to train on")
        check_shares(batch_size, world_size)
        self.num_items, self.batch_size, self.total_steps = num_items, batch_size, total_steps
        self.seed, self.start_step, self.rank, self.world_size = seed, start_step, rank, world_size
        self.groups = groups

    def __len__(self) -> int:
        return self.total_steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first, last = (self.batch_size * rank // self.world_size for rank in (self.rank, self.rank + 1))
        for step in range(self.start_step, self.total_steps):
            start = step * self.batch_size
            yield [self._draw(position) for position in range(start + first, start + last)]

    def _draw(self, position: int) -> tuple[int, int]:
        turn, place = divmod(position, self.num_items)
        if getattr(self, "_turn", None) != turn:
            self._turn, self._order = turn, self._shuffled(turn)
        seed = int(np.random.SeedSequence([self.seed, position]).generate_state(1)[0])
        return int(self._order[place]), seed

    def _shuffled(self, turn: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, turn])
        order = rng.permutation(self.num_items)
        if self.groups is None:
            return order
        batches, rest = [], order[:0]
        for group in np.unique(self.groups):
            members = order[self.groups[order] == group]
            whole = len(members) - len(members) % self.batch_size
            batches += np.split(members[:whole], whole // self.batch_size) if whole else []
            rest = np.concatenate([rest, members[whole:]])
        batches = [batches[i] for i in rng.permutation(len(batches))]
        # The last batch of the pass before takes so many rows.
        lead = -turn * self.num_items % self.batch_size
        while len(rest) < lead:
            rest = np.concatenate([rest, batches.pop()])
        return np.concatenate([rest[:lead], *batches, rest[lead:]])


def check_shares(batch_size: int, world_size: int) -> None:
    """Raise UserError when not every rank gets an image of each batch."""
    if batch_size < world_size:
        raise UserError(
            f"batch_size is {batch_size} for all devices together, and there are {world_size}; "
            "expected at least one image a device: raise batch_size, or use fewer devices"
        )


def pixel_batches(
    sized: Iterable[tuple[Any, tuple[int, int]]], batch_size: int, max_pixels: float
) -> Iterator[list[Any]]:
    """Cut items, each with the size_wh of its decoded picture, into batches of at most `batch_size` and, padded, `max_pixels`.

    One that is larger than the limit is alone. A batch comes as soon as it is full.
    """
    batch, width, height = [], 0, 0
    for item, (w, h) in sized:
        width, height = max(width, w), max(height, h)
        if batch and (len(batch) + 1) * width * height > max_pixels:
            yield batch
            batch, width, height = [], w, h
        batch.append(item)
        if len(batch) == batch_size:
            yield batch
            batch, width, height = [], 0, 0
    if batch:
        yield batch


class PixelBatchSampler(Sampler[list[int]]):
    """Yield the rows once, in their order, in `pixel_batches`.

    sizes_wh (N, 2) are those of the decoded pictures. Of several ranks each takes every so-many-th row; one that is left without
    any takes the first, since no rank may stand idle.
    """

    def __init__(
        self, sizes_wh: np.ndarray, batch_size: int, max_pixels: float, rank: int = 0, world_size: int = 1
    ) -> None:
        own = range(len(sizes_wh))[rank::world_size] or range(1)
        sized = ((index, tuple(sizes_wh[index].tolist())) for index in own)
        self.batches = list(pixel_batches(sized, batch_size, max_pixels))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def loader(
    dataset: Dataset, sampler: Sampler, workers: int, skip: Callable[[int, DataError], None] | None = None
) -> Batches:
    """Load the batches that `sampler` names, in `workers` processes."""
    return Batches(
        DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=_collate_read,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
        ),
        skip,
    )


def plain_loader(dataset: ImageDataset, batch_size: int, workers: int) -> Batches:
    """Loader in the order of the rows, each once, so many a batch: for validation."""
    return loader(dataset, BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False), workers)
