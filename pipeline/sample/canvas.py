"""A picture painted in layers that knows which keypoints later layers hide."""

from dataclasses import dataclass

import cv2
import numpy as np
from garment_keypoints.pipeline.sample import cloth
from garment_keypoints.pipeline.sample.garments import DrawnGarment
from garment_keypoints.pipeline.sample.pose import LEFT, RIGHT, Rng

SUBPIXEL_BITS = 4
HIDDEN_DEPTH = 1.5
"""A keypoint this many pixels inside a later layer is hidden; nearer to its edge it may belong to the edge."""
INWARDS = 0.12
"""A place this part of the way from a keypoint to the middle of its garment is surely on the garment."""


@dataclass(frozen=True)
class View:
    """How a pose stands in the picture: pixels a unit, turn in radians, how much each side is seen (three-quarter view)."""

    scale: float
    turn: float
    seen: dict[int, float]
    origin: np.ndarray

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """Map points (n, 2) or (2,) of the pose's frame to pixels."""
        xy = np.array(xy, dtype=np.float64)
        xy[..., 0] *= np.where(xy[..., 0] < 0, self.seen[LEFT], self.seen[RIGHT])
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return self.origin + self.scale * np.stack(
            [cos * xy[..., 0] - sin * xy[..., 1], sin * xy[..., 0] + cos * xy[..., 1]], -1
        )


@dataclass
class Worn:
    """A garment in the picture: its keypoints in pixels by name, those that are hidden, and its cloth (H, W, 3)."""

    category: str
    points: dict[str, np.ndarray]
    hidden: set[str]
    texture: np.ndarray

    def inwards(self, xy: np.ndarray) -> np.ndarray:
        """Return the place a little inside the garment from its keypoint xy (2,): what covers that, covers the keypoint."""
        return xy + INWARDS * (np.mean(list(self.points.values()), 0) - xy)


class Canvas:
    """`picture` float32 (H, W, 3); `garments` in drawing order."""

    def __init__(self, rng: Rng, shape_hw: tuple[int, int]) -> None:
        self.rng, self.shape_hw = rng, shape_hw
        self.picture = cloth.background(rng, shape_hw)
        self.garments: list[Worn] = []

    def wear(self, garment: DrawnGarment, view: View, without: tuple[str, ...] = ()) -> Worn:
        """Paint a garment but for some of its parts, which `add_part` paints later."""
        texture = cloth.cloth(self.rng, self.shape_hw, view.turn, view.scale)
        texture *= cloth.folds(self.rng, self.shape_hw, view.turn, view.scale)[..., None]
        points = {name: view(xy) for name, xy in garment.points.items()}
        worn = Worn(garment.category, points, set(garment.covered), texture)
        self.garments.append(worn)
        for name, outline in garment.parts:
            if name not in without:
                self.add_part(
                    worn, name, view(outline), None if garment.open_front is None else view(garment.open_front)
                )
        return worn

    def add_part(self, worn: Worn, name: str, outline: np.ndarray, hole: np.ndarray | None = None) -> None:
        """Paint one part of a garment, darker towards its edges, with a seam."""
        self.paint(outline, worn.texture, name, worn, hole if name == "body" else None)

    def paint(
        self,
        outline: np.ndarray,
        texture: np.ndarray,
        name: str = "",
        owner: Worn | None = None,
        hole: np.ndarray | None = None,
    ) -> None:
        """Paint an outline (n, 2) in pixels with a texture (H, W, 3) or colour (3,); what lies under it is hidden."""
        mask = self._mask(outline)
        if hole is not None:
            mask = mask * (1 - self._mask(hole))
        box = _extent(outline, self.shape_hw)
        if box is None:
            return
        part = mask[box]
        inner = cv2.GaussianBlur(part, (0, 0), max(1.0, 0.012 * max(self.shape_hw)))
        shade = (0.72 + 0.28 * np.clip(inner * 1.3, 0, 1))[..., None]
        colour = texture[box] if texture.ndim == 3 else texture
        alpha = part[..., None]
        self.picture[box] = self.picture[box] * (1 - alpha) + np.clip(colour * shade, 0, 255) * alpha
        if owner is not None and self.rng.random() < 0.8:
            seam = tuple(float(c) for c in np.clip(self.picture[box].mean((0, 1)) * 0.55, 0, 255))
            points = np.round(outline * 2**SUBPIXEL_BITS).astype(np.int32)
            cv2.polylines(self.picture, [points], True, seam, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        self._hide(outline, hole, name, owner)

    def _mask(self, outline: np.ndarray) -> np.ndarray:
        mask = np.zeros(self.shape_hw, np.uint8)
        # cv2 counts from pixel centres; outlines are continuous.
        points = np.round((outline - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        return mask.astype(np.float32) / 255

    def _hide(self, outline: np.ndarray, hole: np.ndarray | None, name: str, owner: Worn | None) -> None:
        contour = outline.astype(np.float32)[:, None]
        gap = None if hole is None else hole.astype(np.float32)[:, None]
        for worn in self.garments:
            for point, xy in worn.points.items():
                if worn is owner and (not name.startswith(("sleeve", "leg")) or _belongs(point, name)):
                    continue
                # Cloth over cloth: a waistband under a blouse is hidden, even where it stands out at the side.
                places = (xy,) if owner is None or owner is worn else (xy, worn.inwards(xy))
                if any(_covers(contour, gap, place) for place in places):
                    worn.hidden.add(point)


def _covers(contour: np.ndarray, gap: np.ndarray | None, xy: np.ndarray) -> bool:
    place = (float(xy[0]), float(xy[1]))
    if cv2.pointPolygonTest(contour, place, True) <= HIDDEN_DEPTH:
        return False
    return gap is None or cv2.pointPolygonTest(gap, place, True) < 0


def _belongs(point: str, part: str) -> bool:
    """A sleeve or leg does not hide the keypoints at its own ends."""
    side = part.split("_")[1]
    own = ("cuff", "shoulder", "armpit") if part.startswith("sleeve") else ("bottom", "waistband", "crotch")
    return point == "crotch" or (point.startswith(own) and side in point)


def _extent(outline: np.ndarray, shape_hw: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the part of the picture around an outline; None when it is outside."""
    (x0, y0), (x1, y1) = np.floor(outline.min(0)) - 8, np.ceil(outline.max(0)) + 8
    x0, y0 = max(0, int(x0)), max(0, int(y0))
    x1, y1 = min(shape_hw[1], int(x1)), min(shape_hw[0], int(y1))
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None
