"""Garment key points in Python: `load` once, then call what it returns with photos.

from pipeline.api import load

predictor = load()
for result in predictor(["coat.jpg", "jeans.png"]):
    for garment in result.garments:
        print(result.photo, garment.category, garment.score, garment.box, garment.xy)
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.contract.faults import DataError, UserError
from pipeline.contract.formats.results import coco_result
from pipeline.contract.garment_values import stacked
from pipeline.contract.garments import Garment, PhotoResult
from pipeline.contract.images import Picture, PictureOptions, from_pillow, read_image
from pipeline.contract.outputs import ADDED
from pipeline.contract.records import ImageBatch, Keypoints
from pipeline.contract.schema import Schema, load_schema
from pipeline.engine.finder import Finder, Finding
from pipeline.engine.inference import Device
from pipeline.learning.loading import UNIFORMS, PixelBatchSampler, collate
from pipeline.learning.pairs import DEFAULT, Pair, Runtime
from pipeline.learning.placement import MIXED, device_of, precision
from pipeline.load import load_finder
from pipeline.orchestrator import TwoStage
from pipeline.reporting.overlay import overlay

__all__ = ["Garment", "Predictor", "Result", "load"]

Photo = str | Path | np.ndarray | Image.Image
"""A file, RGB pixels uint8 (h, w, 3) or (h, w), or an opened picture."""
BATCH, MEGAPIXELS = 8, 8.0


@dataclass(frozen=True, eq=False)
class Result(PhotoResult):
    """What is in one photo: `garments`, the surest first, or the `error` that kept it from being read.

    G garments of K keypoints (all of the schema; NaN where the category has none) as arrays, in pixels of the whole photo:
    xy (G, K, 2), point_score (G, K), box (G, 4) xyxy, score (G,); category names the G categories, keypoints the K keypoints.
    """

    schema: Schema = field(kw_only=True)
    picture: Picture | None = field(kw_only=True)

    @property
    def xy(self) -> np.ndarray:
        return np.array([one.xy for one in self.garments]).reshape(-1, len(self.schema.keypoints), 2)

    @property
    def point_score(self) -> np.ndarray:
        return np.array([one.point_score for one in self.garments]).reshape(-1, len(self.schema.keypoints))

    @property
    def box(self) -> np.ndarray:
        return np.array([one.box for one in self.garments]).reshape(-1, 4)

    @property
    def score(self) -> np.ndarray:
        return np.array([one.score for one in self.garments])

    @property
    def category(self) -> list[str]:
        return [one.category for one in self.garments]

    @property
    def keypoints(self) -> tuple[str, ...]:
        return self.schema.keypoints

    def column(self, key: str) -> np.ndarray:
        """Return a column (contract/outputs.py) over the garments, such as `score`, `points.visible`, or one of your own.

        It is (G,), (G, parts) or (G, K); NaN, or None of what is no number, stands for no value.
        """
        return stacked(key, self.garments, self.schema)

    def plot(self) -> Image.Image:
        """Return the photo with its garments drawn on; raise ValueError for one that could not be read."""
        if self.picture is None:
            raise ValueError(f"there is nothing to draw: {self.error}")
        return overlay(Image.fromarray(self.picture.pixels), 1 / self.picture.reduced, self, self.schema)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a line of predictions.jsonl holds them."""
        return self.as_dict(self.schema)

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Return the garments as COCO keypoint results of the image with this id; categories count from 1."""
        return [coco_result(image_id, one, self.schema) for one in self.garments]

    def to_supervision(self) -> Any:
        """Return supervision's KeyPoints; needs the package supervision. Keypoints that a category lacks are at 0, 0."""
        try:
            import supervision
        except ImportError:
            raise UserError("to_supervision needs the package supervision: pip install supervision") from None
        return supervision.KeyPoints(
            xy=np.nan_to_num(self.xy).astype(np.float32),
            confidence=np.nan_to_num(self.point_score).astype(np.float32),
            class_id=np.array([self.schema.category_index(name) for name in self.category], dtype=int),
            data={"class_name": np.array(self.category), **{key: self.column(key) for key in ADDED}},
        )


