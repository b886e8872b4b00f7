"""The picture of matrices: a cell a pair of boxes, the darker the larger its NE."""

from collections.abc import Mapping

import numpy as np
from garment_keypoints.pipeline.lab.match.matrix import Matrix
from PIL import Image, ImageDraw, ImageFont

WIDE, HIGH, HEAD, EDGE, TEXT = 150, 38, 74, 20, 14
GROUND, INK, FAINT, LIGHT, DARK = (255, 255, 255), (30, 30, 30), (120, 120, 120), (247, 251, 255), (66, 146, 198)


def draw_matrix(matrices: Mapping[str, Matrix], titles: Mapping[str, str]) -> Image.Image:
    """Draw the matrices below one another; the best of each column has a frame."""
    font = ImageFont.load_default(size=TEXT)
    names = [row for one in matrices.values() for row in one.rows]
    left = EDGE + int(max(font.getlength(name) for name in names)) + 14
    width = left + WIDE * max(len(one.columns) for one in matrices.values()) + EDGE
    picture = Image.new("RGB", (width, sum(HEAD + HIGH * len(one.rows) for one in matrices.values()) + EDGE), GROUND)
    draw, top = ImageDraw.Draw(picture), 0
    for title, matrix in matrices.items():
        draw.text((EDGE, top + 10), f"NE %, {title}", fill=INK, font=ImageFont.load_default(size=17))
        _draw(draw, font, matrix, titles, left, top + HEAD)
        top += HEAD + HIGH * len(matrix.rows)
    return picture


def _draw(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    matrix: Matrix,
    titles: Mapping[str, str],
    left: int,
    top: int,
) -> None:
    means = [[matrix.mean((row, column)) for column in matrix.columns] for row in matrix.rows]
    values = np.array([[np.nan if one is None else one.value for one in row] for row in means])
    # By rank: one row of whole images would leave all other cells of one colour.
    ranks = np.argsort(np.argsort(np.nan_to_num(values, nan=np.inf), axis=None)).reshape(values.shape)
    for i, row in enumerate(matrix.rows):
        draw.text((left - 10, top + HIGH * (i + 0.5)), row, fill=INK, font=font, anchor="rm")
    for j, column in enumerate(matrix.columns):
        draw.text((left + WIDE * (j + 0.5), top - 8), titles.get(column, column), fill=INK, font=font, anchor="ms")
        best = int(np.nanargmin(values[:, j])) if np.isfinite(values[:, j]).any() else -1
        for i in range(len(matrix.rows)):
            place = [left + WIDE * j, top + HIGH * i, left + WIDE * (j + 1) - 3, top + HIGH * (i + 1) - 3]
            one, share = means[i][j], ranks[i, j] / max(1, values.size - 1)
            colour = tuple(round(a + share * (b - a)) for a, b in zip(LIGHT, DARK, strict=True))
            frame = INK if i == best else None
            draw.rectangle(place, fill=GROUND if one is None else colour, outline=frame, width=2 if frame else 0)
            spread = f" ± {one.sd:.2f}" if one and one.sd is not None else ""
            text = "pending" if one is None else f"{one.value:.2f}{spread}"
            middle = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
            draw.text(middle, text, fill=FAINT if one is None else INK, font=font, anchor="mm")
