"""Draw the sample dataset."""

from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.sample.write import draw_dataset


def sample(out: Path, train: int = 400, test: int = 100, seed: int = 0, size: int = 384) -> None:
    """Draw a dataset of garments with exactly known points.

    Args:
        out: new folder; gets train/ and test/
        train: training images
        test: test images
        seed: the same seed draws the same pictures
        size: longer side of a picture in pixels
    """
    most = {"train": (train, 1_000_000), "test": (test, 1_000_000), "seed": (seed, 2**32 - 1), "size": (size, 4096)}
    for name, (value, largest) in most.items():
        if not 0 <= value <= largest:
            raise UserError(f"--{name} is {value}; expected 0 to {largest}")
    draw_dataset(out, train, test, seed, size)
