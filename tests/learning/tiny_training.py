"""A training of seconds, with everything that a real one has: batches by step, dropout, BatchNorm, schedule, averaging.

`python -m tests.learning.tiny_training IMAGES RUN STEP` starts it and kills itself before the step, as a power cut would.
With a number of devices as a fourth argument it runs on so many, without dropout, and each rank writes what it saw.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from garment_keypoints.pipeline.contract.records import ImageBatch, ImageRow
from garment_keypoints.pipeline.learning.fit import fit
from garment_keypoints.pipeline.learning.loading import ImageDataset, plain_loader
from garment_keypoints.pipeline.learning.optimizer import build_optimizer
from garment_keypoints.pipeline.learning.options import TrainOptions
from garment_keypoints.pipeline.learning.shares import share
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

COUNT, STEPS, SAVE_EVERY, DECAY = 11, 11, 4, 0.5 ** (1 / (0.3 * 11))


def options(**changes: object) -> TrainOptions:
    base = {"epochs": 3, "batch_size": 3, "save_every": SAVE_EVERY, "workers": 0, "accelerator": "cpu", "ema": 0.3}
    return TrainOptions(**(base | changes))  # type: ignore[arg-type]


class Tiny(pl.LightningModule):
    """Notes which rows each step saw and the weights after it."""

    def __init__(self, die_at: int = -1, dropout: float = 0.3) -> None:
        super().__init__()
        # No bias before BatchNorm: its gradient is rounding noise, of which Adam makes whole steps.
        first = nn.Conv2d(3, 6, 3, 2, bias=False)
        self.network = nn.Sequential(first, nn.BatchNorm2d(6), nn.Dropout(dropout), nn.Conv2d(6, 2, 3))
        self.die_at = die_at
        self.rows: list[tuple[int, list[int]]] = []
        self.weights: list[dict[str, Tensor]] = []

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        if self.trainer.global_step == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.rows.append((self.trainer.global_step, batch.index.tolist()))
        noisy = batch.images.float() / 255 + batch.uniform[:, :1, None, None].float()
        loss = (self.network(noisy) - 1).square().mean() * share(torch.tensor(float(len(batch))))
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, outputs: object, batch: ImageBatch, batch_idx: int) -> None:
        self.weights.append({name: value.clone() for name, value in self.network.state_dict().items()})

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self.log("watched", self.network(batch.images.float()).mean())

    def configure_optimizers(self) -> dict:
        own = options(lr=0.02, precision=self.trainer.precision)
        optimizer, schedule = build_optimizer(self.network, self.network[0], own, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Data:
    """Pictures of noise, the first of them watched."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.rows = [ImageRow(f"{i}.png", "skirt", folder / f"{i}.png") for i in range(COUNT)]
        for i, row in enumerate(self.rows):
            picture = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(picture).save(row.path)

    def train_dataset(self) -> ImageDataset:
        return ImageDataset(self.rows, [0] * COUNT)

    def train_groups(self) -> None:
        return None

    def monitor_loader(self) -> DataLoader:
        return plain_loader(ImageDataset(self.rows[:4], [0] * 4), 2, 0)


def train(images: Path, run: Path, die_at: int = -1, dropout: float = 0.3, **changes: object) -> Tiny:
    torch.manual_seed(0)
    module = Tiny(die_at, dropout)
    fit(module, Data(images), options(**changes), run, "tiny")
    return module


if __name__ == "__main__":
    _images, _run, _step, *_devices = sys.argv[1:]
    if _devices:
        _module = train(Path(_images), Path(_run), int(_step), dropout=0.0, devices=_devices[0])
        _seen = {"rows": _module.rows, "weights": _module.network.state_dict()}
        torch.save(_seen, Path(_run) / f"rank{os.environ['LOCAL_RANK']}.pt")
    else:
        train(Path(_images), Path(_run), int(_step))
