"""From an opened picture to RGB uint8, as a viewer shows it: EXIF turned, grey and CMYK converted, transparent on white."""

import numpy as np
from PIL import Image

DRAFTED = ("JPEG", "MPO")
"""Formats that are decoded at a half, a quarter or an eighth of the size for little memory and time."""
STRIP = 4_000_000
"""Pixels that are converted at once."""

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


def orientation_of(image: Image.Image) -> int:
    """Return how the stored picture is to be turned; a TIFF is turned by its decoder already."""
    return 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)


def turned(size_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the size of the picture as it is shown."""
    return size_wh[::-1] if orientation in (5, 6, 7, 8) else size_wh


def shown(image: Image.Image, factor: int, orientation: int) -> np.ndarray:
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
    scale, width = draft_scale(image, factor, orientation), image.width
    drafted = image.draft(None, (width // scale, image.height // scale)) if scale > 1 else None
    return round(width / drafted[1][2]) if drafted else 1


def draft_scale(image: Image.Image, factor: int, orientation: int) -> int:
    """Return by which power of 2, a divisor of `factor`, a JPEG can be decoded smaller; 1 for other formats."""
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
    if strip.mode == "La":
        strip = strip.convert("LA")
    if strip.has_transparency_data:
        # What a transparent pixel hides is often black; shops and viewers show it on white.
        layer = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return strip.convert("RGB")
