"""One picture: a labelled garment on a body, a hanger or a table, with what else would be in such a photo."""

from dataclasses import dataclass

import cv2
import numpy as np
from garment_keypoints.pipeline.sample import cloth
from garment_keypoints.pipeline.sample.canvas import Canvas, View, Worn
from garment_keypoints.pipeline.sample.garments import DrawnGarment, draw_garment, limb
from garment_keypoints.pipeline.sample.pose import LEFT, RIGHT, SIDES, Pose, Rng, draw_pose

TOPS = ("blouse", "outwear", "dress")


@dataclass(frozen=True)
class Scene:
    """A finished picture uint8 (H, W, 3) RGB, every garment in it, and which of them is labelled."""

    picture: np.ndarray
    garments: list[Worn]
    labelled: Worn


def draw_scene(rng: Rng, category: str, size: int) -> Scene:
    """Draw a picture whose labelled garment has the category; the longer side has `size` pixels."""
    shape_hw = _shape(rng, size)
    canvas = Canvas(rng, shape_hw)
    body = rng.random() < (0.62 if category in TOPS else 0.7)
    pose = draw_pose(rng, body)
    garment = draw_garment(rng, category, pose)
    view = _place(rng, garment, shape_hw)
    if rng.random() < 0.12:
        _bystander(rng, canvas, view.scale * 0.6)
    labelled = _dress_body(rng, canvas, pose, garment, view) if body else _lay_out(rng, canvas, pose, garment, view)
    return Scene(_photograph(rng, canvas.picture), canvas.garments, labelled)


def _shape(rng: Rng, size: int) -> tuple[int, int]:
    kind = rng.random()
    if kind < 0.66:
        return size, size
    narrow = int(size * rng.uniform(0.66, 0.78))
    return (size, narrow) if kind < 0.96 else (narrow, size)


def _place(rng: Rng, garment: DrawnGarment, shape_hw: tuple[int, int]) -> View:
    """Choose a view in which the garment fills a good part of the picture, sometimes cut by its border."""
    turn = np.deg2rad(rng.normal(0, 4) if rng.random() < 0.88 else rng.uniform(-25, 25))
    seen = {LEFT: rng.uniform(0.9, 1), RIGHT: rng.uniform(0.9, 1)}
    if rng.random() < 0.22:
        seen[rng.choice([LEFT, RIGHT])] = rng.uniform(0.6, 0.85)
    unit = View(1.0, turn, seen, np.zeros(2))
    outline = np.concatenate([unit(part) for _, part in garment.parts])
    low, high = outline.min(0), outline.max(0)
    room = np.array(shape_hw[::-1]) / (high - low)
    fill = rng.uniform(0.5, 0.95) if rng.random() < 0.85 else rng.uniform(0.3, 0.5)
    scale = float(room.min() * fill)
    slack = np.array(shape_hw[::-1]) - scale * (high - low)
    offset = slack * rng.beta(3, 3, 2)
    if rng.random() < 0.06:
        offset += rng.uniform(-0.12, 0.12, 2) * np.array(shape_hw[::-1])
    return View(scale, turn, seen, offset - scale * low)


def _dress_body(rng: Rng, canvas: Canvas, pose: Pose, target: DrawnGarment, view: View) -> Worn:
    """Paint a person that wears the garment and what goes with it."""
    tone = cloth.skin(rng)
    _bare_body(canvas, pose, view, tone)
    others = _outfit(rng, target.category, pose)
    upper = [g for g in [target, *others] if g.category in TOPS]
    lower = [g for g in [target, *others] if g.category not in TOPS]
    upper.sort(key=lambda g: g.category == "outwear")
    tucked = rng.random() < 0.35
    worn: dict[int, Worn] = {}
    behind = {side for side in (LEFT, RIGHT) if rng.random() < 0.1}
    for side in behind:
        canvas.paint(view(limb(pose, side, "arm")), tone)
    for garment in (upper + lower) if tucked else (lower + upper):
        sleeves = tuple(f"sleeve_{SIDES[side]}" for side in (LEFT, RIGHT) if side not in behind)
        worn[id(garment)] = canvas.wear(garment, view, without=sleeves)
    for side in {LEFT, RIGHT} - behind:
        canvas.paint(view(limb(pose, side, "arm")), tone)
        for garment in upper:
            for name, outline in garment.parts:
                if name == f"sleeve_{SIDES[side]}":
                    canvas.add_part(worn[id(garment)], name, view(outline))
    _head(rng, canvas, view, tone)
    if rng.random() < 0.2:
        _bag(rng, canvas, pose, view)
    return worn[id(target)]


def _outfit(rng: Rng, category: str, pose: Pose) -> list[DrawnGarment]:
    """Return the garments that go with one of the category; nobody labels them."""
    if category == "dress":
        return [draw_garment(rng, "outwear", pose)] if rng.random() < 0.06 else []
    if category in TOPS:
        lower = draw_garment(rng, str(rng.choice(["trousers", "skirt"])), pose)
        inner = [draw_garment(rng, "blouse", pose)] if category == "outwear" else []
        return [*inner, lower] if rng.random() < 0.92 else inner
    return [draw_garment(rng, "blouse" if rng.random() < 0.8 else "outwear", pose)]


def _bare_body(canvas: Canvas, pose: Pose, view: View, tone: np.ndarray) -> None:
    for side in (LEFT, RIGHT):
        canvas.paint(view(limb(pose, side, "leg")), tone)
    half = [
        (0.07, -0.15), (0.075, 0.0), (pose.shoulder - 0.02, 0.05), (pose.chest, 0.32),
        (pose.waist, 0.58), (pose.hip, 0.88), (0.1, 1.02),
    ]  # fmt: skip
    outline = [(-x, y) for x, y in half] + half[::-1]
    canvas.paint(view(np.array(outline)), tone)


