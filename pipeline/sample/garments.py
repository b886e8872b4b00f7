"""Outlines and keypoints of garments on a pose, in the pose's frame."""

from dataclasses import dataclass, field

import numpy as np
from garment_keypoints.pipeline.sample.pose import LEFT, RIGHT, SIDES, Pose, Rng, along, outward, tube


@dataclass
class DrawnGarment:
    """Keypoints by name (those that the garment has), and parts (outlines (n, 2)) in drawing order.

    `covered` names keypoints that the garment itself or the arm in it hides.
    """

    category: str
    points: dict[str, np.ndarray] = field(default_factory=dict)
    parts: list[tuple[str, np.ndarray]] = field(default_factory=list)
    covered: set[str] = field(default_factory=set)
    open_front: np.ndarray | None = None


def draw_garment(rng: Rng, category: str, pose: Pose) -> DrawnGarment:
    """Draw a garment of a category for a pose."""
    if category == "trousers":
        return _trousers(rng, pose)
    if category == "skirt":
        return _skirt(rng, pose)
    return _top(rng, category, pose)


@dataclass(frozen=True)
class _Cut:
    """What the sides of a top or dress share; lengths in the pose's frame."""

    loose: float
    sleeve: float  # share of the arm that it covers, 0 is sleeveless
    strapless: bool
    neck: float
    depth: float
    shoulder: float
    armpit_y: float
    waist_y: float
    fitted: bool
    upper: float
    bottom: float
    flare: float


def _draw_cut(rng: Rng, category: str, pose: Pose) -> _Cut:
    loose = rng.uniform(0.0, 0.06) + (rng.uniform(0.03, 0.09) if category == "outwear" else 0)
    sleeve = _sleeve_share(rng, category)
    strapless = category == "dress" and sleeve == 0 and rng.random() < 0.3
    neck, depth = rng.uniform(0.09, 0.19), rng.uniform(0.04, 0.3)
    if rng.random() < 0.15:
        depth = -0.03  # turtleneck, high collar
    shoulder = pose.shoulder + loose * 0.7 if sleeve else rng.uniform(neck + 0.04, pose.shoulder)
    armpit_y = rng.uniform(0.26, 0.34) + loose * 0.6
    waist_y = rng.uniform(0.52, 0.64)
    bottom, flare = _hem(rng, category)
    upper = armpit_y - rng.uniform(0.02, 0.1) if strapless else rng.uniform(-0.01, 0.03)
    fitted = rng.random() < 0.6
    return _Cut(loose, sleeve, strapless, neck, depth, shoulder, armpit_y, waist_y, fitted, upper, bottom, flare)


def _top(rng: Rng, category: str, pose: Pose) -> DrawnGarment:
    garment = DrawnGarment(category)
    cut = _draw_cut(rng, category, pose)
    sides = {side: _add_side(rng, garment, pose, side, cut) for side in (LEFT, RIGHT)}
    if category != "outwear":
        garment.points["center_front"] = np.array([rng.normal(0, 0.01), cut.upper + max(cut.depth, 0.03)])
    with_waist = {"dress": 0.9, "outwear": 0.2, "blouse": 0.0}[category]
    if cut.fitted and rng.random() < with_waist:  # nobody can see the waist of a straight one
        for side in (LEFT, RIGHT):
            garment.points[f"waistline_{SIDES[side]}"] = sides[side][1]
    garment.parts.append(("body", _body_outline(garment, sides, cut, rng)))
    if category == "outwear" and rng.random() < 0.5:
        garment.open_front = _open_front(garment, cut.bottom, rng)
    for side in (LEFT, RIGHT):
        if cut.sleeve:
            _add_sleeve(rng, garment, pose, side, cut, sides[side][0])
        if pose.hanging[side] and rng.random() < (0.85 if cut.sleeve else 0.3):
            garment.covered.add(f"armpit_{SIDES[side]}")
    return garment


