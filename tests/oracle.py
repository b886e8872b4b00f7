"""A drawn data set whose points are known exactly, and a run of the real pipeline over it with stand-ins for the stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, ImageBatch, ImageRow, Keypoints, Points, Regions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference
from PIL import Image
from torch import Tensor, nn

ROTATED = 6  # EXIF: show the picture a quarter clockwise
# Every second step of each channel but the greys: 24 colours at least 127 apart, one a keypoint.
COLOURS = [(r, g, b) for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 128, 255) if not r == g == b]
GROUND = 64


class Dots(nn.Module):
    """A locator that looks: the centroid of each keypoint's own colour, and the middle where there is none."""

    def __init__(self, size_wh: tuple[int, int], padding: float) -> None:
        super().__init__()
        self.size_wh, self.padding = size_wh, padding
        self.register_buffer("colours", torch.tensor(COLOURS, dtype=torch.float32))

    def job(self) -> dict[str, Any]:
        return {"keypoints": "dots", "size_wh": self.size_wh, "padding": self.padding}

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        h, w = crops.shape[-2:]
        away = (crops[:, None] - self.colours[None, :, :, None, None]).square().sum(2).sqrt()
        weight = (1 - away / 40).clamp(min=0)
        mass = weight.sum((-1, -2))
        x = (weight.sum(-2) * (torch.arange(w) + 0.5)).sum(-1) / mass.clamp(min=1e-6)
        y = (weight.sum(-1) * (torch.arange(h) + 0.5)).sum(-1) / mass.clamp(min=1e-6)
        return Points(torch.stack([x, y], -1), mass, torch.zeros_like(mass))


class TrueBoxes(nn.Module):
    """A source that knows the boxes, by row one or several, and tells the locator whose turn it is."""

    def __init__(self, boxes: np.ndarray, row: np.ndarray | None = None) -> None:
        super().__init__()
        self.given = GivenBoxes(boxes, row)
        self.current = np.zeros(0, dtype=int)

    def job(self) -> dict[str, Any]:
        return self.given.job()

    def regions(self, batch: ImageBatch) -> Regions:
        found = self.given.regions(batch)
        # Which of the given boxes each region is, told by the box itself.
        same = found.boxes[:, None] == self.given.boxes
        self.current = same.all(-1).int().argmax(1).numpy()
        return found


class TruePoints(nn.Module):
    """A locator that knows the points in the image, and works out by itself where its crop shows them."""

    def __init__(self, detector: TrueBoxes, xy: np.ndarray, size_wh: tuple[int, int], padding: float) -> None:
        super().__init__()
        self.detector, self.xy, self.size_wh, self.padding = detector, xy, size_wh, padding

    def job(self) -> dict[str, Any]:
        return {"keypoints": "truth", "size_wh": self.size_wh, "padding": self.padding}

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        rows = self.detector.current
        box = self.detector.given.boxes.double().numpy()[rows]
        sides = (box[:, 2:] - box[:, :2]) * (1 + 2 * self.padding)
        zoom = (np.array(self.size_wh) / sides).min(1)[:, None, None]
        centre = (box[:, None, :2] + box[:, None, 2:]) / 2
        xy = (self.xy[rows] - centre) * zoom + np.array(self.size_wh) / 2
        ones = torch.ones(xy.shape[:2])
        return Points(torch.from_numpy(xy).float(), ones, ones)


@dataclass(frozen=True)
class Case:
    """One picture of the oracle's data set: how it is stored, and where its box lies (None: the extent of the points)."""

    size_wh: tuple[int, int]
    category: str
    stored: str = "RGB"
    box: tuple[float, float, float, float] | None = None


def draw_case(case: Case, file: Path, xy: np.ndarray, members: Sequence[int], radius: float = 4.5) -> None:
    """Save the picture with a soft dot of its own colour at each point, centred to a fraction of a pixel."""
    width, height = case.size_wh
    picture = np.full((height, width, 3), float(GROUND))
    columns, rows = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    for k in members:
        cover = (radius + 0.5 - np.hypot(columns - xy[k, 0], rows - xy[k, 1])).clip(0, 1)[..., None]
        picture = picture * (1 - cover) + np.array(COLOURS[k]) * cover
    image = Image.fromarray(np.rint(picture).astype(np.uint8))
    exif = Image.Exif()
    if case.stored == "exif":
        image, exif[0x0112] = image.transpose(Image.Transpose.ROTATE_90), ROTATED
    elif case.stored != "RGB":
        image = image.convert(case.stored)
    image.save(file, exif=exif, quality=98, subsampling=0)


def make_rows(
    folder: Path, schema: Schema, cases: Sequence[Case], apart: float = 0, radius: float = 4.5
) -> list[Annotation]:
    """Draw the cases, with integer points all over each picture (borders included) and some occluded or absent."""
    rng = np.random.default_rng(7)
    rows = []
    for number, case in enumerate(cases):
        members = schema.members[case.category]
        size = np.array(case.size_wh)
        if apart:
            grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2)[rng.permutation(25)[:24]]
            xy = np.rint((grid + 1) * size / 6 + rng.uniform(-apart, apart, (24, 2)))
        else:
            xy = rng.integers(0, size + 1, (24, 2)).astype(float)
        visibility = np.full(24, -1, dtype=np.int8)
        visibility[list(members)] = 1
        pair = schema.reference[case.category]
        free = [k for k in members if k not in pair]
        visibility[free[0]] = 0
        visibility[free[-1]] = 1 if apart or len(free) < 3 else -1
        image_id = f"Images/{case.category}/{number}.jpg"
        (folder / image_id).parent.mkdir(parents=True, exist_ok=True)
        draw_case(case, folder / image_id, xy, members, radius)
        rows.append(Annotation(image_id, case.category, folder / image_id, xy, visibility))
    return rows


def boxes_of(rows: Sequence[Annotation], cases: Sequence[Case]) -> np.ndarray:
    extents = []
    for row, case in zip(rows, cases, strict=True):
        xy = row.xy[row.present]
        extents.append(case.box or (*xy.min(0), *xy.max(0)))
    return np.array(extents)


def run_predict(
    rows: Sequence[ImageRow],
    stages: tuple[nn.Module, nn.Module],
    shards: Path,
    schema: Schema,
    pictures: PictureOptions | None = None,
    **device: object,
) -> tuple[list[Keypoints], np.ndarray]:
    """Run the pipeline as `submit` does."""
    where = Device(**({"batch_size": 4, "workers": 0, "accelerator": "cpu"} | device))  # type: ignore[arg-type]
    options = pictures or PictureOptions()
    result = Inference(*stages, schema, where, options).run(RowSet.by_headers(rows, options), shards)
    return result.keypoints, result.sizes_wh
