"""What is found in a photo of unknown content: its garments with their points, or why it cannot be read."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.contract.records import Keypoints
from pipeline.contract.schema import Schema

DIGITS = 2
"""Decimals of pixels in what is written; a hundredth of one is nothing that anyone sees."""


@dataclass(frozen=True, eq=False)
class Garment:
    """One garment: category, score of 0..1 and box (4,) xyxy of the detector, points xy (K, 2) with their score (K,).

    Boxes and points are in pixels of the whole photo, as EXIF turns it. K counts all keypoints of the schema; those that the
    category does not have are NaN, and so is their score.
    """

    category: str
    score: float
    box: np.ndarray
    xy: np.ndarray
    point_score: np.ndarray

    @classmethod
    def of(cls, found: Keypoints, schema: Schema) -> "Garment":
        has = np.zeros(len(schema.keypoints), dtype=bool)
        has[list(schema.members[found.category])] = True
        xy, score = np.where(has[:, None], found.xy, np.nan), np.where(has, found.score, np.nan)
        return cls(found.category, float(found.box_score), found.box, xy, score)

    def to_dict(self, schema: Schema) -> dict[str, Any]:
        """Return plain values: the points of its category by name."""
        points = {
            schema.keypoints[k]: {
                "x": round(float(self.xy[k, 0]), DIGITS),
                "y": round(float(self.xy[k, 1]), DIGITS),
                "score": round(float(self.point_score[k]), 4),
            }
            for k in schema.members[self.category]
        }
        box = [round(float(value), DIGITS) for value in self.box]
        return {"category": self.category, "score": round(self.score, 4), "box": box, "points": points}

    @classmethod
    def from_dict(cls, plain: dict[str, Any], schema: Schema) -> "Garment":
        """Return what `to_dict` wrote."""
        xy, score = np.full((len(schema.keypoints), 2), np.nan), np.full(len(schema.keypoints), np.nan)
        for name, point in plain["points"].items():
            k = schema.keypoints.index(name)
            xy[k], score[k] = (point["x"], point["y"]), point["score"]
        return cls(plain["category"], plain["score"], np.array(plain["box"]), xy, score)


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """A photo, its size in pixels, and its garments, the surest first; or the `error` that kept it from being read."""

    photo: str
    size_wh: tuple[int, int]
    garments: list[Garment]
    error: str = ""

    def as_dict(self, schema: Schema) -> dict[str, Any]:
        """Return plain values, as a line of predictions.jsonl holds them."""
        if self.error:
            return {"photo": self.photo, "error": self.error}
        width, height = self.size_wh
        garments = [one.to_dict(schema) for one in self.garments]
        return {"photo": self.photo, "width": width, "height": height, "garments": garments}

    @classmethod
    def from_dict(cls, plain: dict[str, Any], schema: Schema) -> "PhotoResult":
        """Return what `as_dict` wrote."""
        if "error" in plain:
            return cls(plain["photo"], (0, 0), [], plain["error"])
        garments = [Garment.from_dict(one, schema) for one in plain["garments"]]
        return cls(plain["photo"], (plain["width"], plain["height"]), garments)
