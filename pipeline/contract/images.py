"""Decode a picture to RGB uint8, as a viewer shows it: EXIF turned, grey and CMYK converted, transparent on white.

What a file may cost is known from its header and refused there; what is larger than anyone looks at is decoded smaller.
"""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
"""What is read, of animations the first picture. Pillow knows more, and starts other programs for some (EPS)."""

DRAFTED = ("JPEG", "MPO")
"""Formats that are decoded at a half, a quarter or an eighth of the size for little memory and time."""
HEAVY = {"WEBP": 16, "AVIF": 9}
"""Bytes a pixel, where the decoder holds a picture several times."""

# Pillow's own limit warns without the file's name; PictureOptions refuse with it, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

# Blocks above what malloc keeps for itself (32 MB), so that a large picture's memory goes back when it is closed.
Image.core.set_block_size(2**26)

LARGE = 16_000_000
"""Pixels above which pictures are decoded one at a time, by all workers together: memory must not grow with them."""
_one_large = multiprocessing.Lock()  # forked workers share it; where they are spawned, each has its own

STRIP = 4_000_000
"""Pixels that are converted at once."""

DROP = "or leave it out"

ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FROM_THE_RIGHT, FROM_THE_BOTTOM = (2, 3, 7, 8), (3, 4, 6, 7)
"""Orientations whose shown picture begins at the right, or at the bottom, of the stored one."""


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


def read_image(source: Path | bytes, options: PictureOptions | None = None, name: str = "") -> Picture:
    """Decode a picture, a file or what one holds.

    Raises DataError, naming the file or `name`, when it cannot be read whole, or is larger than the options allow.
    """
    options = options or PictureOptions()
    with _opened(source, options, name) as image:
        orientation, factor = _orientation(image), reduction(image.size, options.detail)
        size_wh = _turned(image.size, orientation)
        return Picture(_shown(image, factor, orientation), size_wh, factor)


def from_pillow(image: Image.Image, options: PictureOptions | None = None, name: str = "") -> Picture:
    """Return an opened picture as `read_image` returns a file: as a viewer shows it, and reduced where it is large.

    It stays as it is. Raises DataError, as `read_image` does, when its pixels cannot be read.
    """
    name = name or "picture"
    try:
        image.load()  # else it would be shrunk while it is decoded
    except Exception as error:
        raise _unreadable(name, error) from None
    if not (image.width and image.height):
        raise _fault(name, "a picture without a pixel", f"expected a width and a height, {DROP}")
    orientation, factor = _orientation(image), reduction(image.size, (options or PictureOptions()).detail)
    return Picture(_shown(image, factor, orientation), _turned(image.size, orientation), factor)


def image_size(source: Path | bytes, options: PictureOptions | None = None, name: str = "") -> tuple[int, int]:
    """Return width and height as EXIF turns the picture, from its header; raises DataError as `read_image` does."""
    with _opened(source, options or PictureOptions(), name) as image:
        return _turned(image.size, _orientation(image))


def reduction(size_wh: tuple[int, int], detail: int) -> int:
    """Return the power of 2 by which a picture of this size is reduced."""
    factor = 1
    while detail and max(size_wh) >= 2 * factor * detail and min(size_wh) >= 2 * factor:
        factor *= 2
    return factor


@contextmanager
def _opened(source: Path | bytes, options: PictureOptions, name: str) -> Iterator[Image.Image]:
    """Open a picture whose header is within the limits; whatever its decoder raises inside becomes a DataError."""
    in_memory = isinstance(source, bytes)
    name = name or ("picture" if in_memory else str(source))
    try:
        megabytes = (len(source) if in_memory else source.stat().st_size) / 1e6
        if megabytes > options.max_megabytes:
            remedy = f"expected at most {options.max_megabytes:g} MB; raise max_megabytes, {DROP}"
            raise _fault(name, f"too large a file ({megabytes:.1f} MB)", remedy)
        formats = [one for one in FORMATS if one in _known()]
        with Image.open(BytesIO(source) if in_memory else source, formats=formats) as image:
            _check_header(name, image, options)
            with _one_large if image.width * image.height > LARGE else nullcontext():
                try:
                    yield image
                finally:
                    image.close()  # its pixels go before another one's come
    except (DataError, MemoryError):
        raise
    except FileNotFoundError:
        raise _fault(name, "missing image", f"put the file there, {DROP}") from None
    except UnidentifiedImageError:
        raise _fault(name, "not an image", f"expected {', '.join(FORMATS)}; replace the file, {DROP}") from None
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        raise _unreadable(name, error) from None


