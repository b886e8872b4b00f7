"""What is found in a photo of unknown content: its garments with their points, or why it cannot be read."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline.contract.records import Keypoints
from pipeline.contract.schema import Schema

DIGITS = 2
"""Decimals of pixels in what is written; a hundredth of one is nothing that anyone sees."""


class Meaning(Protocol):
    """What the scores (N, K) of points mean; a calibration."""

    def expected_error(self, score: np.ndarray) -> np.ndarray: ...

    def visibility(self, score: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Garment:
    """One garment: category, score of 0..1 and box (4,) xyxy of the detector, points xy (K, 2) with their score (K,).

    Boxes and points are in pixels of the whole photo, as EXIF turns it. K counts all keypoints of the schema; those that the
    category does not have are NaN, and so is their score.

    Of calibrated weights also expected_error (K,), of each point, in widths of the garment (those of NE), and visible (K,), the
    chance that it is not occluded.
    """

    category: str
    score: float
    box: np.ndarray
    xy: np.ndarray
    point_score: np.ndarray
    expected_error: np.ndarray | None = None
    visible: np.ndarray | None = None

    @classmethod
    def of(cls, found: Keypoints, schema: Schema, meaning: Meaning | None = None) -> "Garment":
        """Return what was found as a garment; `meaning` says what the scores of its points mean."""
        has = np.zeros(len(schema.keypoints), dtype=bool)
        has[list(schema.members[found.category])] = True
        xy, score = np.where(has[:, None], found.xy, np.nan), np.where(has, found.score, np.nan)
        told = (
            () if meaning is None else (part(score[None])[0] for part in (meaning.expected_error, meaning.visibility))
        )
        return cls(found.category, float(found.box_score), found.box, xy, score, *told)

    def to_dict(self, schema: Schema) -> dict[str, Any]:
        """Return plain values: the points of its category by name."""
        points = {
            schema.keypoints[k]: {
                "x": round(float(self.xy[k, 0]), DIGITS),
                "y": round(float(self.xy[k, 1]), DIGITS),
                "score": round(float(self.point_score[k]), 4),
                **({} if self.expected_error is None else {"expected_error": round(float(self.expected_error[k]), 4)}),
                **({} if self.visible is None else {"visible": round(float(self.visible[k]), 3)}),
            }
            for k in schema.members[self.category]
        }
        box = [round(float(value), DIGITS) for value in self.box]
        return {"category": self.category, "score": round(self.score, 4), "box": box, "points": points}

    @classmethod
    def from_dict(cls, plain: dict[str, Any], schema: Schema) -> "Garment":
        """Return what `to_dict` wrote."""
        values = dict.fromkeys(("x", "y", "score", "expected_error", "visible"))
        for name, point in plain["points"].items():
            for part, value in point.items():
                if values[part] is None:
                    values[part] = np.full(len(schema.keypoints), np.nan)
                values[part][schema.keypoints.index(name)] = value
        xy = np.stack([values.pop("x"), values.pop("y")], 1)
        return cls(plain["category"], plain["score"], np.array(plain["box"]), xy, *values.values())


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
