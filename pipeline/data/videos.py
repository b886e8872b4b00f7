"""The frames of a video file or a camera, decoded one by one; what is no video, or too large a one, is told by name."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.images import DROP, PictureOptions

log = logging.getLogger("garment_keypoints")
FRAME_BYTES = 12
"""Bytes that a pixel of a frame takes while it is decoded, as measured with OpenCV's FFmpeg."""
HEAD = 8
RIFF = b"RIFF"
RATE = 25.0
"""Frames a second of what does not say it."""


def video_frames(file: Path, every: int, options: PictureOptions) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield every `every`-th frame: its number, the frames a second that are taken, and pixels uint8 (h, w, 3) RGB.

    Raises DataError when the file is no video, has no frame that can be read, or larger ones than the options allow. One that
    ends before its header says so is told in the log.
    """
    import cv2  # here: photos alone do without it

    _refuse_other_files(file)
    # FFmpeg alone: other readers of OpenCV take a name for a pattern of pictures, or fall over damaged files.
    capture, number = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG), -1
    try:
        if not capture.isOpened():
            raise _fault(file, "not a video that can be decoded", f"convert it to MP4 with H.264, {DROP}")
        size = (int(capture.get(one)) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        _refuse_large(file, *size, options)
        said = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        for number, rate, pixels in _decoded(capture, every):
            _refuse_large(file, pixels.shape[1], pixels.shape[0], options)
            yield number, rate, pixels
        if number < 0:
            raise _fault(file, "a video without a frame that can be read", f"fetch the file again, {DROP}")
        if number + every < said:
            log.warning("%s: ends at frame %d of the %d that its header names; is it cut?", file, number + every, said)
    finally:
        capture.release()


def camera_frames(number: int, every: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield the frames of a camera, as `video_frames` does, for as long as it gives some; raise UserError if it gives none."""
    import cv2

    try:
        capture = cv2.VideoCapture(number)
    except cv2.error:  # a number that is none to OpenCV
        capture = None
    try:
        if capture is None or not capture.isOpened():
            raise UserError(f"camera {number}: cannot be opened; check its number, and who may use it")
        yield from _decoded(capture, every)
    finally:
        if capture is not None:
            capture.release()


def _decoded(capture: Any, every: int) -> Iterator[tuple[int, float, np.ndarray]]:
    import cv2

    number, rate = 0, (capture.get(cv2.CAP_PROP_FPS) or RATE) / every
    while True:
        wanted = number % every == 0
        read, pixels = capture.read() if wanted else (capture.grab(), None)
        if not read:
            return
        if wanted:
            yield number, rate, pixels[..., ::-1]
        number += 1


def _refuse_other_files(file: Path) -> None:
    """Refuse what is no video by its beginning, above all lists of other files (ffconcat, HLS), which FFmpeg would open."""
    try:
        if not file.is_file():
            raise _fault(file, "not a file" if file.exists() else "missing video", f"expected a video, {DROP}")
        with file.open("rb") as content:
            head = content.read(HEAD)
    except OSError as error:
        raise _fault(file, f"unreadable video ({error.strerror})", f"see who may read it, {DROP}") from None
    if head and not head.startswith(RIFF) and all(chr(one).isprintable() or chr(one).isspace() for one in head):
        raise _fault(file, "a text, not a video", f"replace the file, {DROP}")


def _refuse_large(file: Path, width: int, height: int, options: PictureOptions) -> None:
    limit = options.max_megapixels * 4 / FRAME_BYTES
    if width * height > 1e6 * limit:
        expected = f"expected at most {limit:.4g} million pixels a frame; raise max_megapixels, shrink it, {DROP}"
        raise _fault(file, f"too large a video ({width} x {height})", expected)


def _fault(file: Path, problem: str, remedy: str) -> DataError:
    return DataError([Fault(str(file), problem=problem, remedy=remedy)])
