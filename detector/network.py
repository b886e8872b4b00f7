"""Faster R-CNN and RetinaNet: torchvision's classes over a timm backbone with a feature pyramid.

The one place that knows how each of them numbers categories (torchvision's RetinaNet counts from 0, Faster R-CNN keeps 0
for the background); outside, categories are 0 .. C - 1.
"""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetHead
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from detector.config import DetectorConfig
from detector.losses import ignore_confident_negatives, partial_cross_entropy, partial_focal_loss
from pipeline.contract.backbones import build_backbone

KEPT = 50
"""Detections an image; enough for ten of each of five categories."""
LOWEST_SCORE = 0.01


class GarmentNetwork(nn.Module):
    """A detector of C categories on square inputs (B, 3, size, size) of 0..255 RGB, boxes in input pixels."""

    def __init__(self, config: DetectorConfig, num_categories: int) -> None:
        super().__init__()
        self.size = config.size
        build = _retinanet if config.type == "retinanet" else _faster_rcnn
        self.model, self.offset = build(config, num_categories)
        self.model.to(memory_format=torch.channels_last)

    @property
    def backbone(self) -> nn.Module:
        return self.model.backbone.body

    def losses(self, inputs: Tensor, boxes: Tensor, category: Tensor) -> dict[str, Tensor]:
        """Return the named losses of one annotated box (B, 4) and its category (B,) an image."""
        targets = [
            {"boxes": box[None].float(), "labels": label[None] + self.offset}
            for box, label in zip(boxes, category, strict=True)
        ]
        return self.model(list(inputs), targets)

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        """Return for each image boxes (D, 4), scores (D,) and category (D,), best first."""
        found = self.model(list(inputs))
        return [
            {"boxes": f["boxes"].float(), "scores": f["scores"].float(), "category": f["labels"] - self.offset}
            for f in found
        ]


class _Pyramid(nn.Module):
    """Backbone and feature pyramid, as torchvision expects them: a dict of maps, finest first."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        first = {8: 2, 16: 3, 32: 4}[config.finest_stride]
        self.body = build_backbone(config.backbone, config.backbone_weights, range(first, 5), config.frozen_stride)
        self.out_channels = config.fpn_channels
        self.strides = [*self.body.strides, self.body.strides[-1] * 2]
        self.fpn = FeaturePyramidNetwork(self.body.channels, self.out_channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images.contiguous(memory_format=torch.channels_last))
        return self.fpn(OrderedDict((str(level), m) for level, m in enumerate(maps)))


class _Float32BoxCoder(BoxCoder):
    """Decodes in float32: under bfloat16 autocast a box would be up to 6 pixels off (shared notes, field/peers.md)."""

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        return super().decode_single(rel_codes.float(), boxes.float())


def _anchors(pyramid: _Pyramid) -> AnchorGenerator:
    sizes = tuple(tuple(int(4 * stride * 2 ** (third / 3)) for third in range(3)) for stride in pyramid.strides)
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


def _untouched(size: int) -> dict:
    """Arguments that keep torchvision from resizing and from normalising a second time."""
    return {
        "min_size": size,
        "max_size": size,
        "image_mean": [0.0] * 3,
        "image_std": [1.0] * 3,
        "_skip_resize": True,
    }


def _retinanet(config: DetectorConfig, num_categories: int) -> tuple[RetinaNet, int]:
    pyramid = _Pyramid(config)
    anchors = _anchors(pyramid)
    norm = partial(nn.GroupNorm, 8)
    head = RetinaNetHead(pyramid.out_channels, anchors.num_anchors_per_location()[0], num_categories, norm_layer=norm)
    if config.partial_labels:
        head.classification_head = _PartialClassificationHead(
            pyramid.out_channels, anchors.num_anchors_per_location()[0], num_categories, norm_layer=norm
        )
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[: config.head_convs]
    model = RetinaNet(
        pyramid,
        num_categories,
        anchor_generator=anchors,
        head=head,
        score_thresh=LOWEST_SCORE,
        detections_per_img=KEPT,
        topk_candidates=200,
        **_untouched(config.size),
    )
    model.box_coder = _Float32BoxCoder(weights=model.box_coder.weights)
    # GIoU trains boxes, not their parametrisation (torchvision's second RetinaNet does the same).
    head.regression_head._loss_type = "giou"
    head.regression_head.box_coder = model.box_coder
    return model, 0


class _PartialClassificationHead(RetinaNetClassificationHead):
    def compute_loss(self, targets: list, head_outputs: dict[str, Tensor], matched_idxs: list[Tensor]) -> Tensor:
        labels = torch.stack([t["labels"][0] for t in targets])
        return partial_focal_loss(head_outputs["cls_logits"].float(), torch.stack(matched_idxs), labels)


def _faster_rcnn(config: DetectorConfig, num_categories: int) -> tuple[FasterRCNN, int]:
    pyramid = _Pyramid(config)
    levels = [str(level) for level in range(len(pyramid.strides) - 1)]
    pool = MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2)
    model = FasterRCNN(
        pyramid,
        rpn_anchor_generator=_anchors(pyramid),
        # One garment is annotated and few are visible; torchvision's thousands of proposals only cost time.
        rpn_pre_nms_top_n_train=400,
        rpn_post_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=100,
        rpn_batch_size_per_image=64,
        box_roi_pool=pool,
        box_head=TwoMLPHead(pyramid.out_channels * 49, 256),
        box_predictor=FastRCNNPredictor(256, num_categories + 1),
        box_score_thresh=LOWEST_SCORE,
        box_detections_per_img=KEPT,
        box_batch_size_per_image=64,
        **_untouched(config.size),
    )
    model.rpn.box_coder = _Float32BoxCoder(weights=model.rpn.box_coder.weights)
    model.roi_heads.box_coder = _Float32BoxCoder(weights=model.roi_heads.box_coder.weights)
    if config.partial_labels:
        # The same parts with another loss; torchvision builds them inside its constructor.
        model.rpn.__class__ = _PartialRPN
        model.roi_heads.__class__ = _PartialRoIHeads
    return model, 1


class _PartialRPN(RegionProposalNetwork):
    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        scores = objectness.flatten().split([len(part) for part in labels])
        labels = [ignore_confident_negatives(part, score) for part, score in zip(labels, scores, strict=True)]
        return super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)


class _PartialRoIHeads(RoIHeads):
    def forward(self, features: dict, proposals: list, image_shapes: list, targets: list | None = None) -> tuple:
        if not self.training:
            return super().forward(features, proposals, image_shapes, targets)
        proposals, _, labels, regression_targets = self.select_training_samples(proposals, targets)
        pooled = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        logits, deltas = self.box_predictor(pooled)
        annotated = torch.cat([t["labels"][:1].expand(len(part)) for t, part in zip(targets, labels, strict=True)])
        classification = partial_cross_entropy(logits, torch.cat(labels), annotated)
        _, regression = fastrcnn_loss(logits, deltas, labels, regression_targets)
        return [], {"loss_classifier": classification, "loss_box_reg": regression}