def _add_side(rng: Rng, garment: DrawnGarment, pose: Pose, side: int, cut: _Cut) -> tuple[np.ndarray, ...]:
    """Add the keypoints of one side; return armpit, waist, hip and hem (2,)."""
    waist = pose.waist if cut.fitted else pose.chest
    at_armpit = np.array([side * (pose.chest + cut.loose), cut.armpit_y])
    at_waist = np.array([side * (waist + cut.loose + rng.normal(0, 0.006)), cut.waist_y])
    at_hip = np.array([side * (pose.hip + cut.loose), 0.85])
    wide = pose.hip * 0.9 + cut.loose + cut.flare * max(0.1, cut.bottom - 0.5)
    hem = np.array([side * wide, cut.bottom + rng.normal(0, 0.012)])
    name = SIDES[side]
    garment.points[f"neckline_{name}"] = np.array([side * (pose.chest * 0.8 if cut.strapless else cut.neck), cut.upper])
    garment.points[f"armpit_{name}"] = at_armpit
    if not cut.strapless:
        garment.points[f"shoulder_{name}"] = np.array([side * cut.shoulder, 0.05 + rng.normal(0, 0.008)])
    garment.points[f"hemline_{name}" if garment.category == "dress" else f"top_hem_{name}"] = hem
    return at_armpit, at_waist, at_hip, hem


def _sleeve_share(rng: Rng, category: str) -> float:
    """Return how much of the arm the sleeve covers; 0 is sleeveless."""
    if category == "outwear":
        return rng.uniform(0.85, 1.03)
    without = {"blouse": 0.08, "dress": 0.32}[category]
    if rng.random() < without:
        return 0.0
    return float(
        rng.choice([rng.uniform(0.14, 0.4), rng.uniform(0.4, 0.75), rng.uniform(0.85, 1.02)], p=[0.4, 0.2, 0.4])
    )


def _hem(rng: Rng, category: str) -> tuple[float, float]:
    """Return the height of the hem and how much the garment widens towards it."""
    if category == "blouse":
        return rng.uniform(0.5, 1.1), rng.uniform(-0.02, 0.12)
    if category == "outwear":
        return rng.choice([rng.uniform(0.6, 1.05), rng.uniform(1.05, 2.1)], p=[0.6, 0.4]), rng.uniform(-0.02, 0.12)
    return rng.uniform(1.2, 2.45), rng.uniform(-0.02, 0.42)


def _body_outline(garment: DrawnGarment, sides: dict[int, tuple[np.ndarray, ...]], cut: _Cut, rng: Rng) -> np.ndarray:
    left = [garment.points["neckline_left"]]
    right = [garment.points["neckline_right"]]
    for side, line in ((LEFT, left), (RIGHT, right)):
        armpit, waist, hip, hem = sides[side]
        shoulder = garment.points.get(f"shoulder_{SIDES[side]}")
        if shoulder is not None:
            # An armhole curves inwards; a sleeve begins on the straight line from shoulder to armpit.
            armhole = [] if cut.sleeve else [(shoulder + armpit) / 2 - [side * rng.uniform(0.0, 0.04), 0]]
            line += [shoulder, *armhole]
        line += [armpit, waist] + ([hip] if cut.bottom > 0.9 else []) + [hem]
    curve = rng.uniform(-0.03, 0.06) * (right[-1][0] - left[-1][0])
    middle = (left[-1] + right[-1]) / 2 + [0, curve]
    sharp = rng.random() < 0.4
    turns = np.linspace(0, np.pi, 3 if sharp else 9)[1:-1]
    start, end = right[0], left[0]
    neckline = [
        (start + end) / 2 + [(start[0] - end[0]) / 2 * np.cos(t), max(cut.depth, -0.03) * np.sin(t)] for t in turns
    ]
    return np.array([*left, middle, *right[::-1], *neckline])


def _open_front(garment: DrawnGarment, bottom: float, rng: Rng) -> np.ndarray:
    """Return the gap (n, 2) of an open jacket or coat, through which the inner garment shows."""
    top = rng.uniform(0.02, 0.08)
    gap = rng.uniform(0.04, 0.16)
    return np.array(
        [[-top, 0.0], [-gap, 0.5], [-gap * 1.2, bottom + 0.1], [gap * 1.2, bottom + 0.1], [gap, 0.5], [top, 0.0]]
    )


def _add_sleeve(rng: Rng, garment: DrawnGarment, pose: Pose, side: int, cut: _Cut, armpit: np.ndarray) -> None:
    name = SIDES[side]
    start = 0.095 + cut.loose * 0.6
    cuff = rng.uniform(0.05, 0.075) + cut.loose * 0.4 + (rng.uniform(0.03, 0.09) if rng.random() < 0.2 else 0)
    if cut.sleeve < 0.5:
        cuff = max(cuff, start * rng.uniform(0.75, 1.0))
    outer, inner = tube(pose.arms[side], side, tuple(np.linspace(start, cuff, 6)), cut.sleeve)
    shoulder = garment.points[f"shoulder_{name}"]
    outer[0], inner[0] = shoulder, armpit
    outer[1:-1] += rng.normal(0, 0.004, outer[1:-1].shape)
    garment.points[f"cuff_{name}_out"] = outer[-1]
    garment.points[f"cuff_{name}_in"] = inner[-1]
    garment.parts.append((f"sleeve_{name}", np.concatenate([outer, inner[::-1]])))


