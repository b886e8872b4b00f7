"""Where networks run: Lightning's accelerator, devices, nodes, strategy and precision, checked before anything is built."""

import os
from typing import Any

import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.loading import check_shares
from garment_keypoints.pipeline.learning.options import Placement, TrainOptions

MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""The type that networks run in under Lightning's mixed precisions; in others they stay in float32."""
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
"""What one device may be called."""
LEAST_MOST = 4
"""So many processes a machine without GPUs may be asked for, however few its cores: to try how they work together."""


def placed(placement: Placement) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer that say where it runs; raise UserError for those that it refuses."""
    import pytorch_lightning as pl  # here: it takes seconds, and photos are predicted without a Trainer
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    arguments = {
        "accelerator": placement.accelerator,
        "devices": devices(placement.devices, placement.accelerator),
        "num_nodes": placement.num_nodes,
        "strategy": placement.strategy,
        "precision": precision(placement),
    }
    try:
        trainer = pl.Trainer(**arguments, logger=False, enable_checkpointing=False)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        changed = [f"{name} {value!r}" for name, value in arguments.items() if value not in ("auto", 1)]
        raise UserError(f"cannot run with {', '.join(changed)}: {' '.join(str(error).split())}") from None
    if isinstance(placement, TrainOptions):
        check_shares(placement.batch_size, trainer.world_size)
    return arguments


def precision(options: Placement) -> str:
    """Resolve `auto`: bfloat16 or float16 on GPUs, float32 elsewhere."""
    if options.precision != "auto":
        return options.precision
    if options.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def device_of(options: Placement) -> str:
    """Return torch's name for the kind of device that networks run on: cpu, cuda ..."""
    if options.accelerator == "cpu" or not torch.accelerator.is_available():
        return "cpu"
    return torch.accelerator.current_accelerator().type


def one_device(options: Placement) -> str:
    """Return torch's name for the one device that photos are predicted on; raise UserError for a choice that names none."""
    if options.devices not in ("auto", "1") or options.num_nodes != 1 or options.strategy != "auto":
        raise UserError(
            f"devices is {options.devices}, num_nodes {options.num_nodes}, strategy {options.strategy}; photos are predicted on "
            "one device: start the command several times, each with a part of the photos and an --out of its own"
        )
    wanted = options.accelerator
    if wanted not in ACCELERATORS:
        raise UserError(f"accelerator is {wanted!r}; expected one of {', '.join(ACCELERATORS)}")
    kind = device_of(options)
    if wanted != "auto" and kind != wanted and not (wanted == "gpu" and kind != "cpu"):
        raise UserError(f"accelerator is {wanted!r}, and torch finds none on this machine; take cpu, or auto")
    return kind


def mixed(options: Placement) -> torch.dtype | None:
    """Return the type that networks run in under autocast, None for float32; raise UserError for another precision."""
    name = precision(options)
    if name in MIXED:
        return MIXED[name]
    if name not in ("32-true", "32"):
        raise UserError(f"precision is {name!r}; photos are predicted in auto, 32-true, {', '.join(MIXED)}")
    return None


def devices(value: str, accelerator: str = "auto") -> str | int | list[int]:
    """Turn "auto", "2" or "0,1" into what Lightning takes; raise UserError for more devices than there are."""
    if value == "auto":
        return value
    try:
        numbers = [int(part) for part in value.removesuffix(",").split(",")]
    except ValueError:
        raise UserError(f"devices is {value!r}; expected auto, a number such as 2, or a list such as 0,1") from None
    on_gpu = accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()
    most = torch.cuda.device_count() if on_gpu else max(LEAST_MOST, os.cpu_count() or 1)
    count = len(numbers) if "," in value else numbers[0]
    if count > most:
        raise UserError(f"devices is {value!r}; this machine has {most} at most to use")
    return numbers if "," in value else numbers[0]
