"""The verb that measures how many pictures a second a training could be given, with no network behind the loader."""

import time
from collections.abc import Sequence
from pathlib import Path

from garment_keypoints.keypoints.config import KeypointsAugmentConfig
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.lab.gpu_kit.settings import cores
from garment_keypoints.pipeline.learning.loading import ImageDataset, StepBatchSampler, loader
from garment_keypoints.pipeline.learning.photometric import Photometric
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import write_json

ENDLESS = 1_000_000
"""Steps of a loader that is ended by the clock."""


def gpu_feed(
    data: Sequence[Path], out: Path, seconds: float = 5.0, batch: int = 16, workers: int = 0, schema: str = "fashionai"
) -> None:
    """Measure pictures a second from file, and from memory, to a batch with its colours changed, without a network.

    Args:
        data: train roots: folders with Annotations/*.csv and Images/
        out: JSON for the figures
        seconds: how long each is measured
        batch: pictures a batch
        workers: processes that decode and change colours (0: one a core)
        schema: packaged schema, or a YAML file of your own
    """
    rows, workers, made = read_annotations(data, load_schema(schema)), workers or cores(), {}
    augment = KeypointsAugmentConfig()
    photometric = Photometric(augment.brightness, augment.contrast, augment.blur, augment.noise)
    for name in ("decoded each time", "in memory"):
        dataset, start = ImageDataset(rows, [0] * len(rows), photometric), time.perf_counter()
        if name == "in memory":
            dataset.keep()
        ready = time.perf_counter() - start
        made[name] = {"pictures_per_second": fed(dataset, batch, workers, seconds), "decoded_first_s": ready}
    table = [[name, f"{one['pictures_per_second']:.0f}", f"{one['decoded_first_s']:.1f}"] for name, one in made.items()]
    text = f"{workers} workers, batches of {batch}, {len(rows)} pictures, no network behind them.\n\n"
    text += as_table(["pictures", "a second", "decoded before, s"], table)
    write_json(out, {"fed": made, "workers": workers, "batch": batch, "text": text})
    print(text)


def fed(dataset: ImageDataset, batch: int, workers: int, seconds: float) -> float:
    """Return the pictures a second that the workers deliver, after a first batch of each."""
    batches = iter(loader(dataset, StepBatchSampler(len(dataset), batch, ENDLESS, seed=0), workers))
    for _ in range(max(1, workers)):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        count += batch
    return count / (time.perf_counter() - start)
