"""Reliability diagrams: what was said against what came true, on the diagonal where the two agree."""

from collections.abc import Sequence

from garment_keypoints.pipeline.learning.calibration import Reliability
from PIL import Image, ImageDraw, ImageFont

SIDE, EDGE, TEXT = 300, 46, 13
GROUND, INK, GRID, LINE = (255, 255, 255), (30, 30, 30), (215, 215, 215), (31, 119, 180)


def draw_reliability(panels: Sequence[tuple[str, Reliability]]) -> Image.Image:
    """Draw a panel each, from 0 to the largest value in it (at most 1)."""
    width = SIDE + 2 * EDGE
    picture = Image.new("RGB", (width * len(panels), SIDE + 2 * EDGE), GROUND)
    for number, (title, one) in enumerate(panels):
        _panel(ImageDraw.Draw(picture), number * width + EDGE, title, one)
    return picture


def _panel(draw: ImageDraw.ImageDraw, left: float, title: str, one: Reliability) -> None:
    font = ImageFont.load_default(size=TEXT)
    most = max(0.05, *one.said.tolist(), *one.true.tolist())
    top, bottom = EDGE, EDGE + SIDE
    draw.text((left, 8), title, fill=INK, font=font)
    draw.text((left, 25), f"mean gap {one.gap:.3f}", fill=INK, font=font)
    draw.rectangle([left, top, left + SIDE, bottom], outline=GRID)
    draw.line([left, bottom, left + SIDE, top], fill=GRID, width=2)
    for share in (0, 0.5, 1):
        draw.text((left + share * SIDE, bottom + 14), f"{share * most:.2f}", fill=INK, font=font, anchor="mm")
        draw.text((left - 8, bottom - share * SIDE), f"{share * most:.2f}", fill=INK, font=font, anchor="rm")
    places = [(left + s / most * SIDE, bottom - t / most * SIDE) for s, t in zip(one.said, one.true, strict=True)]
    draw.line(places, fill=LINE, width=2)
    for x, y in places:
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=LINE)
    draw.text((left + SIDE / 2, bottom + 32), "said (up: true)", fill=INK, font=font, anchor="mm")
