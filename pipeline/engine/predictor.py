"""Pictures in, garments out: the one engine behind the API, `predict`, `serve`, catalogues and videos.

Photos stream through: headers are read first, so that batches can be cut by their pixels, and the pictures of the next batch are
decoded in threads while the networks are at the one before. Never more than a few batches are in memory.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult, PointCalibration
from garment_keypoints.pipeline.contract.images import (
    Picture,
    PictureOptions,
    image_size,
    read_image,
    reduction,
)
from garment_keypoints.pipeline.contract.records import ImageBatch, Keypoints
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import Input, Photo, as_photo
from garment_keypoints.pipeline.engine.box_sources import SourceParts, build_source
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.forking import refuse_forked
from garment_keypoints.pipeline.engine.refinement import refined
from garment_keypoints.pipeline.engine.result import Result
from garment_keypoints.pipeline.learning.calibration import Calibration
from garment_keypoints.pipeline.learning.loading import UNIFORMS, collate, pixel_batches
from garment_keypoints.pipeline.learning.manifests import MOST_REFINEMENTS
from garment_keypoints.pipeline.learning.pairs import AS_PUBLISHED, Pair
from garment_keypoints.pipeline.learning.placement import mixed, one_device
from garment_keypoints.pipeline.load import load_networks
from garment_keypoints.pipeline.orchestrator import TwoStage

One, Other = TypeVar("One"), TypeVar("Other")


@dataclass
class DetectionOptions:
    """What counts as a garment, and how carefully its points are placed."""

    threshold: float = 0.4
    """Least score of a garment."""
    flip_test: bool = True
    """Average over each crop and its mirror image: twice the time of stage 2, and more exact."""
    refine: int = AS_PUBLISHED
    """So many times a garment is cropped again around its points, and the points of all crops are averaged: the time of stage 2
    each; -1: as the weights were published."""

    def __post_init__(self) -> None:
        if not (isinstance(self.threshold, int | float) and 0 < self.threshold <= 1):
            raise UserError(f"threshold is {self.threshold!r}; expected a number above 0, at most 1")
        if not isinstance(self.flip_test, bool):
            raise UserError(f"flip_test is {self.flip_test!r}; expected true or false")
        if type(self.refine) is not int or not AS_PUBLISHED <= self.refine <= MOST_REFINEMENTS:
            raise UserError(
                f"refine is {self.refine!r}; expected 0 to {MOST_REFINEMENTS}, or {AS_PUBLISHED}, as the weights were published"
            )


@dataclass(frozen=True, eq=False)
class _Opened:
    """A photo whose header has been read: the size_wh of what is decoded, or the `error` that kept it from that."""

    photo: Photo
    decoded_wh: tuple[int, int] = (0, 0)
    error: str = ""


class Predictor:
    """Finds the garments in photos, on one device; make one by `load_predictor`. `job` names what decides the results.

    A photo that cannot be read is a result with its error; UserError is raised for what is no photo at all, such as an array of
    floats.
    """

    def __init__(
        self,
        stages: TwoStage,
        schema: Schema,
        job: dict[str, Any],
        device: Device | None = None,
        pictures: PictureOptions | None = None,
        calibration: PointCalibration | None = None,
    ) -> None:
        self.options, self.pictures = device or Device(), pictures or PictureOptions()
        self.schema, self.job, self.calibration = schema, job, calibration
        self.device, self.dtype = one_device(self.options), mixed(self.options)
        self.stages = stages.eval().to(self.device)

    def __call__(self, photos: Input | Iterable[Input]) -> list[Result]:
        """Return the result of each photo, in their order."""
        return list(self.stream([photos] if isinstance(photos, Input) else photos))

    def stream(self, photos: Iterable[Input]) -> Iterator[Result]:
        """Yield the result of each photo, in their order; there may be more of them than can be held."""
        for results in self.batches(photos):
            yield from results

    def find(self, names: Sequence[str], files: Sequence[Path]) -> list[PhotoResult]:
        """Return what is in each file, without its picture, by the names that they are given."""
        photos = (Photo(name, file) for name, file in zip(names, files, strict=True))
        return [replace(result, picture=None) for result in self.stream(photos)]

    def batches(self, photos: Iterable[Input]) -> Iterator[list[Result]]:
        """Yield the results in the batches that go through the networks; one is done before the next begins."""
        refuse_forked()
        options = self.options
        with _threads(options.workers) as pool:
            opened = _ahead(pool, self._open, map(as_photo, photos), 2 * max(1, options.workers))
            sized = ((one, one.decoded_wh) for one in opened)
            loading: deque[tuple[list[str], list[Future]]] = deque()
            for batch in pixel_batches(sized, options.batch_size, 1e6 * options.batch_megapixels):
                # The photos themselves go when they are decoded; their names stay.
                loading.append(([one.photo.name for one in batch], [pool.submit(self._decode, one) for one in batch]))
                if len(loading) > 1:
                    yield self._results(*loading.popleft())
            while loading:
                yield self._results(*loading.popleft())

    def __reduce__(self) -> NoReturn:
        raise UserError(
            "a predictor cannot be pickled, nor copied to another process; call load() there, such as in worker_init_fn of a "
            "DataLoader"
        )

    def read(self, photo: Photo) -> Picture:
        """Decode a photo; raise DataError for one that cannot be read."""
        return read_image(photo.content, self.pictures, _name_of(photo))

    def _open(self, photo: Photo) -> _Opened:
        if photo.error:
            return _Opened(photo, error=photo.error)
        try:
            width, height = size = image_size(photo.content, self.pictures, _name_of(photo))
        except DataError as error:
            return _Opened(photo, error=str(error.faults[0]))
        factor = reduction(size, self.pictures.detail)
        return _Opened(photo, (width // factor, height // factor))

    def _decode(self, opened: _Opened) -> Picture | str:
        """Return the picture, or why there is none."""
        if opened.error:
            return opened.error
        try:
            return self.read(opened.photo)
        except DataError as error:
            return str(error.faults[0])

    def _results(self, names: Sequence[str], decoding: Sequence[Future]) -> list[Result]:
        pictures = [one.result() for one in decoding]
        found: list[list[Garment]] = [[] for _ in names]
        read = [
            (picture, 0, i, np.zeros(UNIFORMS)) for i, picture in enumerate(pictures) if isinstance(picture, Picture)
        ]
        if read:
            for i, garment in self._garments(collate(read)):
                found[i].append(garment)
        return [
            self._result(name, picture, garments)
            for name, picture, garments in zip(names, pictures, found, strict=True)
        ]

    def _result(self, name: str, picture: Picture | str, garments: list[Garment]) -> Result:
        if isinstance(picture, str):
            return Result(name, (0, 0), [], picture, schema=self.schema, picture=None)
        garments = sorted(garments, key=lambda garment: -garment.score)
        return Result(name, picture.size_wh, garments, schema=self.schema, picture=picture)

    @torch.inference_mode()
    def _garments(self, batch: ImageBatch) -> list[tuple[int, Garment]]:
        """Return the garments of a batch, each with the index of its picture."""
        with torch.autocast(self.device, dtype=self.dtype) if self.dtype else nullcontext():
            result = self.stages.predict_step(batch.to(self.device))
        regions = {name: value.numpy().astype(np.float64) for name, value in result["regions"].items()}
        if not all(np.isfinite(regions[name]).all() for name in ("box", "box_score", "xy", "score")):
            raise UserError(
                "the networks give a box or point that is not finite; their weights are damaged, or the precision is too small "
                "for them: try --precision 32-true"
            )
        garments = []
        for r, position in enumerate(regions["image"].astype(int)):
            category = self.schema.categories[int(regions["category"][r])]
            box, box_score = regions["box"][r], float(regions["box_score"][r])
            one = Keypoints("", category, regions["xy"][r], regions["score"][r], box, box_score, fallback=False)
            garments.append((int(result["index"][position]), Garment.of(one, self.schema, self.calibration)))
        return garments


def load_predictor(
    pair: Pair,
    schema: Schema,
    options: DetectionOptions | None = None,
    device: Device | None = None,
    pictures: PictureOptions | None = None,
) -> Predictor:
    """Load both networks of a pair to find every garment in photos of unknown content.

    Raises UserError in a process that was forked from one where this was done.
    """
    refuse_forked()
    options, pictures = options or DetectionOptions(), pictures or PictureOptions()
    detector, locator = load_networks(pair, schema, options.flip_test)
    if locator.source != "box":
        raise UserError(
            f"{pair.keypoints}: trained on whole images; garments in photos need a network trained on boxes"
        )
    refine = pair.refine if options.refine == AS_PUBLISHED else options.refine
    source = build_source("detections", SourceParts(detector, threshold=options.threshold))
    source = refined(refine, source, locator, schema, detector.margin)
    job = {"detector": detector.fingerprint, "keypoints": locator.fingerprint, "schema": schema.fingerprint}
    job |= {"threshold": options.threshold, "flip_test": options.flip_test, "refine": refine, "detail": pictures.detail}
    calibration = None
    if pair.calibration is not None:
        calibration = Calibration.load(pair.calibration, schema, locator.settings)
        job["calibration"] = file_hash(pair.calibration)
    return Predictor(TwoStage(source, locator), schema, job, device, pictures, calibration)


def _name_of(photo: Photo) -> str:
    """Return what an error calls the photo: a file by where it lies."""
    return str(photo.path or photo.name)


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that decode; what they have not begun when this ends is left."""
    pool = ThreadPoolExecutor(max(1, count), thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[One], Other], items: Iterable[One], count: int
) -> Iterator[Other]:
    """Yield what a function makes of each item, in their order, made in the pool up to so many items ahead."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
