"""Find the garments in photos whose content is not known: every garment of every photo, some hundreds of photos at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contract.faults import DataError, UserError
from pipeline.contract.garments import Garment, Meaning, PhotoResult
from pipeline.contract.images import PictureOptions, image_size
from pipeline.contract.protocols import BoxSource, Locator
from pipeline.contract.records import ImageRow
from pipeline.contract.schema import Schema
from pipeline.data.select import RowSet
from pipeline.engine.inference import Device, Inference
from pipeline.engine.shards import remove_shards


@dataclass
class Finding:
    """What counts as a garment, and how carefully its points are placed."""

    threshold: float = 0.4
    """Least score of a garment."""
    flip_test: bool = True
    """Average over each crop and its mirror image: twice the time of stage 2, and more exact."""
    passes: int = 0
    """2 crops again around the points of a first pass and averages both: likewise; 0: as the weights were published."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UserError(f"--threshold is {self.threshold}; expected a number above 0, at most 1")


@dataclass(frozen=True)
class Finder:
    """Both stages, of which the first says what garments there are. `job` names what decides the results.

    `meaning` says what the scores of points mean, where the weights are calibrated.
    """

    source: BoxSource
    locator: Locator
    schema: Schema
    job: dict[str, Any]
    device: Device = field(default_factory=Device)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    meaning: Meaning | None = None

    def __post_init__(self) -> None:
        if self.device.devices not in ("auto", "1") or self.device.num_nodes != 1:
            raise UserError(
                f"devices is {self.device.devices}, num_nodes {self.device.num_nodes}; photos are predicted on one device: "
                "start the command several times, each with a part of the photos and an --out of its own"
            )

    def find(self, names: Sequence[str], files: Sequence[Path], shards: Path) -> list[PhotoResult]:
        """Return what is in each photo, in their order; one that cannot be read has its error.

        `shards` is a folder for what is done when this is interrupted; the same photos go on from there.
        """
        sizes_wh, errors = self._headers(files)
        fine = [i for i in range(len(files)) if i not in errors]
        found: dict[str, list[Garment]] = {}
        if fine:
            # The category is not known; the source of the regions does not ask for it.
            rows = [ImageRow(names[i], self.schema.categories[0], files[i]) for i in fine]
            device = replace(self.device, devices="1", workers=min(self.device.workers, len(rows) - 1))
            known = RowSet(rows=rows, sizes_wh=np.array([sizes_wh[i] for i in fine]), digests=[*map(_version, rows)])
            inference = Inference(self.source, self.locator, self.schema, device, self.pictures, skip=True)
            result = inference.run(known, shards)
            for one in result.keypoints:
                found.setdefault(one.image_id, []).append(Garment.of(one, self.schema, self.meaning))
            errors |= {i: result.unread[row.key] for i, row in zip(fine, rows, strict=True) if row.key in result.unread}
            remove_shards(shards)
        return [
            PhotoResult(name, (0, 0), [], errors[i])
            if i in errors
            else PhotoResult(name, sizes_wh[i], sorted(found.get(name, []), key=lambda one: -one.score))
            for i, name in enumerate(names)
        ]

    def _headers(self, files: Sequence[Path]) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
        """Return the size of each photo by its header, and why others cannot be read."""
        sizes_wh, errors = {}, {}
        for i, file in enumerate(files):
            try:
                sizes_wh[i] = image_size(file, self.pictures)
            except DataError as error:
                errors[i] = str(error.faults[0])
        return sizes_wh, errors


def _version(row: ImageRow) -> str:
    """Return what changes with a photo's content; to hash it would read every photo twice."""
    state = row.path.stat()
    return f"{state.st_size}-{state.st_mtime_ns}"
