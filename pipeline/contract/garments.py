"""What is found in a photo of unknown content: its garments with their points, or why it cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from garment_keypoints.pipeline.contract.garment_values import from_plain, plain, read_added
from garment_keypoints.pipeline.contract.outputs import POINTS
from garment_keypoints.pipeline.contract.records import Keypoints
from garment_keypoints.pipeline.contract.schema import Schema


class PointCalibration(Protocol):
    """What the scores (N, K) of points mean."""

    def expected_error(self, score: np.ndarray) -> np.ndarray: ...

    def visibility(self, score: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Garment:
    """One garment: category, score of 0..1 and box (4,) xyxy of the detector, points xy (K, 2) with their score (K,).

    Boxes and points are in pixels of the whole photo, as EXIF turns it. K counts all keypoints of the schema; those that the
    category does not have are NaN, and so is their score.

    Of calibrated weights also expected_error (K,), of each point, in widths of the garment (those of NE), and visible (K,), the
    chance that it is not occluded. `values` are those of the columns that others have added, by key (contract/outputs.py).
    """

    category: str
    score: float
    box: np.ndarray
    xy: np.ndarray
    point_score: np.ndarray
    expected_error: np.ndarray | None = None
    visible: np.ndarray | None = None
    values: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, found: Keypoints, schema: Schema, calibration: PointCalibration | None = None) -> "Garment":
        """Return what was found as a garment; `calibration` says what the scores of its points mean."""
        has = np.zeros(len(schema.keypoints), dtype=bool)
        has[list(schema.members[found.category])] = True
        xy, score = np.where(has[:, None], found.xy, np.nan), np.where(has, found.score, np.nan)
        curves = () if calibration is None else (calibration.expected_error, calibration.visibility)
        calibrated = (curve(score[None])[0] for curve in curves)
        garment = cls(found.category, float(found.box_score), found.box, xy, score, *calibrated)
        return replace(garment, values=read_added(garment, schema))

    def to_dict(self, schema: Schema) -> dict[str, Any]:
        """Return plain values: the points of its category by name, and what other columns say of it (contract/outputs.py)."""
        return plain(self, schema)

    @classmethod
    def from_dict(cls, values: dict[str, Any], schema: Schema) -> "Garment":
        """Return what `to_dict` wrote."""
        read = from_plain(values, schema)
        none = np.full(len(schema.keypoints), np.nan)
        x, y, score = (
            none if one is None else one for one in (read.pop(f"{POINTS}.{name}") for name in ("x", "y", "score"))
        )
        calibrated = (read.pop(f"{POINTS}.expected_error"), read.pop(f"{POINTS}.visible"))
        found = (read.pop("category"), read.pop("score"), np.array(read.pop("box")))
        return cls(*found, np.stack([x, y], 1), score, *calibrated, values=read)


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
