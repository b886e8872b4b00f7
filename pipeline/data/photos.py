"""What users name as photos: files, folders, patterns, lists, videos, a camera; told one by one, however many there are."""

import glob
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.images import DROP, PictureOptions, Source
from garment_keypoints.pipeline.data.videos import camera_frames, video_frames

log = logging.getLogger("garment_keypoints")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
LISTS = (".txt",)
"""Suffixes of what is taken out of a folder; a file that is named itself may have any."""
FRAME_DIGITS = 6
CAMERA = "camera"


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo by its `name`, for a file the path as it was named, and its `version`, which another content changes.

    A frame of a video or camera is named VIDEO/NUMBER; its content is pixels (h, w, 3) RGB, and `rate` the frames a second that
    are taken. What was found to be no photo has an `error`.
    """

    name: str
    content: Source
    version: str = ""
    rate: float = 0.0
    error: str = ""

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


def version_of(path: Path) -> str:
    """Return what changes with a file's content, without reading it; empty where there is no file."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # ValueError: a list may name what no file can be called
        return ""
    return f"{state.st_size}-{state.st_mtime_ns}"


def video_of(name: str) -> str:
    """Return the name of the video or camera that a photo of this name is a frame of; empty for any other photo."""
    video, _, number = name.rpartition("/")
    has_frames = video.lower().endswith(VIDEOS) or video.startswith(CAMERA)
    return video if has_frames and number.isdecimal() and len(number) >= FRAME_DIGITS else ""


def find_photos(
    sources: Sequence[str], every: int = 1, without: Path | None = None, pictures: PictureOptions | None = None
) -> Iterator[Photo]:
    """Return an iterator over the photos of each source in turn: a photo, a folder with all below it, a pattern such as
    'shop/*.jpg', a .txt with a path a line, a video, or the number of a camera. Of videos every `every`-th frame is taken; what
    lies in the folder `without`, where results go, is left out.

    Raises UserError for sources that are none of these, or have no photo. A path of a list that leads nowhere, a video that
    cannot be read and a folder that cannot be listed are told all the same: as photos with an error.
    """
    search = _Search(every, os.path.realpath(without) if without else None, pictures or PictureOptions())
    faults = [fault for source in sources if (fault := search.fault_of(source))]
    if faults:
        raise UserError("\n".join(faults))
    return search.photos(sources)


@dataclass(frozen=True)
class _Search:
    """How sources are searched; `results` is the real path of a folder that is left out."""

    every: int
    results: str | None
    pictures: PictureOptions

    def fault_of(self, source: str) -> str:
        """Return why a source gives no photo; empty where it may give one."""
        if _is_camera(source):
            return ""
        if Path(source).exists():
            if self._is_result(source):
                return f"{source}: lies in the folder of the results; choose another --out"
            empty = Path(source).is_dir() and next(self._files_of(Path(source)), None) is None
            return f"{source}: no photo in it; expected files in {', '.join(PHOTOS + VIDEOS)}" if empty else ""
        if glob.has_magic(source):
            matched = any(not self._is_result(path) for path in glob.iglob(source, recursive=True))
            return "" if matched else f"{source}: nothing matches this pattern; put it in quotes, and check the folder"
        return (
            f"{source}: no such photo; expected a photo, a folder, a pattern in quotes, a .txt with a path a line, a video, or "
            "the number of a camera"
        )

    def photos(self, sources: Sequence[str]) -> Iterator[Photo]:
        for source in sources:
            if _is_camera(source):
                # Each session of a camera has frames of its own.
                name = f"{CAMERA}{source}-{datetime.now():%Y%m%d-%H%M%S}"
                yield from _named(name, "", camera_frames(int(source), self.every))
                continue
            paths = [source] if Path(source).exists() else sorted(glob.glob(source, recursive=True))
            for path in map(Path, paths):
                if not self._is_result(path):
                    yield from self._of_folder(path) if path.is_dir() else self._of_file(path)

    def _is_result(self, path: str | Path) -> bool:
        if self.results is None:
            return False
        real = os.path.realpath(path)
        return real == self.results or real.startswith(os.path.join(self.results, ""))

    def _of_folder(self, folder: Path) -> Iterator[Photo]:
        for file in self._files_of(folder, tell=log.warning):
            if isinstance(file, Path):
                yield from self._of_file(file)
            else:
                yield _unread(Path(file.filename), f"cannot be listed ({file.strerror}); see who may, {DROP}")

    def _files_of(self, folder: Path, tell: Callable[..., None] = log.debug) -> Iterator[Path | OSError]:
        """Yield the photos and videos below a folder, and why folders cannot be listed; links to folders are only told."""
        unlisted: list[OSError] = []
        for place, folders, files in os.walk(folder, onerror=unlisted.append):
            # os.walk goes on in this order.
            folders[:] = sorted(name for name in folders if not self._is_result(Path(place, name)))
            for link in filter(os.path.islink, (os.path.join(place, name) for name in folders)):
                tell("%s: a link to a folder, which is not followed; name it as a source of its own", link)
            yield from (Path(place) / name for name in sorted(files) if Path(name).suffix.lower() in PHOTOS + VIDEOS)
        yield from unlisted

    def _of_file(self, path: Path) -> Iterator[Photo]:
        suffix = path.suffix.lower()
        if suffix in VIDEOS:
            yield from self._of_video(path)
        elif suffix in LISTS:
            yield from self._of_list(path)
        else:
            yield Photo(path.as_posix(), path, version_of(path))

    def _of_video(self, path: Path) -> Iterator[Photo]:
        try:
            yield from _named(path.as_posix(), version_of(path), video_frames(path, self.every, self.pictures))
        except DataError as error:
            yield _unread(path, error)

    def _of_list(self, file: Path) -> Iterator[Photo]:
        """Paths of a list are relative to it, and bytes, as names of files are: one that is no text is found all the same."""
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for line in filter(None, map(str.strip, lines)):
                path = Path(os.path.normpath(file.parent / line))
                if "\0" in line:
                    yield _unread(path, f"no name of a file; mend {file}")
                elif self._is_result(path):
                    yield _unread(path, f"lies in the folder of the results; choose another --out, {DROP}")
                elif path.suffix.lower() in LISTS:  # a list of lists may name itself
                    yield Photo(path.as_posix(), path)
                else:
                    yield from self._of_file(path)


def _is_camera(source: str) -> bool:
    return source.isdecimal() and not Path(source).exists()


def _named(name: str, version: str, frames: Iterator[tuple[int, float, np.ndarray]]) -> Iterator[Photo]:
    for number, rate, pixels in frames:
        yield Photo(f"{name}/{number:0{FRAME_DIGITS}d}", pixels, version, rate)


def _unread(path: Path, reason: object) -> Photo:
    text = str(reason) if isinstance(reason, DataError) else f"{path}: {reason}"
    return Photo(path.as_posix(), path, version_of(path), error=text)
