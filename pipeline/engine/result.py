"""What is in one photo, as arrays, as plain values, and as other libraries have it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.results import coco_result
from garment_keypoints.pipeline.contract.garment_values import stacked
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import Picture
from garment_keypoints.pipeline.contract.outputs import ADDED
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.overlay import overlay
from PIL import Image


@dataclass(frozen=True, eq=False)
class Result(PhotoResult):
    """What is in one photo: `garments`, the surest first, or the `error` that kept it from being read.

    G garments of K keypoints (all of the schema; NaN where the category has none) as arrays, in pixels of the whole photo:
    xy (G, K, 2), point_score (G, K), box (G, 4) xyxy, score (G,); category names the G categories, keypoints the K keypoints.
    """

    schema: Schema = field(kw_only=True)
    picture: Picture | None = field(kw_only=True)

    @property
    def xy(self) -> np.ndarray:
        return np.array([one.xy for one in self.garments]).reshape(-1, len(self.schema.keypoints), 2)

    @property
    def point_score(self) -> np.ndarray:
        return np.array([one.point_score for one in self.garments]).reshape(-1, len(self.schema.keypoints))

    @property
    def box(self) -> np.ndarray:
        return np.array([one.box for one in self.garments]).reshape(-1, 4)

    @property
    def score(self) -> np.ndarray:
        return np.array([one.score for one in self.garments])

    @property
    def category(self) -> list[str]:
        return [one.category for one in self.garments]

    @property
    def keypoints(self) -> tuple[str, ...]:
        return self.schema.keypoints

    def column(self, key: str) -> np.ndarray:
        """Return a column (contract/outputs.py) over the garments, such as `score`, `points.visible`, or one of your own.

        It is (G,), (G, parts) or (G, K); NaN, or None of what is no number, stands for no value.
        """
        return stacked(key, self.garments, self.schema)

    def plot(self) -> Image.Image:
        """Return the photo with its garments drawn on; raise ValueError for one that could not be read."""
        if self.picture is None:
            raise ValueError(f"there is nothing to draw: {self.error}")
        return overlay(self.picture, self, self.schema)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a line of predictions.jsonl holds them."""
        return self.as_dict(self.schema)

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Return the garments as COCO keypoint results of the image with this id; categories count from 1."""
        return [coco_result(image_id, one, self.schema) for one in self.garments]

    def to_supervision(self) -> Any:
        """Return supervision's KeyPoints; needs the package supervision. Keypoints that a category lacks are at 0, 0."""
        try:
            import supervision
        except ImportError:
            raise UserError("to_supervision needs the package supervision: pip install supervision") from None
        return supervision.KeyPoints(
            xy=np.nan_to_num(self.xy).astype(np.float32),
            confidence=np.nan_to_num(self.point_score).astype(np.float32),
            class_id=np.array([self.schema.category_index(name) for name in self.category], dtype=int),
            data={"class_name": np.array(self.category), **{key: self.column(key) for key in ADDED}},
        )
