"""What both stages' trainings have in common: options, optimizer, learning rate schedule. Pure torch."""

import math
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


@dataclass
class TrainOptions:
    """How a network is trained; the configs of both stages extend it."""

    epochs: int = 8
    """Passes over the training rows; fixed beforehand, since the last (EMA) weights are kept."""
    batch_size: int = 32
    """Images a step and device."""
    lr: float = 1e-3
    """Peak learning rate of neck and head (AdamW)."""
    backbone_lr_factor: float = 0.3
    """Learning rate of the backbone as a fraction of `lr`; pretrained features need smaller steps."""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay; not applied to biases and normalisation."""
    warmup: float = 0.05
    """Fraction of all steps in which the learning rate rises linearly; a cosine to 1 % follows."""
    clip: float = 5.0
    """Largest norm of the gradient; 0 turns clipping off."""
    ema: float = 0.03
    """Half-life of the weights' moving average as a fraction of all steps; 0 keeps the raw weights."""
    workers: int = 2
    """Processes that decode images."""
    precision: str = "auto"
    """Lightning's precision; auto is bf16-mixed on GPUs that have bfloat16, else 16-mixed, and 32-true on a CPU."""
    seed: int = 0
    """Seed of initial weights, order of images and augmentation."""
    save_every: int = 20
    """Steps between checkpoints to resume from."""
    accelerator: str = "auto"
    """Lightning's accelerator: auto, cpu, gpu ..."""
    devices: str = "auto"
    """Lightning's devices: auto, a number, or a list such as 0,1."""
    num_nodes: int = 1
    """Machines that train together."""
    strategy: str = "auto"
    """Lightning's strategy: auto, ddp ..."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "save_every", "num_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("lr", "backbone_lr_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; expected a fraction of all steps, from 0 to below 1"
                )
        if self.workers < 0 or self.clip < 0 or self.weight_decay < 0:
            raise ValueError("workers, clip and weight_decay must not be negative")

    def ema_decay(self, total_steps: int) -> float:
        """Return the decay a step that halves an old weight's share within `ema` of the run."""
        return 0.5 ** (1 / max(1.0, self.ema * total_steps))

    def ema_every(self, total_steps: int) -> int:
        """Return after how many steps the average takes in the weights: often enough for its half-life, not more."""
        return min(8, max(1, int(self.ema * total_steps / 8)))


def build_optimizer(
    network: nn.Module, backbone: nn.Module, options: TrainOptions, total_steps: int
) -> tuple[AdamW, LambdaLR]:
    """Build AdamW with a smaller rate for the network's backbone, and the schedule, to be stepped after every step."""
    inner = {id(p) for p in backbone.parameters()}
    rest = [p for p in network.parameters() if id(p) not in inner]
    groups = []
    for parameters, lr in ((backbone.parameters(), options.lr * options.backbone_lr_factor), (rest, options.lr)):
        trained = [p for p in parameters if p.requires_grad]
        # Biases and normalisation are vectors; decaying them only shrinks the activations (He et al., 2019, 1812.01187).
        groups.append({"params": [p for p in trained if p.ndim > 1], "lr": lr, "weight_decay": options.weight_decay})
        groups.append({"params": [p for p in trained if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    # On GPUs torch joins the tensors of a group by itself; on CPUs only its fused kernel does.
    on_cpu = all(p.device.type == "cpu" for p in network.parameters())
    optimizer = AdamW([group for group in groups if group["params"]], fused=on_cpu or None)
    warmup = max(1, round(options.warmup * total_steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))

    return optimizer, LambdaLR(optimizer, factor)
