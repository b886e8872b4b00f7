"""The verb that cuts pictures without garments out of boxed photos, for a detector to learn what is none."""

import itertools
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.contract.formats.boxed import read_boxed, write_boxed
from garment_keypoints.pipeline.contract.images import PictureOptions, read_image
from garment_keypoints.pipeline.contract.records import NOTHING, BoxedImage
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import sample_rows
from garment_keypoints.pipeline.reporting.overlay import save_jpeg
from garment_keypoints.pipeline.runs.claims import CONFIG, claim
from garment_keypoints.pipeline.runs.json_files import write_json
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import measured, provenance
from PIL import Image
from rich.progress import track

log = logging.getLogger("garment_keypoints")
BOXED, RECORD = "boxed.csv", "boxed.json"
GREYS = (255, 0, 128)
"""The first plain pictures: white, black and grey without any noise, as a screen or a scanner makes them."""
PLAIN_SIDES = (256, 512)


@alone_at_out
def backgrounds(
    boxed: Path,
    photos: Path,
    out: Path,
    pictures: PictureOptions,
    margin: float = 0.05,
    least: float = 0.2,
    plain: int = 0,
    limit: int = 0,
    schema: str = "fashionai",
) -> None:
    """Cut out of boxed photos what shows no garment, for a detector to learn what is none (train-detector --boxed).

    Of each photo it is the largest rectangle beside its boxes; look at some of them: what no box says is not known.

    Args:
        boxed: garments with a box, such as `pseudo-label` writes: a CSV of image_id,category,x0,y0,x1,y1
        photos: folder of the photos
        out: folder for the pictures, and boxed.csv, which says that they hold nothing
        pictures: what a picture may cost
        margin: how far to keep from a box, as a fraction of its longer side
        least: least side of a rectangle, as a fraction of the photo's shorter side
        plain: so many pictures of one colour besides, some of them unevenly lit and noisy
        limit: rehearse on so many boxes (0: all)
        schema: packaged schema, or a YAML file of your own
    """
    for name, value in {"margin": margin, "least": least}.items():
        if not 0 <= value <= 1:
            raise UserError(f"--{name} is {value}; expected 0 to 1")
    if plain < 0:
        raise UserError(f"--plain is {plain}; expected 0 (none) or more")
    inputs = {"boxed": file_hash(boxed), "margin": margin, "least": least, "plain": plain, "limit": limit}
    _claim(out, inputs)
    boxes: dict[str, list[BoxedImage]] = {}
    for row in sample_rows(read_boxed(boxed, photos, load_schema(schema)), limit):
        boxes.setdefault(row.image_id, []).append(row)
    record = {"provenance": provenance(), "inputs": inputs}
    with measured(record):
        cut = [_cut(name, rows, out, margin, least, pictures) for name, rows in track(boxes.items(), "backgrounds")]
    made = [one for one in cut if one is not None]
    if not made:
        raise UserError(f"{boxed}: no photo of {len(boxes)} has room beside its boxes; lower --least or --margin")
    taken = {*boxes, *(row.image_id for row in made)}
    drawn = [_draw_plain(number, out, taken) for number in range(plain)]
    write_boxed(out / BOXED, [*made, *drawn])
    record["figures"] = {"photos": len(boxes), "backgrounds": len(made), "plain": plain}
    write_json(out / RECORD, record)
    print(f"{out}: {len(made)} backgrounds of {len(boxes)} photos{f', {plain} plain pictures' if plain else ''}")


def _claim(out: Path, inputs: dict[str, Any]) -> None:
    """Refuse a folder that holds something else than what this command makes of these inputs, so far or as a whole."""
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).exists():
        raise UserError(f"--out is {out}, which holds other files; choose a new folder")
    claim(out, inputs)


def _cut(
    image_id: str, rows: Sequence[BoxedImage], out: Path, margin: float, least: float, pictures: PictureOptions
) -> BoxedImage | None:
    """Write the largest rectangle of a photo beside its boxes, and return its row; None where there is no room."""
    try:
        picture = read_image(rows[0].path, pictures)
    except DataError as error:
        log.warning("left out: %s", error.faults[0])
        return None
    boxes = np.stack([row.box for row in rows])
    grow = margin * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    found = largest_free(picture.size_wh, np.concatenate([boxes[:, :2] - grow, boxes[:, 2:] + grow], 1))
    x0, y0, x1, y1 = (int(value) // picture.reduced for value in found)
    wanted = least * min(picture.size_wh) / picture.reduced
    if min(x1 - x0, y1 - y0) < max(1, wanted):
        return None
    # With its own suffix too, since a.png and a.webp may lie side by side.
    name = image_id if image_id.lower().endswith((".jpg", ".jpeg")) else f"{image_id}.jpg"
    save_jpeg(out / name, Image.fromarray(picture.pixels[y0:y1, x0:x1]))
    return BoxedImage(name, NOTHING, out / name, np.zeros(4))


def _draw_plain(number: int, out: Path, taken: Collection[str]) -> BoxedImage:
    """Write the plain picture of this number, the same on every run, and return its row."""
    name = f"plain-{number:04}.jpg"
    if name in taken:
        raise UserError(f"{name}: the name of a photo and of a plain picture; leave --plain out, or rename the photo")
    save_jpeg(out / name, Image.fromarray(plain_picture(number)))
    return BoxedImage(name, NOTHING, out / name, np.zeros(4))


def plain_picture(number: int) -> np.ndarray:
    """Return a picture uint8 (h, w, 3) of one colour; from the fourth on it is unevenly lit, and noisy."""
    rng = np.random.default_rng(number)
    width, height = rng.integers(*PLAIN_SIDES, 2, endpoint=True)
    if number < len(GREYS):
        return np.full((height, width, 3), GREYS[number], np.uint8)
    # Half of them without colour, as walls and sheets of paper are.
    colour = rng.uniform(0, 255, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 255))
    slope_x, slope_y = rng.uniform(-60, 60, 2)
    light = slope_x * np.linspace(-0.5, 0.5, width) + slope_y * np.linspace(-0.5, 0.5, height)[:, None]
    noise = rng.normal(0, rng.uniform(0, 6), (height, width, 3))
    return np.clip(colour + light[..., None] + noise, 0, 255).astype(np.uint8)


def largest_free(size_wh: tuple[int, int], boxes: np.ndarray) -> tuple[int, int, int, int]:
    """Return the largest rectangle xyxy, in whole pixels, of a picture that shares none with the boxes (N, 4).

    Each of its sides is one of the picture's or of a box; without room it has no area.
    """
    boxes = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], 1)
    sides = []
    for axis, length in enumerate(size_wh):
        places = np.unique(np.clip([0, length, *boxes[:, axis], *boxes[:, 2 + axis]], 0, length))
        sides.append(list(itertools.combinations(places, 2)))
    best, area = (0, 0, 0, 0), 0.0
    for (x0, x1), (y0, y1) in itertools.product(*sides):
        apart = (boxes[:, 0] >= x1) | (boxes[:, 2] <= x0) | (boxes[:, 1] >= y1) | (boxes[:, 3] <= y0)
        if (x1 - x0) * (y1 - y0) > area and apart.all():
            best, area = (int(x0), int(y0), int(x1), int(y1)), (x1 - x0) * (y1 - y0)
    return best
