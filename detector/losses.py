"""Losses for partial labels: some garments of a picture are annotated, others may be in it without a label.

Where an anchor or proposal matches an annotated box, everything is known: it is this category and no other. Anywhere else only
the annotated categories are known to be absent.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

UNMATCHED, IGNORED = -1, -2
NO_GARMENT = -1
"""The label of a picture that holds no garment: every category is known to be absent everywhere. Where pictures of different
numbers of garments stand in one tensor, it fills the rows of the others."""
TYPICAL_MATCHES = 32
"""So many anchors match a garment of FashionAI (the median, at 224 and at 288 pixels)."""


def annotated(labels: Sequence[Tensor]) -> Tensor:
    """Return the labels (B, G) of pictures with labels (0 to G,) each, filled up by NO_GARMENT; G is at least 1."""
    most = max(1, *map(len, labels))
    return torch.stack([F.pad(one, (0, most - len(one)), value=NO_GARMENT) for one in labels])


def _shares(positive: Tensor, empty: Tensor) -> Tensor:
    """Return what each image's sum over its anchors is divided by (B,): the anchors that match its garments.

    A picture that holds none would be divided by 1, and weigh as much as thirty others; it counts like a typical one.
    """
    return torch.where(empty, TYPICAL_MATCHES, positive.sum(1).clamp(min=1))


def _one_hot(labels: Tensor, count: int) -> Tensor:
    """Return labels (N, G) as (N, G, count) bool, without any where they are NO_GARMENT."""
    return F.one_hot(labels.clamp(min=0), count).bool() & (labels != NO_GARMENT)[..., None]


def focal_loss(logits: Tensor, matched: Tensor, labels: Tensor, partial: bool) -> Tensor:
    """RetinaNet's classification loss (Lin et al. 2017, 1708.02002); with `partial` without the negatives that nobody knows.

    logits (B, A, C); matched (B, A): index of the matched box, -1 unmatched, -2 between the thresholds (ignored); labels (B, G)
    the annotated categories, in the order of the boxes, filled up by NO_GARMENT. Summed over anchors, divided by each image's
    matched anchors (without a garment: by TYPICAL_MATCHES), averaged over images.
    """
    garments = _one_hot(labels, logits.shape[-1])
    present, empty = garments.any(1, keepdim=True), (labels == NO_GARMENT).all(1)
    positive, unmatched = (matched >= 0)[..., None], (matched == UNMATCHED)[..., None]
    category = garments[torch.arange(len(labels), device=labels.device)[:, None], matched.clamp(min=0)]
    known = present | empty[:, None, None] if partial else torch.ones_like(present)
    counted = positive | (unmatched & known)
    loss = sigmoid_focal_loss(logits, (positive & category).to(logits.dtype), reduction="none")
    summed = torch.where(counted, loss, 0).sum((1, 2))
    return (summed / _shares(matched >= 0, empty)).mean()


def partial_cross_entropy(logits: Tensor, labels: Tensor, annotated: Tensor) -> Tensor:
    """Faster R-CNN's box head: a negative may be background or any category that was not annotated.

    logits (N, C + 1) with background first; labels (N,) with 0 for negatives; annotated (N, G) the labels that the proposal's
    picture has, filled up by NO_GARMENT. A negative costs -log(p_background + sum of p over the categories not annotated).
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    every_garment = torch.arange(logits.shape[-1], device=logits.device) > 0
    empty = (annotated == NO_GARMENT).all(1, keepdim=True)
    known_absent = torch.where(empty, every_garment, _one_hot(annotated, logits.shape[-1]).any(1))
    negative = -torch.logsumexp(log_p.masked_fill(known_absent, -torch.inf), dim=-1)
    positive = -log_p.gather(1, labels[:, None])[:, 0]
    return torch.where(labels > 0, positive, negative).mean()


def ignore_confident_negatives(labels: Tensor, objectness: Tensor, threshold: float = 0.7) -> Tensor:
    """Take unmatched anchors that already look like a garment out of the RPN's negatives, where the picture holds a garment.

    labels (A,) of 1 garment, 0 background, -1 ignored; objectness (A,) logits.
    """
    confident = (labels == 0) & (objectness.detach().sigmoid() > threshold) & (labels == 1).any()
    return labels.masked_fill(confident, -1)
