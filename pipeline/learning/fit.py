"""One training loop for both stages, on Lightning: seeds, precision, moving average, resumable checkpoints, logs.

A training is counted in steps, not epochs: what a step sees follows from seed and step (`learning.loading`), so that a
resumed run goes on exactly where it was interrupted and ends where an uninterrupted one does.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import PARTIAL, write_bytes
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.learning.loading import Batches, ImageDataset, StepBatchSampler, loader
from garment_keypoints.pipeline.learning.options import TrainOptions
from garment_keypoints.pipeline.learning.placement import placed
from garment_keypoints.pipeline.learning.synchronised import BatchNormSync
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO

RESUME = "last.ckpt"
RETRAIN = "remove it, and the training starts from the beginning"


class TrainData(Protocol):
    """What a stage gives the loop: its training images, their groups where a batch should be of one (None: it need not),
    and rows to watch (None: nothing to watch).
    """

    def train_dataset(self) -> ImageDataset: ...

    def train_groups(self) -> np.ndarray | None: ...

    def monitor_loader(self) -> Batches | None: ...


def fit(module: pl.LightningModule, data: TrainData, options: TrainOptions, run: Path, name: str) -> None:
    """Train `module` to the end, from the beginning or from `run`/last.ckpt; it then holds the (averaged) weights.

    Loss curves go to `run`/logs. An interrupt raises KeyboardInterrupt and leaves last.ckpt, from which the same call
    goes on. Modules find the number of steps in `self.trainer.max_steps`. On several devices, each rank calls this and
    ends with the same weights.
    """
    run.mkdir(parents=True, exist_ok=True)
    dataset = data.train_dataset()
    if options.in_memory:
        dataset.keep()
    trainer = build_trainer(options, run, name)
    total_steps = max(1, math.ceil(options.epochs * len(dataset) / options.batch_size))
    trainer.fit_loop.epoch_loop.max_steps = total_steps
    if options.ema:
        every = options.ema_every(total_steps)
        decay = options.ema_decay(total_steps) ** every
        trainer.callbacks.insert(0, EMAWeightAveraging(decay=decay, update_every_n_steps=every))
    watched = data.monitor_loader()
    # One pass over the rows between two looks at the monitor, but at least every tenth of the training.
    trainer.val_check_interval = max(1, min(math.ceil(total_steps / options.epochs), math.ceil(total_steps / 10)))
    resume = run / RESUME
    ranks.join(trainer)
    if resume.exists() and _load_finished(module, resume, total_steps):
        return
    torch.set_float32_matmul_precision("high")
    with silenced():
        try:
            trainer.fit(
                module,
                train_dataloaders=None,
                datamodule=_Data(dataset, data.train_groups(), watched, options, total_steps),
                ckpt_path=resume if resume.exists() else None,
                weights_only=True,
            )
        except SystemExit:
            # Lightning turns Ctrl-C into an exit of its own.
            raise KeyboardInterrupt from None
        except OSError as error:
            # A full disk under the loss curves, which Lightning writes, names no file.
            raise OSError(error.errno, error.strerror, error.filename or str(run)) from error
    module.to("cpu")


def _load_finished(module: pl.LightningModule, resume: Path, total_steps: int) -> bool:
    """Load the (averaged) weights of a training that was interrupted after its last step; Lightning would not run at all."""
    state = read_resume(resume)
    try:
        if state["global_step"] < total_steps:
            _check_fit(module, state["state_dict"])
            return False
        module.load_state_dict(state["state_dict"])
    except (KeyError, TypeError, AttributeError, RuntimeError):
        raise UserError(f"{resume}: of another training than this; {RETRAIN}") from None
    return True


def _check_fit(module: pl.LightningModule, state: dict[str, Any]) -> None:
    """Raise KeyError or RuntimeError when the weights to go on from are not the module's."""
    for name, value in module.state_dict().items():
        if state[name].shape != value.shape:
            raise RuntimeError(name)


