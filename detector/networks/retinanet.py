"""RetinaNet with partial labels (Lin et al. 2017, 1708.02002): torchvision's classes over the pyramid."""

from functools import partial

import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.losses import annotated, focal_loss
from garment_keypoints.detector.networks.dense import CANDIDATES, KEPT, LOWEST_SCORE, NMS_IOU
from garment_keypoints.detector.networks.pyramid import Float32BoxCoder, Pyramid, build_anchors, untouched
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetHead


def build_retinanet(config: DetectorConfig, num_categories: int) -> tuple[RetinaNet, int]:
    pyramid = Pyramid(config)
    anchors = build_anchors(pyramid)
    norm = partial(nn.GroupNorm, 8)
    sizes = pyramid.out_channels, anchors.num_anchors_per_location()[0]
    head = RetinaNetHead(*sizes, num_categories, norm_layer=norm)
    head.classification_head = _CategoryHead(*sizes, num_categories, norm_layer=norm)
    head.classification_head.partial = config.partial_labels
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[: config.network.head_convs]
    model = RetinaNet(
        pyramid,
        num_categories,
        anchor_generator=anchors,
        head=head,
        score_thresh=LOWEST_SCORE,
        detections_per_img=KEPT,
        topk_candidates=CANDIDATES,
        nms_thresh=NMS_IOU,
        **untouched(config.network.size),
    )
    model.box_coder = Float32BoxCoder(weights=model.box_coder.weights)
    # GIoU trains boxes, not their parametrisation (torchvision's second RetinaNet does the same).
    head.regression_head._loss_type = "giou"
    head.regression_head.box_coder = model.box_coder
    return model, 0


class _CategoryHead(RetinaNetClassificationHead):
    partial = True

    def compute_loss(self, targets: list, head_outputs: dict[str, Tensor], matched_idxs: list[Tensor]) -> Tensor:
        labels = annotated([t["labels"] for t in targets])
        return focal_loss(head_outputs["cls_logits"].float(), torch.stack(matched_idxs), labels, self.partial)
