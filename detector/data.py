"""Training data of the detector: pictures from the loader, target boxes by row, one affine a draw."""

from collections.abc import Sequence

import numpy as np
import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.inputs import input_affines
from garment_keypoints.detector.losses import NO_GARMENT
from garment_keypoints.pipeline.contract import crops, geometry
from garment_keypoints.pipeline.contract.box_kinds import target_boxes, true_extents
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import NOTHING, Annotation, BoxedImage, ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import Batches, ImageDataset
from garment_keypoints.pipeline.learning.photometric import Photometric
from torch import Tensor

SCALE, SHIFT, FLIP = 0, slice(1, 3), 3
"""Which of a draw's random numbers decide what."""


class DetectorData:
    """What `training.fit` loads, and the true extents (N, 4) in image pixels of the rows' points, or of their boxes."""

    def __init__(
        self,
        rows: Sequence[Annotation],
        schema: Schema,
        config: DetectorConfig,
        pictures: PictureOptions | None = None,
        boxed: Sequence[BoxedImage] = (),
    ) -> None:
        self.rows, self.config, self.pictures = [*rows, *boxed], config, pictures
        self.category = [
            NO_GARMENT if row.category == NOTHING else schema.category_index(row.category) for row in self.rows
        ]
        self.extents = torch.cat([true_extents(rows), _extents_of(boxed, config.margin)])

    def train_dataset(self) -> ImageDataset:
        brightness = self.config.augment.brightness
        return ImageDataset(self.rows, self.category, Photometric(brightness, brightness), self.pictures)

    def train_groups(self) -> None:
        """Any rows may share a batch."""

    def monitor_loader(self) -> Batches | None:
        """Nothing to watch: the boxes of the fold left out are measured once, when they are written."""
        return None


def _extents_of(boxed: Sequence[BoxedImage], margin: float) -> Tensor:
    """Return the extents (N, 4) that, grown by the margin, are the boxes."""
    boxes = torch.tensor(np.stack([row.box for row in boxed]) if boxed else np.zeros((0, 4)))
    return geometry.pad_box(boxes, -margin / (1 + 2 * margin))


def training_inputs(batch: ImageBatch, extents: Tensor, config: DetectorConfig) -> tuple[Tensor, Tensor]:
    """Return augmented inputs (B, 3, size, size) of 0..255 and the target boxes (B, 4) in input pixels.

    extents (B, 4) in image pixels. A draw that would leave less than half of the target inside is not augmented.
    """
    uniform, augment = batch.uniform.float(), config.augment
    size_wh = (config.network.size, config.network.size)
    affine = geometry.crop_from_image(
        crops.whole_images(batch.sizes_wh).float(),
        size_wh,
        scale=(1 - augment.scale) ** (2 * uniform[:, SCALE] - 1),
        shift=(2 * uniform[:, SHIFT] - 1) * augment.shift,
        flip=uniform[:, FLIP] < augment.flip,
    )
    targets = target_boxes(extents.float(), batch.sizes_wh, config.margin)
    limit = torch.full_like(batch.sizes_wh, config.network.size)
    moved = geometry.transform_box(affine, targets)
    kept = geometry.clip_box(moved, limit)
    lost = (_area(kept) < 0.5 * _area(moved)) & (batch.category != NO_GARMENT)
    plain = input_affines(batch.sizes_wh, config.network.size)
    affine = torch.where(lost[:, None, None], plain, affine)
    boxes = geometry.clip_box(geometry.transform_box(affine, targets), limit)
    return crops.cut(batch, affine, size_wh), boxes


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)
