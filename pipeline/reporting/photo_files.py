"""What is made of each photo beside its line: labels, a picture with its garments on, crops; and of a video a clip of its frames.

Any of it may be missing after an interrupt: the line is written first, and what is missing is made when the photo is named again.
"""

import glob
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.results import YOLO, yolo_data, yolo_labels
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import Picture
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import PHOTOS, Photo
from garment_keypoints.pipeline.reporting.overlay import crop_file, overlay, save_crops, save_jpeg, save_video

OVERLAYS, LABELS, CROPS = "overlays", "labels", "crops"
UP, ROOT = "__", "_"
"""Folders that stand for .. and for / in the place of a photo's files."""


@dataclass
class PhotoFiles:
    """The files of a folder of predictions: labels always, overlays and crops where they are wanted."""

    folder: Path
    schema: Schema
    overlays: bool
    crops: bool
    rates: dict[str, float] = field(default_factory=dict)
    """Of each video, by its path as it was named, the frames a second that are taken."""

    def note(self, photo: Photo) -> None:
        """Remember the video that a photo is a frame of."""
        if photo.rate:
            self.rates[photo.name.rpartition("/")[0]] = photo.rate

    def outdate(self, name: str) -> None:
        """Remove what tells that the files of this photo are there: they are of an earlier content."""
        self._label(name).unlink(missing_ok=True)

    def write(self, result: PhotoResult, picture: Picture | None) -> None:
        """Write the files of a photo, the label last; none of one that could not be read, which has no picture."""
        if picture is None:
            return
        if self.overlays:
            save_jpeg(self._picture(OVERLAYS, result.photo), overlay(picture, result, self.schema))
            self._clip(result.photo.rpartition("/")[0]).unlink(missing_ok=True)  # of other frames
        if self.crops:
            save_crops(picture, self._picture(CROPS, result.photo), result)
        write_text(self._label(result.photo), yolo_labels(result, self.schema))

    def lack(self, result: PhotoResult) -> bool:
        """Tell whether files of a photo are missing that are wanted."""
        wanted = [self._label(result.photo)]
        if self.overlays:
            wanted.append(self._picture(OVERLAYS, result.photo))
        if self.crops and result.garments:
            wanted.append(crop_file(self._picture(CROPS, result.photo), 0, result.garments[0]))
        return not (result.error or all(one.exists() for one in wanted))

    def tidy(self, name: str) -> None:
        """Remove what a killed process left half-written of a photo."""
        for file in (self._label(name), self._picture(OVERLAYS, name), self._picture(CROPS, name)):
            for left in file.parent.glob(f"{glob.escape(file.stem)}*.partial"):
                left.unlink(missing_ok=True)

    def finish(self) -> None:
        """Write what is of no single photo: the clips of the videos, from the overlays of their frames, and what labels mean."""
        write_text(self.folder / LABELS / YOLO, yolo_data(self.schema))
        for name, rate in self.rates.items() if self.overlays else ():
            frames, clip = self.folder / OVERLAYS / place_of(name), self._clip(name)
            if frames.is_dir() and not clip.exists():
                save_video(frames, clip, rate)

    def _picture(self, kind: str, name: str) -> Path:
        place = place_of(name)
        suffix = "" if place.suffix.lower() in (".jpg", ".jpeg") else ".jpg"
        return self.folder / kind / place.with_name(f"{place.name}{suffix}")

    def _clip(self, video: str) -> Path:
        frames = self.folder / OVERLAYS / place_of(video)
        return frames.with_name(f"{frames.stem}-overlay.mp4")

    def _label(self, name: str) -> Path:
        """Return the place of a photo's label: .txt, as YOLO wants it; with its own suffix where others differ by that alone."""
        place = self.folder / LABELS / place_of(name)
        alike = [Path(name).with_suffix(suffix).exists() for suffix in PHOTOS]
        return place.with_name(f"{place.name}.txt") if sum(alike) > 1 else place.with_suffix(".txt")


def place_of(name: str) -> PurePosixPath:
    """Return where the files of a photo go: its path as it was named, with folders in place of what leads out of one.

    Two names have never the same place: a folder that is itself called like a stand-in gets two letters more.
    """
    parts = [part for part in PurePosixPath(name).parts if not part.endswith(":")]
    return PurePosixPath(*(_stand_in(part) for part in parts))


def _stand_in(part: str) -> str:
    if part in ("..", "/"):
        return UP if part == ".." else ROOT
    return f"{part}__" if set(part) == {"_"} else part
