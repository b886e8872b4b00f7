"""A body in a pose. Frame: y points down, (0, 0) is the base of the neck, (0, 1) the crotch, x < 0 the picture's left."""

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator
LEFT, RIGHT = -1, 1
SIDES = {LEFT: "left", RIGHT: "right"}


@dataclass(frozen=True)
class Pose:
    """Half widths of the body by height, and the limbs as polylines (3, 2) by side: joints from the trunk outwards."""

    shoulder: float
    chest: float
    waist: float
    hip: float
    arms: dict[int, np.ndarray]
    legs: dict[int, np.ndarray]
    hanging: dict[int, bool]
    """Whether the arm hangs close to the body and hides the armpit."""


def draw_pose(rng: Rng, body: bool) -> Pose:
    """Draw proportions and a pose; without a body (hanger, flat lay) the limbs lie as clothes do."""
    shoulder = rng.uniform(0.29, 0.37)
    waist = rng.uniform(0.19, 0.25)
    hip = rng.uniform(0.25, 0.32)
    habit = rng.choice(["down", "out", "akimbo", "raised", "folded", "mixed"], p=[0.55, 0.15, 0.13, 0.03, 0.04, 0.1])
    arms, hanging = {}, {}
    symmetric = rng.uniform(6, 40)
    for side in (LEFT, RIGHT):
        own = rng.choice(["down", "out", "akimbo", "raised", "folded"]) if habit == "mixed" else habit
        upper, bend = _arm_angles(rng, own) if body else (symmetric + rng.normal(0, 2), rng.normal(0, 4))
        start = np.array([side * (shoulder - 0.03), 0.08])
        elbow = start + rng.uniform(0.44, 0.52) * _direction(side, upper)
        wrist = elbow + rng.uniform(0.4, 0.48) * _direction(side, upper + bend)
        arms[side] = np.array([start, elbow, wrist])
        hanging[side] = upper < 28
    return Pose(shoulder, rng.uniform(0.24, 0.29), waist, hip, arms, _legs(rng, hip, body), hanging)


def _arm_angles(rng: Rng, habit: str) -> tuple[float, float]:
    """Return the upper arm's angle from hanging straight, outwards, and how the forearm turns on from it, in degrees."""
    ranges = {
        "down": ((3, 22), (-25, 8)),
        "out": ((25, 70), (-40, 25)),
        "akimbo": ((30, 60), (-125, -70)),
        "raised": ((95, 165), (-20, 90)),
        "folded": ((5, 25), (-140, -95)),
    }
    upper, bend = ranges[habit]
    return rng.uniform(*upper), rng.uniform(*bend)


def _legs(rng: Rng, hip: float, body: bool) -> dict[int, np.ndarray]:
    stance = rng.uniform(-3, 14) if body else rng.uniform(0, 9)
    legs = {}
    for side in (LEFT, RIGHT):
        walking = rng.normal(0, 5) if body else 0
        thigh = stance + walking
        start = np.array([side * hip * 0.52, 0.95])
        knee = start + rng.uniform(0.72, 0.82) * _direction(side, thigh)
        ankle = knee + rng.uniform(0.68, 0.78) * _direction(side, thigh + (rng.normal(-3, 5) if body else 0))
        legs[side] = np.array([start, knee, ankle])
    return legs


def _direction(side: int, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([side * np.sin(angle), np.cos(angle)])


def along(line: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the place (2,) at a share of the polyline's length, and the direction (2,) there."""
    steps = np.diff(line, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    rest = share * lengths.sum()
    for start, step, length in zip(line, steps, lengths, strict=False):
        if rest <= length or length == lengths[-1]:
            return start + step / length * rest, step / length
        rest -= length
    raise ValueError("share of a polyline without length")


def outward(side: int, direction: np.ndarray) -> np.ndarray:
    """Return the normal (2,) of a limb's direction that points away from the body when the limb hangs."""
    return np.array([side * direction[1], -side * direction[0]])


def tube(line: np.ndarray, side: int, widths: tuple[float, ...], share: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the outer and inner edge (n, 2) of a limb, or of a tube of cloth around it, up to a share of its length.

    `widths` are half widths at even shares from 0 to `share`.
    """
    outer, inner = [], []
    for part, width in zip(np.linspace(0, share, len(widths)), widths, strict=True):
        place, direction = along(line, part)
        normal = outward(side, direction) * width
        outer.append(place + normal)
        inner.append(place - normal)
    return np.array(outer), np.array(inner)
