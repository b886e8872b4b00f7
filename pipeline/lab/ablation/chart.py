"""The chart of an ablation: a panel a figure, a line a row; means with their deviations, and each seed as a tick."""

import math
from collections.abc import Sequence

from garment_keypoints.pipeline.lab.ablation.table import LABELS, Line, seeds_cell
from garment_keypoints.pipeline.lab.noise import Mean
from garment_keypoints.pipeline.reporting.plots import nice_ticks
from garment_keypoints.pipeline.reporting.tables import MISSING
from PIL import Image, ImageDraw, ImageFont

PANELS = ("ne", "ne_true_boxes", "ap")
"""Figures that are drawn, where the ablation has them."""
LINE, PANEL, TOP, BOTTOM, GAP, EDGE = 34, 420, 58, 44, 40, 20
"""Pixels: height of a row, width of a panel, margins above and below the rows, between panels and around."""
GROUND, INK, FAINT, GRID, POINT = (255, 255, 255), (30, 30, 30), (120, 120, 120), (225, 225, 225), (31, 119, 180)
TEXT = 14


def draw_chart(title: str, lines: Sequence[Line]) -> Image.Image:
    """Draw the rows in the ablation's order; the dashed line is the first row's mean, a bar one standard deviation."""
    font = ImageFont.load_default(size=TEXT)
    names = [name for name in PANELS if name in lines[0].means]
    captions = [f"{line.row.name}  ({seeds_cell(line)})" for line in lines]
    left = EDGE + math.ceil(max(font.getlength(caption) for caption in captions)) + 16
    width = left + len(names) * PANEL + (len(names) - 1) * GAP + EDGE + 24
    picture = Image.new("RGB", (width, TOP + LINE * len(lines) + BOTTOM), GROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((EDGE, 8), title, fill=INK, font=ImageFont.load_default(size=18))
    for i, caption in enumerate(captions):
        draw.text((left - 12, _middle(i)), caption, fill=INK, font=font, anchor="rm")
    for number, name in enumerate(names):
        _Panel(draw, left + number * (PANEL + GAP), name, lines).draw()
    return picture


def _middle(i: int) -> float:
    return TOP + LINE * (i + 0.5)


class _Panel:
    """One figure of all rows, its axis from the least to the largest value."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, name: str, lines: Sequence[Line]) -> None:
        self.draw_on, self.x, self.name, self.lines = draw, x, name, lines
        self.font = ImageFont.load_default(size=TEXT)
        self.bottom = TOP + LINE * len(lines)
        ends = [end for line in lines if (one := line.means[name]) for end in _reach(one, self._seeds(line))]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        room = 0.08 * (high - low) or max(0.05 * abs(high), 1e-3)
        self.low, self.high = low - room, high + room

    def draw(self) -> None:
        self.draw_on.text((self.x, TOP - 8), LABELS.get(self.name, self.name), fill=INK, font=self.font, anchor="ls")
        for tick in nice_ticks(self.low, self.high):
            at = self._at(tick)
            self.draw_on.line([at, TOP, at, self.bottom], fill=GRID)
            self.draw_on.text((at, self.bottom + 6), f"{tick:g}", fill=FAINT, font=self.font, anchor="mt")
        self.draw_on.line([self.x, self.bottom, self.x + PANEL, self.bottom], fill=FAINT)
        first = self.lines[0].means[self.name]
        if first:
            at = self._at(first.value)
            for y in range(TOP, self.bottom, 8):
                self.draw_on.line([at, y, at, y + 4], fill=FAINT)
        for i, line in enumerate(self.lines):
            self._row(_middle(i), line)

    def _row(self, y: float, line: Line) -> None:
        one = line.means[self.name]
        if one is None:
            missing = MISSING if line.done else line.state
            self.draw_on.text((self.x + 8, y), missing, fill=FAINT, font=self.font, anchor="lm")
            return
        for value in self._seeds(line):
            at = self._at(value)
            self.draw_on.line([at, y + 5, at, y + 11], fill=FAINT)
        if one.sd is not None:
            low, high = self._at(one.value - one.sd), self._at(one.value + one.sd)
            self.draw_on.line([low, y, high, y], fill=POINT, width=2)
            for end in (low, high):
                self.draw_on.line([end, y - 5, end, y + 5], fill=POINT, width=2)
        at = self._at(one.value)
        self.draw_on.ellipse([at - 5, y - 5, at + 5, y + 5], fill=POINT)

    def _at(self, value: float) -> float:
        return self.x + PANEL * (value - self.low) / (self.high - self.low)

    def _seeds(self, line: Line) -> list[float]:
        values = [(one.figures or {}).get(self.name) for one in line.done]
        return [value for value in values if value is not None]


def _reach(one: Mean, seeds: Sequence[float]) -> list[float]:
    return [one.value - (one.sd or 0), one.value + (one.sd or 0), *seeds]
