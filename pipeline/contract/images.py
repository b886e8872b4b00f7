"""Read a picture as RGB uint8, whatever it comes as: a file, bytes, an array, an opened picture; one way, under the same limits.

What a picture may cost is known from its header and refused there; what is larger than anyone looks at is decoded smaller.
"""

import multiprocessing
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.shown import (
    DRAFTED,
    ORIENTATION,
    TURNS,
    draft_scale,
    orientation_of,
    shown,
    turned,
)
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
"""What is read, of animations the first picture. Pillow knows more, and starts other programs for some (EPS)."""

HEAVY = {"WEBP": 16, "AVIF": 9}
"""Bytes a pixel, where the decoder holds a picture several times."""

# Pillow's own limit warns without the file's name; PictureOptions refuse with it, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

# Blocks above what malloc keeps for itself (32 MB), so that a large picture's memory goes back when it is closed.
Image.core.set_block_size(2**26)

LARGE = 16_000_000
"""Pixels above which pictures are decoded one at a time, by all workers together: memory must not grow with them."""
_one_large = multiprocessing.Lock()  # forked workers share it; where they are spawned, each has its own

_LOADING = [Lock() for _ in range(64)]
"""An opened picture may be given twice, and two threads cannot load it at once; each has one of these locks, by its identity."""

DROP = "or leave it out"
UNKNOWN = {
    "F": ("pixels of 32 bits", "8 or 16 bits, whose white is known"),
    "I": ("pixels of 32 bits", "8 or 16 bits, whose white is known"),
    "LAB": ("pixels in the colours of Lab", "RGB, grey or CMYK"),
}
"""Modes of Pillow that have no one look: what such a picture holds, and what is expected."""

Source = Path | bytes | np.ndarray | Image.Image
"""A file, what one holds, RGB pixels uint8 (h, w, 3) or grey ones (h, w), or an opened picture."""


