"""A detector network by name. The one place that knows how torchvision's classes number categories.

Its RetinaNet counts them from 0, its Faster R-CNN keeps 0 for the background; outside, categories are 0 .. C - 1.
"""

from functools import cached_property

import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.losses import NO_GARMENT
from garment_keypoints.detector.networks.dense import select
from garment_keypoints.detector.networks.faster_rcnn import build_faster_rcnn
from garment_keypoints.detector.networks.retinanet import build_retinanet
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.image_list import ImageList

NETWORKS = {"retinanet": build_retinanet, "faster_rcnn": build_faster_rcnn}
"""By the names in detector/config.py. Each returns a torchvision model, and how it counts its first category."""


class GarmentNetwork(nn.Module):
    """A detector of C categories on square inputs (B, 3, size, size) of 0..255 RGB, boxes in input pixels."""

    def __init__(self, config: DetectorConfig, num_categories: int) -> None:
        super().__init__()
        self.size = config.network.size
        self.model, self.offset = NETWORKS[config.network.type](config, num_categories)
        self.model.to(memory_format=torch.channels_last)

    @property
    def backbone(self) -> nn.Module:
        return self.model.backbone.body

    def losses(self, inputs: Tensor, boxes: Tensor, category: Tensor) -> dict[str, Tensor]:
        """Return the named losses of the annotated boxes (B, G, 4) and their categories (B, G) of each image, or of one box each
        (B, 4) and (B,); NO_GARMENT is none.
        """
        boxes, category = boxes.reshape(len(boxes), -1, 4), category.reshape(len(category), -1)
        targets = [
            {"boxes": of_one[there].float(), "labels": labels[there] + self.offset}
            for of_one, labels, there in zip(boxes, category, category != NO_GARMENT, strict=True)
        ]
        return self.model(list(inputs), targets)

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        """Return for each image boxes (D, 4), scores (D,) and category (D,), best first."""
        if isinstance(self.model, RetinaNet):
            return select(*self.dense(inputs), self.levels, self.size)
        found = self.model(list(inputs))
        return [
            {"boxes": f["boxes"].float(), "scores": f["scores"].float(), "category": f["labels"] - self.offset}
            for f in found
        ]

    def dense(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return a RetinaNet's class logits (B, A, C) and decoded boxes (B, A, 4) of every anchor."""
        outputs = self.model.head(list(self.model.backbone(inputs).values()))
        deltas = outputs["bbox_regression"]
        # By shape: an exporter takes what len() says for a constant.
        anchors = self.anchors.to(deltas.device).repeat(deltas.shape[0], 1)
        boxes = self.model.box_coder.decode_single(deltas.flatten(0, 1), anchors)
        return outputs["cls_logits"], boxes.reshape(deltas.shape)

    @property
    def levels(self) -> list[int]:
        """How many anchors each level of the pyramid has, finest first."""
        cells = [(-(-self.size // stride)) ** 2 for stride in self.model.backbone.strides]
        return [count * self.model.anchor_generator.num_anchors_per_location()[0] for count in cells]

    @cached_property
    def anchors(self) -> Tensor:
        """A RetinaNet's anchors (A, 4) in input pixels."""
        sides = [-(-self.size // stride) for stride in self.model.backbone.strides]
        image = ImageList(torch.zeros(1, 3, self.size, self.size), [(self.size, self.size)])
        return self.model.anchor_generator(image, [torch.zeros(1, 1, side, side) for side in sides])[0]

    def finest(self, inputs: Tensor) -> Tensor:
        """Return the class logits of RetinaNet's finest level, or Faster R-CNN's objectness there: (B, A, h, w)."""
        level = next(iter(self.model.backbone(inputs).values()))
        if isinstance(self.model, RetinaNet):
            head = self.model.head.classification_head
            return head.cls_logits(head.conv(level))
        return self.model.rpn.head([level])[0][0]
