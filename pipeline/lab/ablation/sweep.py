"""The curves of an ablation whose rows differ in one number, such as the padding of the crops."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from garment_keypoints.pipeline.lab.ablation.definition import Ablation
from garment_keypoints.pipeline.lab.ablation.table import LABELS, Line
from garment_keypoints.pipeline.reporting.plots import Panel, draw_panels
from PIL import Image

LEAST_ROWS = 3
NE = ("ne", "ne_true_boxes")
FURTHER = ("contained_in_square", "zoom")


def swept(ablation: Ablation) -> tuple[str, list[float]] | None:
    """Return the one setting, by dotted name, in which the rows differ, and each row's; None unless it is a number."""
    rows = [_leaves(asdict(row.settings)) for row in ablation.rows]
    differing = [name for name in rows[0] if len({repr(row[name]) for row in rows}) > 1]
    if len(differing) != 1 or len(rows) < LEAST_ROWS:
        return None
    values = [row[differing[0]] for row in rows]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return (differing[0], [float(value) for value in values]) if len(set(values)) == len(values) else None


def draw_sweep(setting: str, values: Sequence[float], lines: Sequence[Line]) -> Image.Image | None:
    """Draw the rows' means against the setting, and NE against containment; None while fewer than two rows have any."""
    pairs = [pair for pair in zip(values, lines, strict=True) if pair[1].means.get(NE[0])]
    order = sorted(pairs, key=lambda pair: pair[0])
    if len(order) < 2:
        return None
    at, done = [value for value, _ in order], [line for _, line in order]
    both = {LABELS[name]: _series(at, done, name) for name in NE if _has(done, name)}
    panels = [Panel("NE %", setting, both, marks=True)]
    for name in FURTHER:
        if _has(done, name):
            panels.append(Panel(LABELS[name], setting, {LABELS["ne"]: _series(at, done, name)}, marks=True))
    if _has(done, FURTHER[0]):
        held = [line.means[FURTHER[0]].value for line in done]  # type: ignore[union-attr]
        panels.append(Panel("NE %", LABELS[FURTHER[0]], {LABELS["ne"]: _series(held, done, "ne")}, marks=True))
    return draw_panels(panels, columns=2)


def _has(lines: Sequence[Line], name: str) -> bool:
    return all(line.means.get(name) for line in lines)


def _series(at: Sequence[float], lines: Sequence[Line], name: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array(at), np.array([line.means[name].value for line in lines])  # type: ignore[union-attr]


def _leaves(values: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _leaves(value, f"{group}{name}.") if isinstance(value, dict) else {f"{group}{name}": value}
    return found