@dataclass(frozen=True)
class PictureOptions:
    """What a picture may cost, and how large it is decoded."""

    max_megabytes: float = 100.0
    """A larger picture file is refused."""
    max_megapixels: float = 100.0
    """A picture that takes more memory than so many million RGB pixels, of 4 bytes, is refused by its header. A grey pixel
    counts a quarter, one of a JPEG that is decoded smaller up to 1/64; a WebP holds each pixel four times, AVIF twice."""
    detail: int = 1024
    """A picture whose longer side has twice as many pixels or more is decoded at a half, a quarter ... of its size, as long
    as so many are left; points are in pixels of the whole picture all the same. 0: never."""

    def __post_init__(self) -> None:
        for name in ("max_megabytes", "max_megapixels"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if self.detail != 0 and self.detail < 64:
            raise UserError(f"detail is {self.detail}; expected 64 pixels or more, or 0")

    def job(self) -> dict[str, Any]:
        """Return what decides a picture's pixels; the limits only say which are refused."""
        return {"detail": self.detail}


@dataclass(frozen=True, eq=False)
class Picture:
    """`pixels` uint8 (h, w, 3) RGB; each stands for `reduced` x `reduced` of the picture's, which has `size_wh`.

    The frame is continuous: x in the picture is x / reduced in `pixels`, exactly. What does not fill a pixel at the right and
    bottom, up to reduced - 1 columns and rows, is left out.
    """

    pixels: np.ndarray
    size_wh: tuple[int, int]
    reduced: int = 1


def read_image(source: Source, options: PictureOptions | None = None, name: str = "") -> Picture:
    """Decode a picture. One that is opened already is loaded, and stays as it is otherwise.

    Raises DataError, naming the file or `name`, when it cannot be read whole, or is larger than the options allow.
    """
    options = options or PictureOptions()
    with _opened(source, options, name) as image:
        if image is source:
            _load(image)
        orientation, factor = orientation_of(image), reduction(image.size, options.detail)
        size_wh = turned(image.size, orientation)
        return Picture(shown(image, factor, orientation), size_wh, factor)


def image_size(source: Source, options: PictureOptions | None = None, name: str = "") -> tuple[int, int]:
    """Return width and height as EXIF turns the picture, from its header; raises DataError as `read_image` does."""
    with _opened(source, options or PictureOptions(), name) as image:
        return turned(image.size, orientation_of(image))


def reduction(size_wh: tuple[int, int], detail: int) -> int:
    """Return the power of 2 by which a picture of this size is reduced."""
    factor = 1
    while detail and max(size_wh) >= 2 * factor * detail and min(size_wh) >= 2 * factor:
        factor *= 2
    return factor


@contextmanager
def _opened(source: Source, options: PictureOptions, name: str) -> Iterator[Image.Image]:
    """Open a picture whose header is within the limits; whatever its decoder raises inside becomes a DataError."""
    name = name or (str(source) if isinstance(source, Path) else "picture")
    try:
        if isinstance(source, Path | bytes):
            _check_bytes(name, source, options)
        with _as_pillow(source) as image:
            _check_header(name, image, options, drafted=image is not source)
            with _one_large if image.width * image.height > LARGE else nullcontext():
                yield image
    except (DataError, MemoryError):
        raise
    except FileNotFoundError:
        raise _fault(name, "missing image", f"put the file there, {DROP}") from None
    except UnidentifiedImageError:
        raise _fault(name, "not an image", f"expected {', '.join(FORMATS)}; replace the file, {DROP}") from None
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        raise _unreadable(name, error) from None


@contextmanager
def _as_pillow(source: Source) -> Iterator[Image.Image]:
    """Yield the picture, and close what was opened here: its pixels go before another one's come."""
    if isinstance(source, Image.Image):
        with _LOADING[id(source) // 64 % len(_LOADING)]:
            yield source
        return
    if isinstance(source, np.ndarray):
        yield Image.fromarray(source)
        return
    formats = [one for one in FORMATS if one in _known()]
    # Not by its name: Pillow would map it into memory, see _load.
    with (
        BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
        Image.open(file, formats=formats) as image,
    ):
        try:
            yield image
        finally:
            image.close()


def _load(image: Image.Image) -> None:
    """Decode an opened picture whole: to be shrunk while it is decoded would change its owner's.

    A raw TIFF that is to be turned comes out scrambled where Pillow has its name, by which it maps files into memory.
    """
    file = getattr(image, "filename", "")
    try:
        image.filename = ""
        image.load()
    finally:
        image.filename = file


def _check_bytes(name: str, source: Path | bytes, options: PictureOptions) -> None:
    state = source.stat() if isinstance(source, Path) else None
    if state and not stat.S_ISREG(state.st_mode):  # a pipe would be waited for without end
        raise _fault(name, "not a file", f"expected {', '.join(FORMATS)}, {DROP}")
    megabytes = (state.st_size if state else len(source)) / 1e6
    if megabytes > options.max_megabytes:
        remedy = f"expected at most {options.max_megabytes:g} MB; raise max_megabytes, {DROP}"
        raise _fault(name, f"too large a file ({megabytes:.1f} MB)", remedy)


def _check_header(name: str, image: Image.Image, options: PictureOptions, drafted: bool) -> None:
    if not (image.width and image.height):
        raise _fault(name, "a picture without a pixel", f"expected a width and a height, {DROP}")
    millions = image.width * image.height / 1e6
    limit = options.max_megapixels * 4 / _bytes_per_pixel(image, options.detail if drafted else 0)
    if millions > limit:
        problem = f"too large an image ({image.width} x {image.height}, {millions:.1f} million pixels)"
        expected = f"expected at most {limit:.4g} million of such a {image.format or 'picture'}"
        raise _fault(name, problem, f"{expected}; raise max_megapixels, shrink it, {DROP}")
    if image.mode in UNKNOWN and (image.mode, image.format) != ("I", "PNG"):  # 16 bits, in older Pillows
        problem, expected = UNKNOWN[image.mode]
        raise _fault(name, problem, f"expected {expected}; convert it, {DROP}")


def _bytes_per_pixel(image: Image.Image, detail: int) -> float:
    """Return what decoding takes in memory, as measured with Pillow's decoders."""
    if image.format in DRAFTED:
        scale = draft_scale(image, reduction(image.size, detail), orientation_of(image))
        # A progressive one is held as a whole before its first row can be decoded.
        return 4 / scale**2 + (6 if "progressive" in image.info else 0)
    if image.format == "TIFF" and image.getexif().get(ORIENTATION, 1) in TURNS:
        return 8
    return HEAVY.get(image.format, 1 if image.mode in ("L", "P", "1") else 2 if image.mode.startswith("I;") else 4)


def _unreadable(name: str, error: Exception) -> DataError:
    return _fault(name, f"unreadable image ({error})", f"fetch the file again, {DROP}")


def _fault(name: str, problem: str, remedy: str) -> DataError:
    return DataError([Fault(name, problem=problem, remedy=remedy)])


def _known() -> dict[str, object]:
    """Return the formats of this Pillow; some builds lack AVIF or WebP."""
    Image.init()
    return Image.OPEN
