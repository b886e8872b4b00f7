"""Colours, patterns, folds and backgrounds: textures as float32 pictures (H, W, 3) of 0..255."""

import cv2
import numpy as np
from garment_keypoints.pipeline.sample.pose import Rng


def noise(rng: Rng, shape_hw: tuple[int, int], cells: float) -> np.ndarray:
    """Return smooth noise (H, W) of about mean 0 and deviation 1, with so many bumps over the picture."""
    count = max(2, round(cells))
    small = rng.normal(size=(count, count)).astype(np.float32)
    return cv2.resize(small, shape_hw[::-1], interpolation=cv2.INTER_CUBIC)


def colour(rng: Rng) -> np.ndarray:
    """Draw a cloth colour (3,), greys, darks and whites as often as in shops."""
    kind = rng.random()
    if kind < 0.2:
        return np.full(3, rng.uniform(12, 60), np.float32) + rng.normal(0, 5, 3).astype(np.float32)
    if kind < 0.4:
        return np.full(3, rng.uniform(195, 250), np.float32) + rng.normal(0, 5, 3).astype(np.float32)
    hsv = np.uint8([[[rng.integers(180), rng.integers(30, 230), rng.integers(50, 245)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def cloth(rng: Rng, shape_hw: tuple[int, int], angle: float, scale: float) -> np.ndarray:
    """Draw a cloth with its pattern, turned by `angle` (radians); `scale` is pixels per unit of the pose."""
    height, width = shape_hw
    base, second = colour(rng), colour(rng)
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = base
    kind = rng.choice(
        ["plain", "stripes", "checks", "dots", "floral", "gradient", "denim"], p=[0.46, 0.1, 0.1, 0.07, 0.12, 0.05, 0.1]
    )
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = angle + rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.05)
    u = x * np.cos(turn) + y * np.sin(turn) + 4 * noise(rng, shape_hw, 4)
    v = -x * np.sin(turn) + y * np.cos(turn) + 4 * noise(rng, shape_hw, 4)
    period = scale * rng.uniform(0.04, 0.16) + 3
    share = rng.uniform(0.2, 0.6)
    if kind == "stripes":
        picture[(u % period) < share * period] = second
    elif kind == "checks":
        mix = 0.5 * ((u % period) < share * period) + 0.5 * ((v % period) < share * period)
        picture += mix[..., None] * (second - base)
    elif kind == "dots":
        dots = ((u % period) - period / 2) ** 2 + ((v % period) - period / 2) ** 2 < (0.3 * period) ** 2
        picture[dots] = second
    elif kind == "floral":
        blobs = noise(rng, shape_hw, rng.uniform(14, 40)) > rng.uniform(0.3, 1.0)
        more = noise(rng, shape_hw, rng.uniform(14, 40)) > 0.9
        picture[blobs], picture[more] = second, colour(rng)
    elif kind == "gradient":
        picture += np.clip(v / height + 0.3, 0, 1)[..., None] * (second - base)
    elif kind == "denim":
        picture += rng.normal(0, 9, (height, width, 1)).astype(np.float32) + 10 * noise(rng, shape_hw, 7)[..., None]
    return picture


def folds(rng: Rng, shape_hw: tuple[int, int], angle: float, scale: float) -> np.ndarray:
    """Return brightness factors (H, W) of soft folds and shading."""
    height, width = shape_hw
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = angle + rng.normal(0, 0.4)
    across = x * np.cos(turn) + y * np.sin(turn)
    bent = across / (scale * rng.uniform(0.05, 0.14)) + 2.2 * noise(rng, shape_hw, 5)
    strength = rng.uniform(0.02, 0.13)
    light = rng.normal(0, 0.12) * (x / width - 0.5) + rng.normal(0, 0.12) * (y / height - 0.5)
    return (
        1
        + strength * np.sin(bent) * np.clip(0.6 + noise(rng, shape_hw, 4), 0, 1.6)
        + 0.05 * noise(rng, shape_hw, 9)
        + light
    )


def background(rng: Rng, shape_hw: tuple[int, int]) -> np.ndarray:
    """Draw what stands behind: a studio wall, a gradient, a room, foliage or a crowd of shapes."""
    height, width = shape_hw
    kind = rng.choice(["white", "plain", "gradient", "room", "leaves", "shapes"], p=[0.25, 0.17, 0.16, 0.16, 0.1, 0.16])
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = 252 if kind == "white" else colour(rng) * 0.4 + rng.uniform(60, 150)
    if kind in ("gradient", "room"):
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        picture += (down - 0.5) * (colour(rng) - 127) * 0.5
    if kind == "room":
        floor = int(height * rng.uniform(0.6, 0.9))
        picture[floor:] = colour(rng) * 0.5 + 60
    if kind in ("room", "shapes"):
        _add_shapes(rng, picture)
    if kind == "leaves":
        green = np.array([rng.uniform(40, 120), rng.uniform(80, 150), rng.uniform(30, 90)], np.float32)
        for cells in (12, 30, 60):
            picture[noise(rng, shape_hw, cells) > 0.5] = green * rng.uniform(0.4, 1.5)
    return picture if kind == "white" else _out_of_focus(rng, picture)


def _add_shapes(rng: Rng, picture: np.ndarray) -> None:
    """Draw furniture, frames and what else stands about, in place."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(3, 14)):
        x0, y0 = int(rng.integers(-40, width)), int(rng.integers(-40, height))
        w, h = int(rng.integers(15, width // 2)), int(rng.integers(15, height // 2))
        shade = tuple(float(c) for c in colour(rng))
        if rng.random() < 0.6:
            cv2.rectangle(picture, (x0, y0), (x0 + w, y0 + h), shade, -1 if rng.random() < 0.7 else 3)
        else:
            cv2.ellipse(picture, (x0, y0), (w // 2, h // 3), rng.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA)


def _out_of_focus(rng: Rng, picture: np.ndarray) -> np.ndarray:
    picture += (noise(rng, picture.shape[:2], 6) * rng.uniform(0, 12))[..., None]
    blur = int(rng.choice([0, 3, 7, 13]))
    return cv2.GaussianBlur(picture, (blur, blur), 0) if blur else picture


def skin(rng: Rng) -> np.ndarray:
    """Draw a skin tone (3,)."""
    light, dark = np.array([250, 220, 200], np.float32), np.array([88, 56, 40], np.float32)
    return dark + (light - dark) * np.float32(rng.beta(2.5, 1.2)) + rng.normal(0, 4, 3).astype(np.float32)
