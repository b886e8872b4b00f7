"""What a stage must offer, as the orchestrator sees it, and what the keypoint stage's parts must offer each other."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from garment_keypoints.pipeline.contract.records import Detections, ImageBatch, Points, PointView, Regions
from torch import Tensor

Outputs = dict[str, Tensor]
"""What a head gives and a codec encodes, by name: maps (N, K, h, w), x (N, K, X) and y (N, K, Y), or xy (N, K, 2).

Beside maps there may be background (N, 1, h, w), the map of where no point is.
"""


class Part(Protocol):
    """What takes part in a prediction, and says what decides its share of the result."""

    def job(self) -> dict[str, Any]:
        """Return as plain values everything that decides what it gives: weights by hash, settings, given boxes.

        Predictions that an interrupt left are gone on with only under the same.
        """


class Detector(Part, Protocol):
    """Stage 1 as the orchestrator sees it."""

    def detect(self, batch: ImageBatch) -> Detections:
        """Return everything found, of every category, image by image."""


class BoxSource(Part, Protocol):
    """What says where to crop: a choice among a detector's boxes, given boxes, whole images."""

    def regions(self, batch: ImageBatch) -> Regions:
        """Return what to crop: none, one or several regions an image."""


class Locator(Part, Protocol):
    """Stage 2 as the orchestrator sees it. `padding` is a fraction of the box's width and height on each side."""

    size_wh: tuple[int, int]
    padding: float

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        """Map crops float32 (N, 3, h, w) of 0..255 RGB, category (N,), to points in crop pixels."""


@runtime_checkable
class PointPredictor(Part, Protocol):
    """Instead of a Locator, what predicts the points of regions from more than a crop each."""

    def predict_points(self, batch: ImageBatch, regions: Regions) -> PointView:
        """Return the points of M regions."""


class Head(Protocol):
    """From backbone maps to outputs. Built with the maps' channels, the number of keypoints, a width and the crop's side.

    `produces` names its outputs (maps, bins or xy), `strides` the backbone maps that it wants, `stride` the crop pixels
    between two of its own cells or bins.
    """

    produces: str
    strides: tuple[int, ...]
    stride: float

    def __call__(self, features: Sequence[Tensor], category: Tensor) -> list[Outputs]:
        """Return the outputs of each stage; the last counts, all are supervised."""


class Codec(Protocol):
    """From points to targets and back. Built with size_wh in crop pixels, the head's stride, and sigma in cells.

    `accepts` names the outputs that it decodes, `target` the kind of its targets.
    """

    accepts: str
    target: str

    def encode(self, xy: Tensor) -> Outputs:
        """Return the targets of points xy (N, K, 2) in crop pixels."""

    def mirror(self, outputs: Outputs, flip_index: Tensor) -> Outputs:
        """Return what outputs for mirrored crops say of the crops themselves."""

    def decode(self, outputs: Outputs) -> Points:
        """Return the points in crop pixels."""


class Loss(Protocol):
    """One stage's error, unreduced; `takes` names the kinds of target that it can compare with."""

    takes: tuple[str, ...]

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error of each point, (N, K)."""