class Predictor:
    """Finds the garments in photos, on one device; make one by `load`."""

    def __init__(self, finder: Finder, batch: int = BATCH) -> None:
        self.schema, self.pictures, self.batch = finder.schema, finder.pictures, batch
        self.device, self.meaning = device_of(finder.device), finder.meaning
        self.dtype = MIXED.get(precision(finder.device))
        self.stages = TwoStage(finder.source, finder.locator).eval().to(self.device)

    def __call__(self, photos: Photo | Iterable[Photo]) -> list[Result]:
        """Return the result of each photo, in their order; a file that cannot be read has a result with its error.

        Raises UserError for what is no photo at all, such as an array of floats.
        """
        return list(self.stream([photos] if isinstance(photos, str | Path | np.ndarray | Image.Image) else photos))

    def stream(self, photos: Iterable[Photo]) -> Iterator[Result]:
        """Yield the results of photos that may be too many to be held, some at a time."""
        photos = iter(photos)
        with ThreadPoolExecutor(2) as pool:
            while chunk := list(islice(photos, self.batch)):
                names = [str(one) if isinstance(one, str | Path) else "" for one in chunk]
                yield from self._results(names, list(pool.map(self._read, chunk)))

    def _read(self, photo: Photo) -> Picture | str:
        """Decode a photo; return why where its file cannot be read."""
        if isinstance(photo, np.ndarray):
            return _of_array(photo)
        if isinstance(photo, Image.Image):
            return from_pillow(photo, self.pictures)
        if not isinstance(photo, str | Path):
            raise UserError(f"a photo is a {type(photo).__name__}; expected a path, an array, or a picture of Pillow")
        try:
            return read_image(Path(photo), self.pictures)
        except DataError as error:
            return str(error.faults[0])

    def _results(self, names: Sequence[str], read: Sequence[Picture | str]) -> Iterator[Result]:
        pictures = {i: one for i, one in enumerate(read) if isinstance(one, Picture)}
        found: dict[int, list[Garment]] = {i: [] for i in pictures}
        if pictures:
            order = list(pictures)
            decoded_wh = np.array([pictures[i].pixels.shape[1::-1] for i in order])
            for positions in PixelBatchSampler(decoded_wh, self.batch, 1e6 * MEGAPIXELS):
                batch = collate([(pictures[order[p]], 0, order[p], np.zeros(UNIFORMS)) for p in positions])
                for i, garment in self._garments(batch):
                    found[i].append(garment)
        for i, (name, one) in enumerate(zip(names, read, strict=True)):
            if isinstance(one, str):
                yield Result(name, (0, 0), [], one, schema=self.schema, picture=None)
            else:
                garments = sorted(found[i], key=lambda garment: -garment.score)
                yield Result(name, one.size_wh, garments, schema=self.schema, picture=one)

    @torch.no_grad()
    def _garments(self, batch: ImageBatch) -> Iterator[tuple[int, Garment]]:
        """Yield the garments of a batch, each with the index of its picture."""
        mixed = torch.autocast(self.device, dtype=self.dtype) if self.dtype else nullcontext()
        with mixed:
            result = self.stages.predict_step(batch.to(self.device))
        regions = {name: value.numpy().astype(np.float64) for name, value in result["regions"].items()}
        for r, position in enumerate(regions["image"].astype(int)):
            category = self.schema.categories[int(regions["category"][r])]
            box, box_score = regions["box"][r], float(regions["box_score"][r])
            one = Keypoints("", category, regions["xy"][r], regions["score"][r], box, box_score, fallback=False)
            yield int(result["index"][position]), Garment.of(one, self.schema, self.meaning)


def load(
    weights: str = DEFAULT,
    *,
    threshold: float = Finding.threshold,
    flip_test: bool = Finding.flip_test,
    passes: int = Finding.passes,
    device: str = "auto",
    runtime: Runtime = "auto",
    schema: str = "fashionai",
    detector: Path | None = None,
    keypoints: Path | None = None,
    pictures: PictureOptions | None = None,
    batch: int = BATCH,
) -> Predictor:
    """Load both networks.

    Args:
        weights: the name of a packaged pair, or a folder that `publish` wrote
        threshold: least score of a garment, 0..1
        flip_test: average over each crop and its mirror image: twice the time of stage 2, and more exact
        passes: 2 crops again around the points of a first pass and averages both: likewise; 0: as many as the weights were
            published for
        device: auto, cpu, or gpu
        runtime: what runs the networks of a pair: torch, onnx (faster on a CPU), int8 (faster still, slightly less exact), or
            auto: onnx on a CPU where the pair has graphs
        schema: packaged schema, or a YAML file of your own
        detector: a detector checkpoint, for the one of the pair
        keypoints: a keypoint checkpoint, for the one of the pair
        pictures: what a file may cost, and how large it is decoded
        batch: photos that go through the networks together

    Raises UserError for weights that are not there, damaged, or of another schema.
    """
    placement = Device(accelerator=device, batch_size=batch)
    loaded = load_schema(schema)
    named = (detector and Path(detector), keypoints and Path(keypoints))
    pair = Pair.of(weights, *named, runtime, device_of(placement))
    finding = Finding(threshold, flip_test, passes)
    return Predictor(load_finder(pair, loaded, finding, placement, pictures), batch)


def _of_array(pixels: np.ndarray) -> Picture:
    if (
        pixels.dtype != np.uint8
        or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
        or not pixels.size
    ):
        raise UserError(
            f"a photo is an array {pixels.shape} of {pixels.dtype}; expected RGB pixels uint8 (height, width, 3), or grey ones "
            "(height, width)"
        )
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    return Picture(np.require(pixels, requirements=("C", "W")), (pixels.shape[1], pixels.shape[0]))
