"""Where crops come from when no detector is asked: boxes that are given, or whole images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from pipeline.contract.records import Boxes, ImageBatch


class GivenBoxes(nn.Module):
    """A Detector that knows its answers: boxes (N, 4) in image pixels by row index, such as the true ones."""

    def __init__(self, boxes: np.ndarray | Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.register_buffer("boxes", torch.as_tensor(np.asarray(boxes), dtype=torch.float32))

    def detect(self, batch: ImageBatch) -> Boxes:
        boxes = self.boxes[batch.index.to(self.boxes.device)].to(batch.images.device)
        ones = torch.ones(len(batch), device=boxes.device)
        return Boxes(boxes, ones, torch.zeros_like(ones, dtype=torch.bool))


class WholeImages(nn.Module):
    """A Detector that takes every picture as a whole."""

    def detect(self, batch: ImageBatch) -> Boxes:
        size = batch.sizes_wh.float()
        ones = torch.ones(len(batch), device=size.device)
        return Boxes(torch.cat([torch.zeros_like(size), size], -1), ones, torch.zeros_like(ones, dtype=torch.bool))
