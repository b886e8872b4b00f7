"""What a point's score means: the error to expect of it, and the chance that the point is visible, fitted on unseen images.

Scores are heights of a network's maps; how high they stand says little by itself, and differs by keypoint. Both curves are
isotonic regressions (Zadrozny and Elkan, 2002) over bins of the score: a higher score never means a larger error.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.configs import nested

FORMAT = 1
BINS = 24
OWN = 150
"""Points of a keypoint at which its own curve and that of all keypoints count alike."""
SETTINGS = "settings"
"""In the file: settings of the network by dotted name, all that decide what its scores mean; files of old have none."""
LARGEST = 1.0
"""Errors above one normaliser count as one: a few lost points would decide the mean."""


@dataclass(frozen=True)
class Calibration:
    """Curves of K keypoints over common scores (M,), increasing: expected `error` (K, M), in normalisers of NE, which falls
    with the score, and `visible` (K, M), the chance that an annotated point is visible, which rises. `of` is the hash of
    the network that they were fitted to."""

    score: np.ndarray
    error: np.ndarray
    visible: np.ndarray
    of: str

    def expected_error(self, score: np.ndarray) -> np.ndarray:
        """Return the expected errors of scores (N, K); NaN of NaN."""
        return self._curve(score, self.error)

    def visibility(self, score: np.ndarray) -> np.ndarray:
        """Return the chances of visibility of scores (N, K); NaN of NaN."""
        return self._curve(score, self.visible)

    def _curve(self, score: np.ndarray, values: np.ndarray) -> np.ndarray:
        columns = [np.interp(score[:, k], self.score, values[k]) for k in range(len(values))]
        return np.where(np.isnan(score), np.nan, np.stack(columns, 1))

    def save(self, file: Path, schema: Schema, about: dict[str, Any]) -> None:
        """Write it as JSON, by the keypoints' names."""
        content = {"format": FORMAT, "keypoints": self.of, "score": self.score.tolist(), **about}
        for name, values in (("error", self.error), ("visible", self.visible)):
            content[name] = dict(zip(schema.keypoints, values.round(5).tolist(), strict=True))
        write_text(file, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, file: Path, schema: Schema, config: dict[str, Any]) -> "Calibration":
        """Read what `save` wrote; raise UserError when it is damaged, or of another schema or recipe.

        `config` are the settings of the network whose scores it is to say more of; they must be those that the file names.
        """
        content = json_object(file) or {}
        try:
            score = np.array(content["score"], dtype=float)
            curves = [
                np.array([content[part][name] for name in schema.keypoints], dtype=float)
                for part in ("error", "visible")
            ]
            fits = content["format"] == FORMAT and all(
                one.shape == (len(schema.keypoints), len(score)) for one in curves
            )
            fits = fits and len(score) > 1 and bool((np.diff(score) > 0).all()) and bool(np.isfinite(score).all())
            fits = fits and _are_curves(*curves)
            of, settings = content["keypoints"], dict(content.get(SETTINGS, {}))
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise UserError(f"{file}: damaged, or of another schema or version; write it again with `calibrate`")
        for name, value in settings.items():
            if (found := nested(config, name)) not in (None, value):
                raise UserError(
                    f"{file}: of a network whose {name} is {value!r}, this one's is {found!r}; write it again with `calibrate`"
                )
        return cls(score, *curves, of)


def _are_curves(error: np.ndarray, visible: np.ndarray) -> bool:
    """Tell whether the values lie in 0..1, errors falling and chances rising; NaN does neither."""
    inside = all(bool(((one >= 0) & (one <= LARGEST)).all()) for one in (error, visible))
    return inside and bool((np.diff(error) <= 0).all() and (np.diff(visible) >= 0).all())


def fit(score: np.ndarray, errors: np.ndarray, visible: np.ndarray, of: str = "") -> Calibration:
    """Fit to points: score (N, K), errors (N, K) in normalisers, NaN where none counts, and visible (N, K): 1, 0 (occluded),
    NaN (absent).

    A keypoint's curve leans towards that of all keypoints the more, the fewer points it has.
    """
    counted, annotated = np.isfinite(errors) & np.isfinite(score), np.isfinite(visible) & np.isfinite(score)
    if not counted.any():
        raise UserError("no point to calibrate on")
    edges = np.unique(np.quantile(score[annotated | counted], np.linspace(0, 1, BINS + 1)))
    middle = (edges[:-1] + edges[1:]) / 2 if len(edges) > 1 else np.array([edges[0], edges[0] + 1e-6])
    if len(middle) < 2:
        middle = np.array([middle[0], middle[0] + 1e-6])
    error = _curves(score, np.minimum(errors, LARGEST), counted, edges, len(middle), increasing=False)
    seen = _curves(score, visible, annotated, edges, len(middle), increasing=True)
    return Calibration(middle, error, seen, of)


def _curves(
    score: np.ndarray, values: np.ndarray, chosen: np.ndarray, edges: np.ndarray, bins: int, increasing: bool
) -> np.ndarray:
    """Return a curve (M,) a keypoint, over the bins between the edges."""
    from scipy.optimize import isotonic_regression  # here: predicting reads curves and fits none

    place = np.digitize(score, edges[1:-1]).clip(0, bins - 1)

    def curve(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = np.bincount(place[mask], minlength=bins).astype(float)
        total = np.bincount(place[mask], weights=values[mask], minlength=bins)
        known = count > 0
        if not known.any():
            return np.zeros(bins), count
        level = isotonic_regression(total[known] / count[known], weights=count[known], increasing=increasing).x
        return np.interp(np.arange(bins), np.flatnonzero(known), level), count

    together, _ = curve(chosen)
    columns = []
    for k in range(score.shape[1]):
        only = np.zeros_like(chosen)
        only[:, k] = chosen[:, k]
        own, count = curve(only)
        share = count.sum() / (count.sum() + OWN)
        columns.append(share * own + (1 - share) * together)
    return np.stack(columns)


@dataclass(frozen=True)
class Reliability:
    """Said against true, in bins of equally many points: `said` (B,), `true` (B,), and the mean distance of the two."""

    said: np.ndarray
    true: np.ndarray
    gap: float


def reliability(said: np.ndarray, true: np.ndarray, bins: int = 12) -> Reliability:
    """Compare what was said of points (P,) with what came true (P,)."""
    parts = np.array_split(np.argsort(said, kind="stable"), min(bins, len(said)))
    means = np.array([(said[part].mean(), true[part].mean()) for part in parts])
    sizes = np.array([len(part) for part in parts])
    gap = float((np.abs(means[:, 0] - means[:, 1]) * sizes).sum() / sizes.sum())
    return Reliability(means[:, 0], means[:, 1], gap)