def _trousers(rng: Rng, pose: Pose) -> DrawnGarment:
    garment = DrawnGarment("trousers")
    top = rng.uniform(0.5, 0.78)
    share = float(rng.choice([rng.uniform(0.2, 0.5), rng.uniform(0.6, 1.0)], p=[0.2, 0.8]))
    width = rng.uniform(0.01, 0.05)
    flare = rng.uniform(-0.02, 0.1) if rng.random() < 0.5 else 0.0
    waist = pose.waist + (pose.hip - pose.waist) * (top - 0.5) / 0.5 + width * 0.5
    crotch = np.array([rng.normal(0, 0.01), rng.uniform(0.98, 1.1)])
    garment.points["crotch"] = crotch
    tilt = rng.normal(0, 0.012)
    outline: dict[int, list] = {}
    for side in (LEFT, RIGHT):
        name = SIDES[side]
        band = np.array([side * waist, top + side * tilt])
        widths = tuple(w + width for w in np.interp(np.linspace(0, share, 6), [0, 0.5, 1], [0.15, 0.1, 0.065 + flare]))
        outer, inner = tube(pose.legs[side], side, widths, share)
        outer[0] = [side * (pose.hip + width), 0.88]
        inner[0] = crotch
        if side * inner[1][0] < 0:
            inner[1] = [0, inner[1][1]]
        garment.points[f"waistband_{name}"] = band
        garment.points[f"bottom_{name}_out"], garment.points[f"bottom_{name}_in"] = outer[-1], inner[-1]
        outline[side] = [band, *outer, *inner[::-1]]
    middle = np.array([0, top + 0.015])
    for side in rng.permutation([LEFT, RIGHT]):
        garment.parts.append((f"leg_{SIDES[int(side)]}", np.array([*outline[int(side)], middle])))
    return garment


def _skirt(rng: Rng, pose: Pose) -> DrawnGarment:
    garment = DrawnGarment("skirt")
    top, bottom = rng.uniform(0.48, 0.72), rng.choice([rng.uniform(1.1, 1.6), rng.uniform(1.6, 2.45)])
    flare = rng.choice([rng.uniform(-0.06, 0.04), rng.uniform(0.04, 0.45)])
    waist = pose.waist + (pose.hip - pose.waist) * (top - 0.45) / 0.55 + 0.01
    tilt = rng.normal(0, 0.015)
    lines: dict[int, list] = {}
    for side in (LEFT, RIGHT):
        band = np.array([side * waist, top + side * tilt])
        hem = np.array([side * (pose.hip + flare * (bottom - 0.6)), bottom + rng.normal(0, 0.02)])
        hip = np.array([side * (pose.hip + 0.02 + max(0, flare) * 0.25), 0.9])
        garment.points[f"waistband_{SIDES[side]}"], garment.points[f"hemline_{SIDES[side]}"] = band, hem
        lines[side] = [band, hip, hem]
    hem = np.linspace(lines[LEFT][2], lines[RIGHT][2], 9)[1:-1]
    hem[:, 1] += 0.05 * (lines[RIGHT][2][0]) * np.sin(np.linspace(0, np.pi, 9))[1:-1]
    if flare > 0.1:
        hem[:, 1] += rng.normal(0, 0.012, len(hem))
    garment.parts.append(("body", np.array([*lines[LEFT], *hem, *lines[RIGHT][::-1], [0, top + 0.01]])))
    return garment


def limb(pose: Pose, side: int, which: str) -> np.ndarray:
    """Return the outline (n, 2) of a bare arm or leg, hand or foot included."""
    line = pose.arms[side] if which == "arm" else pose.legs[side]
    widths = (0.075, 0.065, 0.055, 0.05, 0.04, 0.032) if which == "arm" else (0.15, 0.12, 0.085, 0.08, 0.07, 0.045)
    outer, inner = tube(line, side, widths)
    end, direction = along(line, 1.0)
    normal = outward(side, direction)
    tip = 0.16 if which == "arm" else 0.1
    hand = [
        end + direction * tip * 0.4 + normal * 0.045,
        end + direction * tip,
        end + direction * tip * 0.5 - normal * 0.045,
    ]
    return np.array([*outer, *hand, *inner[::-1]])
