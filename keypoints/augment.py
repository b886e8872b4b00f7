"""Random crops for training: jitter, rotation, scale, shift and flip in one affine, drawn from the loader's numbers.

Each change has its own of the random numbers of a draw (N, 32), so that one that is turned off leaves the others as they are.
"""

import torch
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.warp import OUTSIDE
from torch import Tensor

JITTER, ROTATION, SCALE, SHIFT, FLIP = slice(0, 4), 4, 5, slice(6, 8), 8
HIDE, HIDDEN_SIZE, HIDDEN_PLACE = 9, slice(10, 12), slice(12, 14)


def random_affines(boxes: Tensor, uniform: Tensor, config: KeypointsConfig) -> tuple[Tensor, Tensor]:
    """Return crop_from_image (N, 2, 3) and which crops are mirrored (N,), for boxes (N, 4) in image pixels.

    uniform (N, 32) in [0, 1) decides everything.
    """
    uniform = uniform.to(boxes)
    augment, signed = config.augment, 2 * uniform - 1
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    jittered = boxes + signed[:, JITTER] * augment.jitter * sides
    flip = uniform[:, FLIP] < augment.flip
    affine = geometry.crop_from_image(
        jittered,
        (config.crop.size, config.crop.size),
        config.crop.padding,
        angle_deg=signed[:, ROTATION] * augment.rotation_deg,
        scale=(1 - augment.scale) ** signed[:, SCALE],
        shift=signed[:, SHIFT] * augment.shift,
        flip=flip,
    )
    return affine, flip


def cut_out(crops: Tensor, uniform: Tensor, config: KeypointsConfig) -> Tensor:
    """Hide a rectangle of some crops (N, 3, h, w), as what stands in front of a garment does (DeVries 2017, 1708.04552).

    uniform (N, 32) in [0, 1) decides which, where and how large. What is hidden shows what lies outside a picture shows.
    """
    if not config.augment.cutout:
        return crops
    uniform = uniform.to(crops)
    hidden = uniform[:, HIDE] < config.augment.cutout
    inside, size, place = [], uniform[:, HIDDEN_SIZE], uniform[:, HIDDEN_PLACE]
    for axis, side in ((0, crops.shape[3]), (1, crops.shape[2])):
        extent = size[:, axis] * config.augment.cutout_size * side
        start = place[:, axis] * (side - extent)
        at = torch.arange(side, device=crops.device) + 0.5
        inside.append((at >= start[:, None]) & (at < (start + extent)[:, None]))
    area = hidden[:, None, None] & inside[1][:, :, None] & inside[0][:, None, :]
    return crops.masked_fill(area[:, None], OUTSIDE)


def mirror_keypoints(values: Tensor, flip: Tensor, flip_index: Tensor) -> Tensor:
    """Give mirrored rows (N,) of values (N, K, ...) the order of the keypoints that they show now."""
    chosen = flip.view(-1, *[1] * (values.ndim - 1))
    return torch.where(chosen, values[:, flip_index], values)