def _head(rng: Rng, canvas: Canvas, view: View, tone: np.ndarray) -> None:
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    hair = cloth.colour(rng) * 0.45
    centre = np.array([rng.normal(0, 0.02), -0.27])
    ball = np.stack([np.cos(turns), np.sin(turns)], 1)
    canvas.paint(view(centre + ball * [0.155, 0.19] + [0, -0.03]), hair)
    canvas.paint(view(centre + ball * [0.115, 0.16]), tone)
    dark = np.full(3, 40, np.float32)
    for x in (-0.045, 0.045):
        canvas.paint(view(centre + ball * [0.018, 0.01] + [x, -0.02]), dark)
    canvas.paint(view(centre + ball * [0.035, 0.01] + [0, 0.085]), tone * np.float32(0.6))
    fringe = centre + np.array([[-0.12, -0.02], [-0.1, -0.15], [0, -0.19], [0.1, -0.15], [0.12, -0.02], [0.0, -0.1]])
    canvas.paint(view(fringe), hair)
    if rng.random() < 0.45:
        length = rng.uniform(0.1, 0.5)
        for side in (LEFT, RIGHT):
            if rng.random() < 0.8:
                strand = np.array([[0.1, -0.3], [0.16, -0.2], [0.17, length], [0.11, length + 0.04], [0.09, -0.1]])
                canvas.paint(view(strand * [side, 1]), hair)


def _bag(rng: Rng, canvas: Canvas, pose: Pose, view: View) -> None:
    side = int(rng.choice([LEFT, RIGHT]))
    colour = cloth.colour(rng)
    x, y = side * rng.uniform(0.2, 0.45), rng.uniform(0.65, 1.1)
    w, h = rng.uniform(0.1, 0.2), rng.uniform(0.1, 0.18)
    strap = np.array([[side * 0.1, 0.03], [side * 0.125, 0.03], [x + 0.02, y], [x, y]])
    canvas.paint(view(strap if rng.random() < 0.5 else strap * [-1, 1]), colour)
    canvas.paint(view(np.array([[x - w, y], [x + w, y], [x + w, y + h * 2], [x - w, y + h * 2]])), colour)


def _lay_out(rng: Rng, canvas: Canvas, pose: Pose, target: DrawnGarment, view: View) -> Worn:
    """Paint the garment on a hanger or flat, sometimes with another one beside or under it."""
    if rng.random() < 0.2:
        other = draw_garment(rng, str(rng.choice(["trousers", "skirt", "blouse"])), pose)
        shift = view.scale * np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 0.9), rng.uniform(-0.3, 0.5)])
        canvas.wear(other, View(view.scale, view.turn + rng.normal(0, 0.2), view.seen, view.origin + shift))
    if rng.random() < 0.5:
        _hanger(rng, canvas, view, target)
    worn = canvas.wear(target, view)
    if target.category in TOPS and rng.random() < 0.6:
        _lining(rng, canvas, view, worn, target)
    return worn


def _hanger(rng: Rng, canvas: Canvas, view: View, target: DrawnGarment) -> None:
    top = 0.0 if target.category in TOPS else float(target.points["waistband_left"][1]) - 0.02
    colour = tuple(float(c) for c in cloth.colour(rng))
    lines = [
        [[-0.28, top + 0.07], [0, top - 0.06], [0.28, top + 0.07]],
        [[0, top - 0.06], [0, top - 0.16], [0.04, top - 0.2]],
    ]
    for line in lines:
        points = np.round(view(np.array(line))).astype(np.int32)
        cv2.polylines(canvas.picture, [points], False, colour, max(2, int(view.scale * 0.02)), cv2.LINE_AA)


def _lining(rng: Rng, canvas: Canvas, view: View, worn: Worn, target: DrawnGarment) -> None:
    """Paint the inside of the back that shows above the front's neckline when nobody wears the garment."""
    left, right = target.points["neckline_left"], target.points["neckline_right"]
    depth = rng.uniform(0.015, 0.04)
    turns = np.linspace(0, np.pi, 9)
    width = (right[0] - left[0]) / 2
    edge = [[-width * np.cos(t), left[1] + depth * np.sin(t)] for t in turns]
    back = [[width * np.cos(t), left[1] - 0.35 * depth * np.sin(t)] for t in turns]
    shade = worn.texture.mean((0, 1)) * np.float32(rng.uniform(0.45, 0.8))
    hidden = set(worn.hidden)
    canvas.paint(view(np.array(edge + back)), shade)
    worn.hidden = hidden


def _bystander(rng: Rng, canvas: Canvas, largest: float) -> None:
    """Paint another garment at the side, on a hanger or on a person behind, at most at the scale `largest`."""
    pose = draw_pose(rng, True)
    garment = draw_garment(rng, str(rng.choice(["blouse", "outwear", "dress", "trousers", "skirt"])), pose)
    height, width = canvas.shape_hw
    scale = min(largest, height * rng.uniform(0.15, 0.35))
    origin = np.array(
        [rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1.0)]) * width, rng.uniform(0.1, 0.4) * height]
    )
    view = View(scale, rng.normal(0, 0.08), {LEFT: 1.0, RIGHT: 1.0}, origin)
    if rng.random() < 0.6:
        _dress_body(rng, canvas, pose, garment, view)
    else:
        canvas.wear(garment, view)


def _photograph(rng: Rng, picture: np.ndarray) -> np.ndarray:
    """Add exposure, blur and noise of a camera."""
    picture = (picture - 127) * rng.uniform(0.8, 1.15) + 127 + rng.uniform(-18, 18)
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1))
    if rng.random() < 0.5:
        picture = picture + rng.normal(0, rng.uniform(1, 6), picture.shape).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)
