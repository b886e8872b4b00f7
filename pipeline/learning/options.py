"""How a network is trained, whichever stage it is of. Pure data."""

from dataclasses import dataclass

from garment_keypoints.pipeline.learning.configs import check_ranges

COUNT = 1, 1_000_000
SHARE = 0, 0.99
POSITIVE = 1e-12, 100
PLACES = {"workers": (0, 256), "num_nodes": (1, 4096)}
RANGES = {
    **dict.fromkeys(("epochs", "batch_size", "save_every"), COUNT),
    **dict.fromkeys(("lr", "backbone_lr_factor"), POSITIVE),
    **dict.fromkeys(("warmup", "ema"), SHARE),
    "weight_decay": (0, 100),
    "clip": (0, 1e9),
    "seed": (0, 2**32 - 1),
}
"""The least and the largest value of each setting."""


@dataclass
class Placement:
    """Where networks run, training or predicting, in Lightning's terms."""

    workers: int = 2
    """Processes that decode images; threads where photos are predicted."""
    precision: str = "auto"
    """Lightning's precision; auto is bf16-mixed on GPUs that have bfloat16, else 16-mixed, and 32-true on a CPU."""
    accelerator: str = "auto"
    """Lightning's accelerator: auto, cpu, gpu ..."""
    devices: str = "auto"
    """Lightning's devices: auto, a number, or a list such as 0,1."""
    num_nodes: int = 1
    """Machines that work together."""
    strategy: str = "auto"
    """Lightning's strategy: auto, ddp ..."""

    def __post_init__(self) -> None:
        self.check()

    def check(self, where: str = "") -> None:
        """Raise UserError for a setting out of its range, as that of the group `where`."""
        check_ranges(self, where, PLACES)


@dataclass
class TrainOptions(Placement):
    """How a network is trained; the configs of both stages extend it."""

    epochs: int = 8
    """Passes over the training rows; fixed beforehand, since the last (EMA) weights are kept."""
    batch_size: int = 32
    """Images a step, on all devices together: more of them change the time, not the result."""
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
    seed: int = 0
    """Seed of initial weights, order of images and augmentation."""
    save_every: int = 20
    """Steps between checkpoints to resume from."""
    in_memory: bool = False
    """Decode every picture once, before the first step, and keep it: 0.8 MB a picture of 512 pixels, shared by the workers."""

    def __post_init__(self) -> None:
        """The stage's config checks it, since a message names the stage."""

    def check(self, where: str = "") -> None:
        super().check(where)
        check_ranges(self, where, RANGES)

    def ema_decay(self, total_steps: int) -> float:
        """Return the decay a step that halves an old weight's share within `ema` of the run."""
        return 0.5 ** (1 / max(1.0, self.ema * total_steps))

    def ema_every(self, total_steps: int) -> int:
        """Return after how many steps the average takes in the weights: often enough for its half-life, not more."""
        return min(8, max(1, int(self.ema * total_steps / 8)))
