"""Faster R-CNN with partial labels (Ren et al. 2015, 1506.01497): torchvision's classes over the pyramid."""

import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.losses import annotated, ignore_confident_negatives, partial_cross_entropy
from garment_keypoints.detector.networks.dense import KEPT, LOWEST_SCORE
from garment_keypoints.detector.networks.pyramid import Float32BoxCoder, Pyramid, build_anchors, untouched
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign


def build_faster_rcnn(config: DetectorConfig, num_categories: int) -> tuple[FasterRCNN, int]:
    pyramid = Pyramid(config)
    levels = [str(level) for level in range(len(pyramid.strides) - 1)]
    pool = MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2)
    model = FasterRCNN(
        pyramid,
        rpn_anchor_generator=build_anchors(pyramid),
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
        **untouched(config.network.size),
    )
    model.rpn.box_coder = Float32BoxCoder(weights=model.rpn.box_coder.weights)
    model.roi_heads.box_coder = Float32BoxCoder(weights=model.roi_heads.box_coder.weights)
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
        counts = torch.tensor([len(part) for part in labels], device=logits.device)
        known = annotated([t["labels"] for t in targets]).repeat_interleave(counts, 0)
        classification = partial_cross_entropy(logits, torch.cat(labels), known)
        _, regression = fastrcnn_loss(logits, deltas, labels, regression_targets)
        return [], {"loss_classifier": classification, "loss_box_reg": regression}