def _check_header(name: str, image: Image.Image, options: PictureOptions) -> None:
    millions, limit = image.width * image.height / 1e6, options.max_megapixels * 4 / _bytes_per_pixel(image, options)
    if millions > limit:
        problem = f"too large an image ({image.width} x {image.height}, {millions:.1f} million pixels)"
        expected = f"expected at most {limit:.4g} million of such a {image.format}"
        raise _fault(name, problem, f"{expected}; raise max_megapixels, shrink it, {DROP}")
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):  # "I" of a PNG: 16 bits, in older Pillows
        raise _fault(name, "pixels of 32 bits", f"expected 8 or 16 bits, whose white is known; convert it, {DROP}")


def _bytes_per_pixel(image: Image.Image, options: PictureOptions) -> float:
    """Return what decoding takes in memory, as measured with Pillow's decoders."""
    if image.format in DRAFTED:
        scale = _draft_scale(image, reduction(image.size, options.detail), _orientation(image))
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


def _orientation(image: Image.Image) -> int:
    """Return how the stored picture is to be turned; a TIFF is turned by its decoder already."""
    return 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)


def _turned(size_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size_wh[::-1] if orientation in (5, 6, 7, 8) else size_wh


def _shown(image: Image.Image, factor: int, orientation: int) -> np.ndarray:
    """Decode at 1 / factor of the size, in strips, as a viewer shows it: uint8 (h, w, 3) RGB."""
    width, height = image.width // factor, image.height // factor
    factor //= _drafted(image, factor, orientation)
    # What does not fill a pixel is left out where the shown picture ends, so that its beginning stays exact.
    left = image.width - width * factor if orientation in FROM_THE_RIGHT else 0
    top = image.height - height * factor if orientation in FROM_THE_BOTTOM else 0
    whole = Image.new("RGB", (width, height))
    rows = max(1, STRIP // (width * factor**2))
    for row in range(0, height, rows):
        box = (left, top + row * factor, left + width * factor, top + min(height, row + rows) * factor)
        strip = _as_rgb(image.crop(box))
        whole.paste(strip if factor == 1 else strip.reduce(factor), (0, row))
    return np.array(whole.transpose(TURNS[orientation]) if orientation in TURNS else whole)


def _drafted(image: Image.Image, factor: int, orientation: int) -> int:
    """Let a JPEG be decoded smaller, which costs less time and memory; return by which factor, a power of 2 up to 8."""
    scale, width = _draft_scale(image, factor, orientation), image.width
    drafted = image.draft(None, (width // scale, image.height // scale)) if scale > 1 else None
    return round(width / drafted[1][2]) if drafted else 1


def _draft_scale(image: Image.Image, factor: int, orientation: int) -> int:
    scale = min(factor, 8) if image.format in DRAFTED else 1
    # The decoder begins at the stored upper left, in whole pixels.
    while (orientation in FROM_THE_RIGHT and image.width % scale) or (
        orientation in FROM_THE_BOTTOM and image.height % scale
    ):
        scale //= 2
    return scale


def _as_rgb(strip: Image.Image) -> Image.Image:
    if strip.mode.startswith("I"):
        # 16 bits a pixel, which PIL would cut off at 255 instead of scaling.
        strip = Image.fromarray((np.asarray(strip) / 257).clip(0, 255).astype(np.uint8))
    if strip.has_transparency_data:
        # What a transparent pixel hides is often black; shops and viewers show it on white.
        layer = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return strip.convert("RGB")
