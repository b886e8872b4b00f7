"""Training data of the keypoint network: pictures from the loader; boxes, points and weights by row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from garment_keypoints.keypoints.augment import cut_out, mirror_keypoints, random_affines
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.pipeline.contract import crops, geometry
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.metrics import normalisers
from garment_keypoints.pipeline.contract.records import OCCLUDED, VISIBLE, Annotation, ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import Batches, ImageDataset, plain_loader
from garment_keypoints.pipeline.learning.photometric import Photometric
from torch import Tensor

NOWHERE = -1e6
"""Crop pixels, of a point that no target is to show."""
LARGEST_SHARE = 4.0
"""A crop weighs at most so many times as much as the median one, and at least the inverse of it."""


@dataclass(frozen=True)
class Crops:
    """A training batch: crops (N, 3, h, w) of 0..255, xy (N, K, 2) in crop pixels, target_weight (N, K), and the affine."""

    crops: Tensor
    xy: Tensor
    target_weight: Tensor
    crop_from_image: Tensor

    @property
    def targeted(self) -> Tensor:
        """Points (N, K, 2) to make targets of: those without a weight are far outside, where no target shows them."""
        return self.xy.masked_fill(self.target_weight[..., None] == 0, NOWHERE)


class KeypointsData:
    """What `training.fit` loads, and tables by row: boxes to watch in and training_boxes (N, 4), xy (N, K, 2) in image pixels,
    weight (N, K).
    """

    def __init__(
        self,
        rows: Sequence[Annotation],
        boxes: BoxTable,
        schema: Schema,
        config: KeypointsConfig,
        pictures: PictureOptions | None = None,
        training: np.ndarray | None = None,
        true: np.ndarray | None = None,
    ) -> None:
        """`boxes`, by row, are those to watch the rows in, and without `training` (N, 4) those to learn in as well.

        `true` (N, 4) are the true boxes, NaN where nobody knows, to compare with.
        """
        refuse_empty_side(boxes, config.without_fold)
        left_out = [0 <= config.without_fold == fold for fold in boxes.fold]
        # Occlusion is no reason to be left out of what is watched: that is to tell how the network does on any garment.
        dropped = [config.loss.occluded == "drop" and bool((row.visibility == OCCLUDED).any()) for row in rows]
        order = [i for i, gone in enumerate(dropped) if not (left_out[i] or gone)]
        self.num_train = len(order)
        if not order:
            raise UserError("keypoints.loss.occluded is drop, and every image has an occluded point; keep or mask them")
        order += [i for i, out in enumerate(left_out) if out]
        self.rows = [rows[i] for i in order]
        self.config, self.pictures = config, pictures
        self.category = [schema.category_index(row.category) for row in self.rows]
        learned = boxes.boxes if training is None else training
        self.boxes = torch.tensor(boxes.boxes, dtype=torch.float32)[order]
        self.training_boxes = torch.tensor(learned, dtype=torch.float32)[order]
        self.true_boxes = torch.full_like(self.boxes, torch.nan) if true is None else torch.tensor(true)[order]
        self.xy = torch.tensor(np.stack([row.xy for row in self.rows]), dtype=torch.float32)
        visibility = torch.tensor(np.stack([row.visibility for row in self.rows]))
        occluded_weight = config.loss.occluded_weight if config.loss.occluded == "keep" else 0
        weight = (visibility == VISIBLE) + (visibility == OCCLUDED) * occluded_weight
        label_weight = torch.tensor([row.label_weight for row in self.rows])
        self.weight = weight.float() * schema.mask[self.category] * label_weight[:, None]
        if config.loss.by_normaliser:
            self.weight *= self._by_normaliser(schema)[:, None]
        self.flip_index = torch.tensor(schema.flip_index)

    def train_dataset(self) -> ImageDataset:
        augment = self.config.augment
        photometric = Photometric(
            augment.brightness,
            augment.contrast,
            augment.blur,
            augment.noise,
            augment.blur_size,
            augment.noise_deviation,
        )
        return ImageDataset(self.rows[: self.num_train], self.category, photometric, self.pictures)

    def train_groups(self) -> np.ndarray | None:
        """Return the category (N,) of each training row where batches should be of one category."""
        return np.array(self.category[: self.num_train]) if self.config.network.per_category else None

    def training_box_figures(self) -> dict[str, float]:
        """Return how well the boxes that crops are cut around lie on the true ones, and of how many rows that is known."""
        learned, true = self.training_boxes[: self.num_train], self.true_boxes[: self.num_train]
        known = ~true.isnan().any(-1)
        iou = geometry.box_iou(learned[known].double(), true[known].double())
        if not len(iou):
            return {"rows": 0}
        return {
            "rows": len(iou),
            "mean_iou": round(float(iou.mean()), 4),
            "iou_below_half": round(float((iou < 0.5).double().mean()), 4),
        }

    def _by_normaliser(self, schema: Schema) -> Tensor:
        """Return a weight (N,) for each row: the inverse of its normaliser in the crop, 1 in the median and where it has none."""
        scale, usable = normalisers(self.rows, schema)
        sides = (self.training_boxes[..., 2:] - self.training_boxes[..., :2]).amax(-1)
        sides = sides * (1 + 2 * self.config.crop.padding)
        inverse = sides.double().clamp(min=1e-6) / torch.from_numpy(np.where(usable, scale, np.nan))
        return (inverse / inverse.nanmedian()).nan_to_num(nan=1.0).clamp(1 / LARGEST_SHARE, LARGEST_SHARE).float()

    def monitor_rows(self) -> range:
        """Positions of the rows to watch: of the fold left out, or else of the training rows, spread evenly."""
        first, last = (self.num_train, len(self.rows)) if self.config.without_fold >= 0 else (0, self.num_train)
        step = max(1, (last - first) // max(1, self.config.alarm.rows))
        return range(first, last, step)[: self.config.alarm.rows]

    def monitor_loader(self) -> Batches | None:
        positions = self.monitor_rows()
        if not len(positions):
            return None
        watched = ImageDataset(
            [self.rows[i] for i in positions], [self.category[i] for i in positions], options=self.pictures
        )
        # Read in the training process: forking it at each look costs more (every page is copied once more) than the reading.
        return plain_loader(watched, self.config.train.batch_size, workers=0)

    def training_crops(self, batch: ImageBatch) -> Crops:
        """Cut augmented crops on the batch's device; points outside their crop get weight 0."""
        device, size = batch.images.device, self.config.crop.size
        index = batch.index.cpu()
        boxes = self.training_boxes[index].to(device)
        xy, weight = self.xy[index].to(device), self.weight[index].to(device)
        affine, flip = random_affines(boxes, batch.uniform, self.config)
        cropped = cut_out(crops.cut(batch, affine, (size, size)), batch.uniform, self.config)
        flip_index = self.flip_index.to(device)
        xy = mirror_keypoints(geometry.apply(affine, xy), flip, flip_index)
        weight = mirror_keypoints(weight, flip, flip_index)
        inside = ((xy >= 0) & (xy <= size)).all(-1)
        return Crops(cropped, xy, weight * inside, affine)


def refuse_empty_side(table: BoxTable, without_fold: int) -> None:
    """Raise UserError when a fold is to be left out, and that leaves nothing to watch or nothing to train on."""
    left_out = table.fold == without_fold
    if without_fold >= 0 and left_out.all() == left_out.any():
        which = "every" if left_out.any() else "no"
        raise UserError(
            f"keypoints.without_fold is {without_fold}, and {which} box is of that fold; expected another one"
        )
