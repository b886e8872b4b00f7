"""Drawing for people to look at: keypoints, boxes, heatmaps, contact sheets. Knows no stage."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from garment_keypoints.pipeline.contract.crops import crop_areas
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.contract.images import PictureOptions, read_image
from garment_keypoints.pipeline.contract.metrics import NormalizedError
from garment_keypoints.pipeline.contract.records import ABSENT, VISIBLE, Annotation, ImageRow, Keypoints
from garment_keypoints.pipeline.contract.schema import Schema
from PIL import Image, ImageDraw, ImageFont, ImageOps

LEFT, RIGHT, MIDDLE = (255, 70, 60), (40, 150, 255), (60, 220, 90)
TRUE_BOX, BOX, CROP = (60, 220, 90), (255, 190, 0), (200, 80, 255)
Tile = tuple[Image.Image, Sequence[str]]


def side_colours(schema: Schema) -> list[tuple[int, int, int]]:
    """Give each keypoint its colour: red for the picture's left, blue for its right, green where it has no side."""
    colours = [MIDDLE] * len(schema.keypoints)
    for left, right in schema.sides:
        colours[left], colours[right] = LEFT, RIGHT
    return colours


def drawable(path: Path) -> tuple[Image.Image, float]:
    """Return a picture to draw on, and what to multiply its coordinates with: large photos come smaller.

    It was read before, so what it may cost is settled.
    """
    picture = read_image(path, PictureOptions(max_megabytes=1e6, max_megapixels=1e6))
    return Image.fromarray(picture.pixels), 1 / picture.reduced


def draw_points(
    picture: Image.Image, xy: np.ndarray, shown: np.ndarray, schema: Schema, filled: bool = True, radius: float = 4
) -> None:
    """Draw the shown (K,) points xy (K, 2), in pixels of the picture, with a dark rim that reads on any ground."""
    draw = ImageDraw.Draw(picture)
    for (x, y), colour in ((p, c) for p, c, s in zip(xy, side_colours(schema), shown, strict=True) if s):
        for grow, rim in ((1.5, (0, 0, 0)), (0, colour)):
            r = radius + grow
            draw.ellipse([x - r, y - r, x + r, y + r], fill=rim if filled else None, outline=rim, width=2)


def draw_box(picture: Image.Image, box: Sequence[float], colour: tuple[int, int, int], width: int = 2) -> None:
    """Draw a box xyxy in pixels of the picture."""
    x0, y0, x1, y1 = (float(v) for v in box)
    if x1 > x0 and y1 > y0:
        ImageDraw.Draw(picture).rectangle([x0, y0, x1, y1], outline=colour, width=width)


def as_picture(crop: torch.Tensor) -> Image.Image:
    """Turn a crop (3, h, w) of 0..255 into a picture."""
    return Image.fromarray(crop.clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


def overlay_heatmaps(picture: Image.Image, heatmaps: torch.Tensor, schema: Schema) -> Image.Image:
    """Lay maps (K, h, w) of 0..1 over a grey copy of the picture, each in the colour of its side."""
    base = np.asarray(picture.convert("L").convert("RGB"), dtype=np.float32) * 0.5
    for one, colour in zip(heatmaps.cpu().numpy(), side_colours(schema), strict=True):
        if one.max() > 0:
            wide = Image.fromarray((255 * one / one.max()).astype(np.uint8)).resize(
                picture.size, Image.Resampling.BILINEAR
            )
            base += np.asarray(wide, dtype=np.float32)[..., None] / 255 * np.array(colour, dtype=np.float32)
    return Image.fromarray(base.clip(0, 255).astype(np.uint8))


def contact_sheet(tiles: Sequence[Tile], columns: int, tile: int = 240) -> Image.Image:
    """Arrange pictures with caption lines under them."""
    if not tiles:
        raise ValueError("there is nothing to draw")
    font = ImageFont.load_default(size=12)
    lines = max(len(caption) for _, caption in tiles)
    height = tile + 14 * lines + 6
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (tile + 6), rows * height), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(tiles):
        x, y = number % columns * (tile + 6) + 3, number // columns * height + 3
        small = ImageOps.contain(picture, (tile, tile))
        sheet.paste(small, (x + (tile - small.width) // 2, y + (tile - small.height) // 2))
        for line, text in enumerate(caption):
            draw.text((x, y + tile + 1 + 14 * line), text[: tile // 6], fill=(230, 230, 230), font=font)
    return sheet


def prediction_sheet(
    rows: Sequence[ImageRow],
    answers: Sequence[Annotation],
    predictions: Sequence[Keypoints | None],
    scored: NormalizedError,
    schema: Schema,
    padding: float,
    each: int = 6,
) -> Image.Image:
    """Draw the best, median and worst predictions: true points hollow, predicted filled, the box and the squared crop.

    Rows without a prediction (None) are not drawn.
    """
    per_image = scored.per_image()
    order = [int(i) for i in np.argsort(per_image) if np.isfinite(per_image[i]) and predictions[i] is not None]
    middle = max(0, len(order) // 2 - each // 2)
    blocks = (("best", order[:each]), ("median", order[middle : middle + each]), ("worst", order[-each:]))
    tiles = []
    for title, block in blocks:
        for i in block:
            picture = _prediction(rows[i], answers[i], predictions[i], schema, padding)
            found = "whole image" if predictions[i].fallback else f"box {predictions[i].box_score:.2f}"
            tiles.append((picture, [f"{title}: NE {100 * per_image[i]:.1f} %", f"{rows[i].category}, {found}"]))
    return contact_sheet(tiles, columns=each)


def _prediction(row: ImageRow, answer: Annotation, predicted: Keypoints, schema: Schema, padding: float) -> Image.Image:
    crop = crop_areas(torch.from_numpy(predicted.box), padding).numpy()
    counted = answer.visibility != ABSENT
    return prediction_picture(row, answer, predicted.xy, counted, schema, predicted.box, crop)


def prediction_picture(
    row: ImageRow,
    answer: Annotation,
    xy: np.ndarray,
    shown: np.ndarray,
    schema: Schema,
    box: np.ndarray | None = None,
    crop: np.ndarray | None = None,
) -> Image.Image:
    """Draw the predicted points xy (K, 2) that are `shown` (K,), each joined to its true one; box and crop (4,) where given."""
    picture, scale = drawable(row.path)
    if crop is not None:
        draw_box(picture, crop * scale, CROP, 1)
    if box is not None:
        draw_box(picture, box * scale, BOX)
    true_xy, xy = answer.xy * scale, xy * scale
    draw, counted = ImageDraw.Draw(picture), shown & (answer.visibility != ABSENT)
    for start, end in zip(true_xy[counted], xy[counted], strict=True):
        draw.line([*start, *end], fill=(255, 255, 255), width=2)
    radius = max(picture.size) / 110
    draw_points(picture, true_xy, answer.visibility == VISIBLE, schema, filled=False, radius=radius)
    draw_points(picture, xy, counted, schema, radius=radius * 0.7)
    return picture


def save_png(path: Path, picture: Image.Image) -> None:
    """Write a PNG, whole or not at all."""
    content = io.BytesIO()
    picture.save(content, format="PNG")
    write_bytes(path, content.getvalue())
