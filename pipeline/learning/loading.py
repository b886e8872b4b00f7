"""Load full images in batches, resumable to the step: what a training step sees depends on the seed and the step alone."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.contract.faults import UserError
from pipeline.contract.images import read_image
from pipeline.contract.records import ImageBatch, ImageRow

UNIFORMS = 32

Item = tuple[np.ndarray, int, int, np.ndarray]
ColourChange = Callable[[np.ndarray, int], np.ndarray]


class ImageDataset(Dataset[Item]):
    """Decoded pictures of the rows. `photometric(image, seed)` changes colours only, never geometry."""

    def __init__(
        self, rows: Sequence[ImageRow], category: Sequence[int], photometric: ColourChange | None = None
    ) -> None:
        self.rows, self.category, self.photometric = rows, category, photometric

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        index, seed = key if isinstance(key, tuple) else (key, 0)
        image = read_image(self.rows[index].path)
        if self.photometric is not None:
            image = self.photometric(image, seed)
        return image, self.category[index], index, np.random.default_rng(seed).random(UNIFORMS)


def collate(items: Sequence[Item]) -> ImageBatch:
    """Pad pictures at the right and bottom to the largest of the batch."""
    images, category, index, uniform = zip(*items, strict=True)
    height, width = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    padded = torch.zeros(len(images), 3, height, width, dtype=torch.uint8)
    for target, image in zip(padded, images, strict=True):
        target[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(image).permute(2, 0, 1)
    return ImageBatch(
        images=padded,
        sizes_wh=torch.tensor([(i.shape[1], i.shape[0]) for i in images]),
        category=torch.tensor(category),
        index=torch.tensor(index),
        uniform=torch.from_numpy(np.stack(uniform)).float(),
    )


class StepBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yield batches of (index, seed) from `start_step` to `total_steps`, the same whenever training is resumed.

    Each pass over the data has its own order; a batch that runs over the end of a pass takes the rest from the next. Its
    length is that of the whole training, since Lightning counts a resumed run from there. `batch_size` is that of all ranks
    together; each takes its share of every batch, and shares differ by one image where they do not come out even.
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
    ) -> None:
        if num_items < 1:
            raise UserError("there is no row to train on")
        if batch_size < world_size:
            raise UserError(
                f"batch_size is {batch_size} for all devices together, and there are {world_size}; "
                "expected at least one image a device: raise batch_size, or use fewer devices"
            )
        self.num_items, self.batch_size, self.total_steps = num_items, batch_size, total_steps
        self.seed, self.start_step, self.rank, self.world_size = seed, start_step, rank, world_size

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
            self._turn, self._order = turn, np.random.default_rng([self.seed, turn]).permutation(self.num_items)
        seed = int(np.random.SeedSequence([self.seed, position]).generate_state(1)[0])
        return int(self._order[place]), seed


def train_loader(dataset: ImageDataset, sampler: StepBatchSampler, workers: int) -> "DataLoader[Item]":
    """Loader for training: endless passes in the sampler's order."""
    return DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers, pin_memory=torch.cuda.is_available()
    )


def plain_loader(dataset: ImageDataset, batch_size: int, workers: int) -> "DataLoader[Item]":
    """Loader in the order of the rows, each once: for validation and prediction."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
