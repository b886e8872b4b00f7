"""What users name as photos: files, folders, patterns, lists, videos, a camera; told one by one, however many there are."""

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.images import Source

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
LISTS = (".txt",)
"""Suffixes of what is taken out of a folder; a file that is named itself may have any."""
FRAME_DIGITS = 6


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo by its `name`, for a file the path as it was named, and its `version`, which another content changes.

    A frame of a video or camera is named VIDEO/NUMBER; its content is pixels (h, w, 3) RGB, and `rate` the frames a second that
    are taken.
    """

    name: str
    content: Source
    version: str = ""
    rate: float = 0.0

    @property
    def path(self) -> Path | None:
        """The file that it is, if it is one."""
        return self.content if isinstance(self.content, Path) else None


Input = str | Source | Photo
"""What a photo may come as: a path, the bytes of a file, RGB pixels uint8 (h, w, 3) or grey (h, w), an opened picture, or any of
them with a name."""


def as_photo(given: Input) -> Photo:
    """Return a photo with its name, which is its path if it is a file; raise UserError for what is no photo.

    Pixels are copied, so that the caller may fill the same array, or turn to the next frame of the same picture, at once.
    """
    photo = given if isinstance(given, Photo) else Photo(str(given) if isinstance(given, str | Path) else "", given)
    content = Path(photo.content) if isinstance(photo.content, str) else photo.content
    if not isinstance(content, Source):
        raise UserError(
            f"a photo is a {type(content).__name__}; expected a path, the bytes of a file, an array, or a picture of Pillow"
        )
    return replace(photo, content=_kept(content))


def _kept(content: Source) -> Source:
    if isinstance(content, np.ndarray):
        grey_or_rgb = content.ndim == 2 or (content.ndim == 3 and content.shape[2] == 3)
        if content.dtype != np.uint8 or not grey_or_rgb or not content.size:
            raise UserError(
                f"a photo is an array {content.shape} of {content.dtype}; expected RGB pixels uint8 (height, width, 3), or grey "
                "ones (height, width)"
            )
        return content.copy()
    if getattr(content, "is_animated", False):
        # A frame that cannot be decoded says why when the photo is read.
        with suppress(Exception):
            return content.copy()
    return content


def find_photos(sources: Sequence[str], every: int = 1, without: Path | None = None) -> Iterator[Photo]:
    """Return an iterator over the photos of each source in turn: a photo, a folder with all below it, a pattern such as
    'shop/*.jpg', a .txt with a path a line, a video, or the number of a camera. Of videos every `every`-th frame is taken; the
    folder `without`, where results go, is left out of others.

    Raises UserError for sources that are none of these, and folders without a photo. A path of a list that leads nowhere, and
    a video that cannot be read, are told all the same: as photos, which then cannot be read.
    """
    faults = [fault for source in sources if (fault := _fault_of(source, without))]
    if faults:
        raise UserError("\n".join(faults))
    return _photos_of(sources, every, without)


def _fault_of(source: str, without: Path | None) -> str:
    if _is_camera(source):
        return ""
    if Path(source).is_dir() and next(_of_folder(Path(source), without), None) is None:
        return f"{source}: no photo in it; expected files in {', '.join(PHOTOS + VIDEOS)}"
    if Path(source).exists():
        return ""
    if glob.has_magic(source):
        matched = next(glob.iglob(source, recursive=True), None)
        return "" if matched else f"{source}: nothing matches this pattern; put it in quotes, and check the folder"
    return (
        f"{source}: no such photo; expected a photo, a folder, a pattern in quotes, a .txt with a path a line, a video, or the "
        "number of a camera"
    )


def _is_camera(source: str) -> bool:
    return source.isdecimal() and not Path(source).exists()


def _photos_of(sources: Sequence[str], every: int, without: Path | None) -> Iterator[Photo]:
    for source in sources:
        if _is_camera(source):
            # Each session of a camera has frames of its own.
            yield from _frames(f"camera{source}-{datetime.now():%Y%m%d-%H%M%S}", int(source), "", every)
            continue
        paths = [source] if Path(source).exists() else sorted(glob.glob(source, recursive=True))
        for path in map(Path, paths):
            for file in _of_folder(path, without) if path.is_dir() else [path]:
                yield from _of_file(file, every)


def version_of(path: Path) -> str:
    """Return what changes with a file's content, without reading it; empty where there is no file."""
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{state.st_size}-{state.st_mtime_ns}"


def _of_file(path: Path, every: int) -> Iterator[Photo]:
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        yield from _frames(path.as_posix(), path, version_of(path), every)
    elif suffix in LISTS:
        yield from _of_list(path, every)
    else:
        yield Photo(path.as_posix(), path, version_of(path))


def _of_folder(folder: Path, without: Path | None) -> Iterator[Path]:
    left_out = without and without.resolve()
    for place, folders, files in os.walk(folder):
        # os.walk goes on in this order.
        folders[:] = sorted(name for name in folders if (Path(place) / name).resolve() != left_out)
        yield from (Path(place) / name for name in sorted(files) if Path(name).suffix.lower() in PHOTOS + VIDEOS)


def _of_list(file: Path, every: int) -> Iterator[Photo]:
    """Paths of a list are relative to it."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line in filter(None, map(str.strip, lines)):
                path = Path(os.path.normpath(file.parent / line))
                # A list of lists may name itself.
                yield from [Photo(path.as_posix(), path)] if path.suffix.lower() in LISTS else _of_file(path, every)
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text in UTF-8; expected a path a line") from None


def _frames(name: str, source: Path | int, version: str, every: int) -> Iterator[Photo]:
    import cv2  # here: photos alone do without it

    capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    try:
        if not capture.isOpened() and isinstance(source, int):
            raise UserError(f"camera {source}: cannot be opened; check its number, and who may use it")
        if not capture.isOpened():
            yield Photo(name, source, version)
            return
        number, rate = 0, (capture.get(cv2.CAP_PROP_FPS) or 25.0) / every
        while True:
            wanted = number % every == 0
            read, pixels = capture.read() if wanted else (capture.grab(), None)
            if not read:
                return
            if wanted:
                place = f"{name}/{number:0{FRAME_DIGITS}d}"
                yield Photo(place, pixels[..., ::-1], version, rate)
            number += 1
    finally:
        capture.release()
