"""Training data of the detector: pictures from the loader, target boxes by row, one affine a draw."""

from collections.abc import Sequence
from pathlib import Path

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
        of_picture: dict[Path, list[int]] = {}
        for i, row in enumerate(self.rows):
            of_picture.setdefault(row.path, []).append(i)
        self._garments = [of_picture[row.path] for row in self.rows]

    def train_dataset(self) -> ImageDataset:
        brightness = self.config.augment.brightness
        return ImageDataset(self.rows, self.category, Photometric(brightness, brightness), self.pictures)

    def garments(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return extents (B, G, 4) and categories (B, G) of all garments in the pictures of the rows `index` (B,).

        G is the largest number of them; where a picture has fewer, extents are zeros and categories NO_GARMENT.
        """
        rows = [self._garments[i] for i in index.tolist()]
        extents = torch.zeros(len(rows), max(map(len, rows)), 4, dtype=self.extents.dtype)
        category = torch.full(extents.shape[:2], NO_GARMENT)
        for i, of_one in enumerate(rows):
            extents[i, : len(of_one)] = self.extents[of_one]
            category[i, : len(of_one)] = torch.tensor([self.category[k] for k in of_one])
        return extents, category

    def train_groups(self) -> None:
        """Any rows may share a batch."""

    def monitor_loader(self) -> Batches | None:
        """Nothing to watch: the boxes of the fold left out are measured once, when they are written."""
        return None


def _extents_of(boxed: Sequence[BoxedImage], margin: float) -> Tensor:
    """Return the extents (N, 4) that, grown by the margin, are the boxes."""
    boxes = torch.tensor(np.stack([row.box for row in boxed]) if boxed else np.zeros((0, 4)))
    return geometry.pad_box(boxes, -margin / (1 + 2 * margin))


def training_inputs(
    batch: ImageBatch, extents: Tensor, category: Tensor, config: DetectorConfig
) -> tuple[Tensor, Tensor]:
    """Return augmented inputs (B, 3, size, size) of 0..255 and the target boxes (B, G, 4) in input pixels.

    extents (B, G, 4) in image pixels and category (B, G) are those that `DetectorData.garments` gives. A draw that would leave
    less than half of a target inside is not augmented.
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
    image = torch.arange(len(batch), device=extents.device).repeat_interleave(extents.shape[1])
    targets = target_boxes(extents.float().flatten(0, 1), batch.sizes_wh[image], config.margin)
    limit = torch.full_like(batch.sizes_wh[image], config.network.size)
    moved = geometry.transform_box(affine[image], targets)
    kept = geometry.clip_box(moved, limit)
    lost = ((_area(kept) < 0.5 * _area(moved)).reshape(category.shape) & (category != NO_GARMENT)).any(1)
    plain = input_affines(batch.sizes_wh, config.network.size)
    affine = torch.where(lost[:, None, None], plain, affine)
    boxes = geometry.clip_box(geometry.transform_box(affine[image], targets), limit)
    return crops.cut(batch, affine, size_wh), boxes.reshape(extents.shape)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)