def read_resume(path: Path) -> dict[str, Any]:
    """Read a training's checkpoint to resume from; raise UserError when it is damaged or something else."""
    content = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(content, map_location="cpu", weights_only=True)
    except Exception:  # fed with other bytes, the unpickler raises whatever they lead it to
        state = None
    needed = {"global_step", "state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks"}
    if not (isinstance(state, dict) and needed <= state.keys()):
        raise UserError(f"{path}: damaged, or no checkpoint to go on from; {RETRAIN}")
    return state


class _WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, in their own folder; Lightning would go through the temporary one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        torch.save(checkpoint, content := io.BytesIO())
        write_bytes(Path(path), content.getvalue())


def build_trainer(options: TrainOptions, run: Path, name: str) -> pl.Trainer:
    """Build Lightning's trainer; fit sets the number of steps, which depends on the rows."""
    checkpoint = ModelCheckpoint(
        dirpath=run,
        filename=RESUME.removesuffix(".ckpt"),
        every_n_train_steps=options.save_every,
        save_top_k=1,
        enable_version_counter=False,
    )
    return pl.Trainer(
        **placed(options),
        max_epochs=1,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=options.clip or None,
        callbacks=[_StepSeed(options.seed), _Bar(name), checkpoint],
        logger=CSVLogger(run, name="logs"),  # a new version each time, so that resuming keeps the earlier curve
        log_every_n_steps=10,
        use_distributed_sampler=False,
        plugins=[BatchNormSync(), _WholeCheckpoints()],
        enable_model_summary=False,
    )


@contextmanager
def silenced() -> Iterator[None]:
    """Keep Lightning from warning of what is meant so, or not ours."""
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*have no `validation_step`.*",
            ".*smaller than the logging interval.*",
            ".*your dataloader is not resumable.*",
            ".*Checkpoint directory .* exists and is not empty.*",
            ".*isinstance.treespec, LeafSpec.*",
            ".*Couldn.t infer the batch indices.*",
            ".*use .self.log.*sync_dist=True.*",  # every rank looks at all of the monitor's rows
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


class _Data(pl.LightningDataModule):
    """Hands Lightning the batches from the step on that the trainer stands at."""

    def __init__(
        self,
        dataset: ImageDataset,
        groups: np.ndarray | None,
        watched: Batches | None,
        options: TrainOptions,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.dataset, self.groups, self.watched = dataset, groups, watched
        self.options, self.total_steps = options, total_steps

    def train_dataloader(self) -> Batches:
        sampler = StepBatchSampler(
            len(self.dataset),
            self.options.batch_size,
            self.total_steps,
            self.options.seed,
            start_step=self.trainer.global_step,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            groups=self.groups,
        )
        return loader(self.dataset, sampler, self.options.workers)

    def val_dataloader(self) -> Batches | list:
        return self.watched if self.watched is not None else []


class _StepSeed(Callback):
    """Makes torch's own random numbers (dropout, sampling of proposals) a function of the step, as the batches are."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(self.seed * 1_000_003 + trainer.global_step * trainer.world_size + trainer.global_rank)


class _Bar(TQDMProgressBar):
    """Names the training instead of its single flat epoch."""

    def __init__(self, name: str) -> None:
        super().__init__(refresh_rate=5)
        self.name = name

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_start(trainer)
        # Lightning calls no on_train_epoch_start where a resumed training goes on in the middle of its epoch.
        self.train_progress_bar.total = trainer.max_steps
        self.train_progress_bar.initial = trainer.global_step
        self.train_progress_bar.set_description(self.name)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(self.name)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def forget(run: Path) -> None:
    """Remove what only resuming needs, once the trained weights are written."""
    (run / RESUME).unlink(missing_ok=True)
    for left in run.glob(f"{RESUME}.*"):
        if PARTIAL.fullmatch(left.name):  # of a killed process
            left.unlink()
