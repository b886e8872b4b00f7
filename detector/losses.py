"""Losses for partial labels: one garment of a picture is annotated, others may be in it without a label.

Where an anchor or proposal matches the annotated box, everything is known: it is this category and no other. Anywhere
else only the annotated category is known to be absent.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

UNMATCHED, IGNORED = -1, -2
NO_GARMENT = -1
"""The label of a picture that holds no garment: every category is known to be absent everywhere."""
TYPICAL_MATCHES = 32
"""So many anchors match a garment of FashionAI (the median, at 224 and at 288 pixels)."""


def annotated(labels: Tensor) -> Tensor:
    """Return the annotated label (1,) of a picture's garments (0 or 1,): NO_GARMENT where there is none."""
    return labels if len(labels) else labels.new_full((1,), NO_GARMENT)


def _shares(positive: Tensor, labels: Tensor) -> Tensor:
    """Return what each image's sum over its anchors is divided by (B,): the anchors that match its garment.

    A picture that holds none would be divided by 1, and weigh as much as thirty others; it counts like a typical one.
    """
    return torch.where(labels == NO_GARMENT, TYPICAL_MATCHES, positive.sum(1).clamp(min=1))


def focal_loss(logits: Tensor, matched: Tensor, labels: Tensor, partial: bool) -> Tensor:
    """RetinaNet's classification loss (Lin et al. 2017, 1708.02002); with `partial` without the negatives that nobody knows.

    logits (B, A, C); matched (B, A): index of the matched box, -1 unmatched, -2 between the thresholds (ignored);
    labels (B,) the annotated category, or NO_GARMENT. Summed over anchors, divided by each image's matched anchors (without a
    garment: by TYPICAL_MATCHES), averaged over images.
    """
    category = F.one_hot(labels.clamp(min=0), logits.shape[-1]).bool()[:, None, :]
    positive, unmatched = (matched >= 0)[..., None], (matched == UNMATCHED)[..., None]
    known = category | (labels == NO_GARMENT)[:, None, None] if partial else torch.ones_like(category)
    counted = positive | (unmatched & known)
    loss = sigmoid_focal_loss(logits, (positive & category).to(logits.dtype), reduction="none")
    summed = torch.where(counted, loss, 0).sum((1, 2))
    return (summed / _shares(matched >= 0, labels)).mean()


def partial_cross_entropy(logits: Tensor, labels: Tensor, annotated: Tensor) -> Tensor:
    """Faster R-CNN's box head: a negative may be background or any category that was not annotated.

    logits (N, C + 1) with background first; labels (N,) with 0 for negatives; annotated (N,) the label that the
    proposal's picture has, or NO_GARMENT. A negative costs -log(p_background + sum of p over the categories not annotated).
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    known_absent = F.one_hot(annotated.clamp(min=0), logits.shape[-1]).bool()
    every_garment = torch.arange(logits.shape[-1], device=logits.device) > 0
    known_absent = torch.where((annotated == NO_GARMENT)[:, None], every_garment, known_absent)
    negative = -torch.logsumexp(log_p.masked_fill(known_absent, -torch.inf), dim=-1)
    positive = -log_p.gather(1, labels[:, None])[:, 0]
    return torch.where(labels > 0, positive, negative).mean()


def ignore_confident_negatives(labels: Tensor, objectness: Tensor, threshold: float = 0.7) -> Tensor:
    """Take unmatched anchors that already look like a garment out of the RPN's negatives, where the picture holds a garment.

    labels (A,) of 1 garment, 0 background, -1 ignored; objectness (A,) logits.
    """
    confident = (labels == 0) & (objectness.detach().sigmoid() > threshold) & (labels == 1).any()
    return labels.masked_fill(confident, -1)
