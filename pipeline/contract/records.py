"""Small validated records that cross module boundaries.

Boxes are xyxy floats and points xy floats, in continuous pixels of the full image (pixel i covers [i, i + 1)).
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

VISIBLE, OCCLUDED, ABSENT = 1, 0, -1
BOX_SOURCES = ("detector", "truth", "image", "points")

FALLBACK = "fallback"
ORIGINS = (*BOX_SOURCES, FALLBACK)
"""Where a region comes from; `fallback` is the whole image that stands in for a box that was not found."""

NOTHING = ""
"""The category of a picture that holds no garment."""

Key = tuple[str, int]
"""What a garment is known by: image_id and instance, its number among the garments of its picture."""


@dataclass(frozen=True)
class ImageRow:
    """A garment of a picture and its given category: what `test.csv` says, and for messages where: `csv`, `csv_row`."""

    image_id: str
    category: str
    path: Path
    instance: int = field(default=0, kw_only=True)
    csv: str = field(default="", kw_only=True)
    csv_row: int | None = field(default=None, kw_only=True)

    @property
    def key(self) -> Key:
        return self.image_id, self.instance

    @property
    def named(self) -> str:
        """What messages call it: its image, and its instance where that is not the first one."""
        return f"{self.image_id} instance {self.instance}" if self.instance else self.image_id


@dataclass(frozen=True, eq=False)
class Annotation(ImageRow):
    """A row with answers: `xy` (K, 2) float64 in image pixels, `visibility` (K,) of 1 visible, 0 occluded, -1 absent.

    `label_weight` is what its points weigh in training: 1 for those that a person placed, less for those of a network.
    """

    xy: np.ndarray
    visibility: np.ndarray
    label_weight: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape != (len(self.visibility), 2):
            raise ValueError(f"{self.image_id}: xy {self.xy.shape} and visibility {self.visibility.shape} do not fit")

    @property
    def present(self) -> np.ndarray:
        """(K,) bool: annotated, visible or not."""
        return self.visibility != ABSENT


@dataclass(frozen=True, eq=False)
class BoxedImage(ImageRow):
    """A garment whose place is known, without points: `box` (4,) xyxy in image pixels, as the detector should find it.

    One of the category NOTHING is a picture without any garment; its box is zeros.
    """

    box: np.ndarray


@dataclass(frozen=True, eq=False)
class EveryGarment:
    """A garment of a picture whose garments are all known: `box` (4,) xyxy, the extent of its points, and if it is `labelled`."""

    category: str
    box: np.ndarray
    labelled: bool


@dataclass(frozen=True, eq=False)
class BoxRow:
    """One row of boxes.csv: `box` (4,) xyxy in image pixels and where it came from.

    `fold` is the fold that the detector had not seen (-1: not out of fold), `fallback` tells that the whole image stands
    in for a box that was not found.
    """

    image_id: str
    category: str
    box: np.ndarray
    score: float
    source: str
    fold: int
    checkpoint: str
    fallback: bool
    instance: int = field(default=0, kw_only=True)

    @property
    def key(self) -> Key:
        return self.image_id, self.instance

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = (float(v) for v in self.box)
        if not (np.isfinite(self.box).all() and x1 > x0 and y1 > y0):
            raise ValueError(f"{self.image_id}: box {self.box.tolist()} has no area or is not finite")
        if self.source not in BOX_SOURCES:
            raise ValueError(f"{self.image_id}: box source {self.source!r} is none of {', '.join(BOX_SOURCES)}")


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The prediction of one garment: `xy` (K, 2) in image pixels, `score` (K,), and the box that it came from."""

    image_id: str
    category: str
    xy: np.ndarray
    score: np.ndarray
    box: np.ndarray
    box_score: float
    fallback: bool
    instance: int = field(default=0, kw_only=True)

    @property
    def key(self) -> Key:
        return self.image_id, self.instance


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Full images as the loader yields them; both stages and the orchestrator start from it.

    images uint8 (B, 3, H, W) RGB, padded at the right and bottom to the largest; sizes_wh int64 (B, 2) the real sizes;
    category int64 (B,); index int64 (B,) position in the loader's list of rows; uniform float32 (B, 32) in [0, 1), the
    random numbers of this draw's augmentation (so that a draw depends on seed and step alone); reduced int64 (B,): each
    pixel of a large photo stands for reduced x reduced of the picture's. Only `warp.crop` looks at that; sizes, boxes and
    points are in pixels of the whole picture.
    """

    images: Tensor
    sizes_wh: Tensor
    category: Tensor
    index: Tensor
    uniform: Tensor
    reduced: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "ImageBatch":
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return replace(self, **moved)

    def pin_memory(self) -> "ImageBatch":
        return replace(self, **{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Detections:
    """Everything found in a batch, flat and image by image.

    boxes float32 (D, 4) in image pixels, image int64 (D,) position in the batch, category int64 (D,), score float32 (D,).
    """

    boxes: Tensor
    image: Tensor
    category: Tensor
    score: Tensor

    def __getitem__(self, chosen: Tensor) -> "Detections":
        """Take those that `chosen`, indices or a mask (D,), names."""
        return Detections(self.boxes[chosen], self.image[chosen], self.category[chosen], self.score[chosen])


class PointView(NamedTuple):
    """One crop's prediction of the points of M regions: xy (M, K, 2) in image pixels, score (M, K)."""

    xy: Tensor
    score: Tensor


@dataclass(frozen=True, eq=False)
class Regions:
    """What to crop out of a batch, flat: none, one or several an image.

    boxes float32 (M, 4) in image pixels, image int64 (M,) position in the batch, category int64 (M,), score float32 (M,),
    origin int64 (M,) indices of ORIGINS. `found` is what a detector found on the way, for figures; `views` those before, with
    which the last one is to be averaged.
    """

    boxes: Tensor
    image: Tensor
    category: Tensor
    score: Tensor
    origin: Tensor
    found: Detections | None = None
    views: tuple[PointView, ...] = ()

    @property
    def instance(self) -> Tensor:
        """int64 (M,): the number of each among the regions of its image, in their order."""
        order = self.image.argsort(stable=True)
        sorted_image = self.image[order]
        first = torch.searchsorted(sorted_image, sorted_image)
        position = torch.arange(len(order), device=order.device)
        return torch.empty_like(order).scatter_(0, order, position - first)


@dataclass(frozen=True, eq=False)
class Points:
    """Decoded points of crops: xy float32 (N, K, 2) in crop pixels, score (N, K) of 0..1, spread (N, K) in crop pixels.

    `spread` is the root mean square distance from the point of what the network's outputs spread over; 0 where they are
    single points.
    """

    xy: Tensor
    score: Tensor
    spread: Tensor
