"""Line plots in panels: a line a series, with axes of round numbers and one legend for all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS = (
    (31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207), (140, 86, 75),
    (127, 127, 127), (188, 189, 34), (227, 119, 194),
)  # fmt: skip
GROUND, INK, FAINT, GRID = (255, 255, 255), (30, 30, 30), (120, 120, 120), (225, 225, 225)
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 400, 260, 64, 34, 20, 50
"""Pixels: of a panel's plot, and of what surrounds it."""
TEXT, LEGEND = 13, 24


@dataclass(frozen=True)
class Panel:
    """A plot: series by name, each x (N,) and y (N,); `marks` draws each point as well."""

    title: str
    across: str
    series: Mapping[str, tuple[np.ndarray, np.ndarray]]
    marks: bool = False


def draw_panels(panels: Sequence[Panel], columns: int = 3) -> Image.Image:
    """Draw panels in rows of so many; a series has the same colour in each, by its place among all names."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    wide, high = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    picture = Image.new("RGB", (columns * wide, rows * high + LEGEND * len(names) + 12), GROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=TEXT)
    for i, panel in enumerate(panels):
        _draw(draw, font, panel, colour, (i % columns) * wide + LEFT, (i // columns) * high + TOP)
    for i, name in enumerate(names):
        y = rows * high + LEGEND * (i + 0.5)
        draw.line([LEFT, y, LEFT + 30, y], fill=colour[name], width=3)
        draw.text((LEFT + 40, y), name, fill=INK, font=font, anchor="lm")
    return picture


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most so many round numbers from low to high: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if (high - low) / (s * power) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _draw(
    draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont, panel: Panel, colour: Mapping, left: float, top: float
) -> None:
    right, bottom = left + WIDTH, top + HEIGHT
    (low_x, high_x), (low_y, high_y) = (
        _reach(np.concatenate([one[axis] for one in panel.series.values()])) for axis in (0, 1)
    )

    def place(x: float, y: float) -> tuple[float, float]:
        return left + WIDTH * (x - low_x) / (high_x - low_x), bottom - HEIGHT * (y - low_y) / (high_y - low_y)

    draw.text((left, top - 10), panel.title, fill=INK, font=font, anchor="ls")
    for tick in nice_ticks(low_x, high_x):
        x, _ = place(tick, low_y)
        draw.line([x, top, x, bottom], fill=GRID)
        draw.text((x, bottom + 6), f"{tick:g}", fill=FAINT, font=font, anchor="mt")
    for tick in nice_ticks(low_y, high_y):
        _, y = place(low_x, tick)
        draw.line([left, y, right, y], fill=GRID)
        draw.text((left - 6, y), f"{tick:g}", fill=FAINT, font=font, anchor="rm")
    draw.text(((left + right) / 2, bottom + 24), panel.across, fill=FAINT, font=font, anchor="mt")
    for name, (xs, ys) in panel.series.items():
        places = [place(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]
        if len(places) > 1:
            draw.line(places, fill=colour[name], width=2)
        for x, y in places if panel.marks else ():
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour[name])
    draw.rectangle([left, top, right, bottom], outline=FAINT)


def _reach(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of an axis: those of the values, with a little room."""
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or max(0.05 * abs(high), 1e-3)
    return low - room, high + room
