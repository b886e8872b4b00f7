"""A trained detector as the pipeline uses it: full images in, one box of the given category an image out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from detector.config import DetectorConfig
from detector.data import input_affines
from detector.networks.build import GarmentNetwork
from pipeline.contract import geometry, warp
from pipeline.contract.files import file_hash
from pipeline.contract.records import Boxes, ImageBatch
from pipeline.contract.schema import Schema
from pipeline.learning.weights import fill, load_checkpoint, training_ids

STAGE = "detector"


class NetworkDetector(nn.Module):
    """A Detector (contract.records). `train_ids` are the images that it has seen (None: not asked), `name` where it
    came from.

    `fingerprint` stands for its weights and settings.
    """

    def __init__(
        self,
        network: GarmentNetwork,
        config: DetectorConfig,
        name: str,
        train_ids: list[str] | None,
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.fingerprint = fingerprint or name
        self.network, self.fallback_score, self.margin = network.eval(), config.fallback_score, config.margin
        self.name, self.train_ids = name, None if train_ids is None else frozenset(train_ids)

    def detect(self, batch: ImageBatch) -> Boxes:
        """Return the best box of each image's category; below `fallback_score` the whole image, flagged."""
        return self.choose(batch, self.detect_all(batch))

    @torch.no_grad()
    def detect_all(self, batch: ImageBatch) -> list[dict[str, Tensor]]:
        """Return everything found in each image: boxes (D, 4) in image pixels, scores (D,), category (D,), best first."""
        size = self.network.size
        with torch.autocast(batch.images.device.type, enabled=False):
            affine = input_affines(batch.sizes_wh, size)
            inputs = warp.crop(batch.images, affine, (size, size), batch.sizes_wh)
        found = self.network.detections(inputs)
        with torch.autocast(batch.images.device.type, enabled=False):
            inverse = geometry.invert(affine)
            for one, back, size_wh in zip(found, inverse, batch.sizes_wh, strict=True):
                boxes = geometry.transform_box(back.expand(len(one["boxes"]), 2, 3), one["boxes"].float())
                one["boxes"] = geometry.clip_box(boxes, size_wh.expand(len(boxes), 2))
        return found

    def choose(self, batch: ImageBatch, found: list[dict[str, Tensor]]) -> Boxes:
        """Pick the best box of each image's given category from `detect_all`'s answer."""
        size = batch.sizes_wh.float()
        boxes = torch.cat([torch.zeros_like(size), size], -1)
        scores = torch.zeros(len(batch), device=size.device)
        for i, (one, category) in enumerate(zip(found, batch.category, strict=True)):
            extent = one["boxes"][:, 2:] - one["boxes"][:, :2]
            fitting = ((one["category"] == category) & (extent >= 1).all(-1)).nonzero()[:, 0]
            if len(fitting):
                best = fitting[one["scores"][fitting].argmax()]
                scores[i] = one["scores"][best]
                if scores[i] >= self.fallback_score:
                    boxes[i] = one["boxes"][best]
        return Boxes(boxes, scores, scores < max(self.fallback_score, 1e-6))


def load_detector(
    path: Path, schema: Schema, device: torch.device | str = "cpu", with_ids: bool = False
) -> NetworkDetector:
    """Load a detector checkpoint; raises ValueError when it is of another stage or schema.

    `with_ids` reads what it was trained on as well, for boxes out of fold.
    """
    path = Path(path)
    content = load_checkpoint(path, STAGE, schema)
    config = DetectorConfig(**content["config"] | {"backbone_weights": "none"})
    network = GarmentNetwork(config, len(schema.categories))
    fill(network, content["state_dict"], path)
    ids = training_ids(path, content) if with_ids else None
    return NetworkDetector(network, config, content["name"], ids, file_hash(path)).to(device)
