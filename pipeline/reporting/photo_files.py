"""What is made of each photo beside its line: labels, a picture with its garments on, crops; and of a video a clip of its frames.

Any of it may be missing after an interrupt: the line is written first, and what is missing is made when the photo is named again.
What cannot be written is a warning, unless the disk is at fault.
"""

import errno
import glob
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.results import YOLO, yolo_data, yolo_labels
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import Picture
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.overlay import crop_file, overlay, save_crops, save_jpeg, save_video
from garment_keypoints.pipeline.reporting.photo_places import CLIP, FILES, Places, place_of

log = logging.getLogger("garment_keypoints")
OVERLAYS, LABELS, CROPS = "overlays", "labels", "crops"
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
"""Errors that no other photo would be spared."""


@dataclass
class PhotoFiles:
    """The files of a folder of predictions, by places: labels always, overlays and crops where they are wanted."""

    folder: Path
    schema: Schema
    overlays: bool
    crops: bool
    places: Places = field(default_factory=Places)
    rates: dict[PurePosixPath, float] = field(default_factory=dict)
    """Of each video, by its place, the frames a second that are taken."""
    lacking: int = 0
    """Photos and videos of which something could not be written."""

    def keep(self, line: dict[str, Any]) -> None:
        """Note the place of a photo that an earlier run has done."""
        self.places.keep(line["photo"], PurePosixPath(line.get(FILES) or place_of(line["photo"])))

    def place(self, line: dict[str, Any], rate: float = 0.0) -> PurePosixPath:
        """Return where the files of a line's photo go, and say so in the line if it is not below the photo's own name.

        The `rate` is that of the video that it is a frame of.
        """
        name = line["photo"]
        place = PurePosixPath(line[FILES]) if FILES in line else self.places.take(name)
        if place != place_of(name):
            line[FILES] = place.as_posix()
        if rate:
            self.rates[place.parent] = rate
        return place

    def outdate(self, place: PurePosixPath) -> None:
        """Remove what tells that the files of this photo are there: they are of an earlier content."""
        with self._warned(place):
            self._label(place).unlink(missing_ok=True)

    def write(self, place: PurePosixPath, result: PhotoResult, picture: Picture | None) -> None:
        """Write the files of a photo, the label last; none of one that could not be read, which has no picture."""
        if picture is None:
            return
        with self._warned(result.photo):
            if self.overlays:
                save_jpeg(self._picture(OVERLAYS, place), overlay(picture, result, self.schema))
                self._clip(place.parent).unlink(missing_ok=True)  # of other frames
            if self.crops:
                save_crops(picture, self._picture(CROPS, place), result)
            write_text(self._label(place), yolo_labels(result, self.schema))

    def lack(self, place: PurePosixPath, line: dict[str, Any]) -> bool:
        """Tell whether files of a line's photo are missing that are wanted."""
        wanted = [self._label(place)]
        if self.overlays:
            wanted.append(self._picture(OVERLAYS, place))
        if self.crops and line["garments"]:
            wanted.append(crop_file(self._picture(CROPS, place), 0, line["garments"][0]["category"]))
        return not all(map(os.path.isfile, wanted))

    def tidy(self, place: PurePosixPath) -> None:
        """Remove what a killed process left half-written of a photo."""
        for file in (self._label(place), self._picture(OVERLAYS, place), self._picture(CROPS, place)):
            for left in file.parent.glob(f"{glob.escape(file.stem)}*.partial"):
                left.unlink(missing_ok=True)

    def finish(self) -> None:
        """Write what is of no single photo: the clips of the videos, from the overlays of their frames, and what labels mean."""
        write_text(self.folder / LABELS / YOLO, yolo_data(self.schema))
        for place, rate in self.rates.items() if self.overlays else ():
            frames, clip = self.folder / OVERLAYS / place, self._clip(place)
            with self._warned(clip):
                if frames.is_dir() and not clip.exists():
                    save_video(frames, clip, rate)

    @contextmanager
    def _warned(self, what: object) -> Iterator[None]:
        """Make a warning of what keeps a file from being written, unless it is the disk."""
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a picture that no JPEG can hold
            if getattr(error, "errno", None) in OF_THE_DISK:
                raise
            self.lacking += 1
            log.warning("%s: not all of its files could be written (%s)", what, error)

    def _picture(self, kind: str, place: PurePosixPath) -> Path:
        suffix = "" if place.suffix.lower() in (".jpg", ".jpeg") else ".jpg"
        return self.folder / kind / place.with_name(f"{place.name}{suffix}")

    def _clip(self, video: PurePosixPath) -> Path:
        frames = self.folder / OVERLAYS / video
        return frames.with_name(f"{frames.stem}{CLIP}")

    def _label(self, place: PurePosixPath) -> Path:
        """Return the place of a photo's label: .txt, as YOLO wants it."""
        return self.folder / LABELS / place.with_name(f"{os.path.splitext(place.name)[0]}.txt")
