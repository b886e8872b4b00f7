"""A photo with what was found in it drawn on: boxes with category and score, points with a rim."""

import io
import os
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.contract.images import Picture
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.pictures import draw_box, draw_points
from PIL import Image, ImageDraw, ImageFont

COLOURS = ((255, 190, 0), (200, 80, 255), (60, 220, 90), (0, 200, 220), (255, 120, 160), (160, 200, 60))
"""Of boxes, by category in turn; points are red and blue."""
QUALITY = 90


def overlay(picture: Picture, result: PhotoResult, schema: Schema) -> Image.Image:
    """Return the picture with its garments drawn on; a large photo comes smaller."""
    drawn, scale = Image.fromarray(picture.pixels), 1 / picture.reduced
    unit = max(drawn.size) / 400
    for garment in result.garments:
        colour = COLOURS[schema.category_index(garment.category) % len(COLOURS)]
        draw_box(drawn, garment.box * scale, colour, width=max(2, round(unit)))
        has = np.isfinite(garment.point_score)
        draw_points(drawn, np.nan_to_num(garment.xy * scale), has, schema, radius=max(2.0, 1.8 * unit))
        _label(drawn, garment, scale, colour, round(max(11, 8 * unit)))
    return drawn


def save_crops(picture: Picture, out: Path, result: PhotoResult) -> None:
    """Write the box of each garment as a JPEG, named by `crop_file`."""
    whole, scale = Image.fromarray(picture.pixels), 1 / picture.reduced
    for number, garment in enumerate(result.garments):
        x0, y0, x1, y1 = (float(value) for value in garment.box * scale)
        crop = whole.crop((int(x0), int(y0), max(int(x0) + 1, round(x1)), max(int(y0) + 1, round(y1))))
        save_jpeg(crop_file(out, number, garment.category), crop)


def crop_file(out: Path, number: int, category: str) -> Path:
    """Return where the crop of a photo's garment goes: `out` with the garment's number and category in its name."""
    return out.with_name(f"{out.stem}-{number}-{category}.jpg")


def save_video(frames: Path, out: Path, rate: float) -> None:
    """Join the overlays of a video's frames, the JPEGs of a folder in their order, into an MP4 of `rate` frames a second."""
    import cv2  # here: photos alone do without it

    files = sorted(frames.glob("*.jpg"))
    with Image.open(files[0]) as first:
        size_wh = first.size
    partial = out.with_name(f"{out.stem}.partial.mp4")
    writer = cv2.VideoWriter(str(partial), cv2.VideoWriter_fourcc(*"mp4v"), rate, size_wh)
    for file in files:
        writer.write(cv2.imread(str(file)))
    writer.release()
    os.replace(partial, out)


def _label(picture: Image.Image, garment: Garment, scale: float, colour: tuple[int, int, int], size: int) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=size)
    text = f"{garment.category} {garment.score:.2f}"
    x, y = (float(value) for value in garment.box[:2] * scale)
    left, top, right, bottom = draw.textbbox((x, max(0.0, y - 1.3 * size)), text, font=font)
    draw.rectangle([left - 2, top - 2, right + 2, bottom + 2], fill=colour)
    draw.text((x, max(0.0, y - 1.3 * size)), text, fill=(0, 0, 0), font=font)


def save_jpeg(out: Path, picture: Image.Image) -> None:
    """Write a JPEG, whole or not at all."""
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=QUALITY)
    write_bytes(out, content.getvalue())
