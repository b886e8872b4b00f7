"""Decode a picture to RGB uint8, as a viewer shows it: EXIF turned, grey and CMYK converted, transparent on white."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.contract.faults import DataError, Fault


def read_image(path: Path) -> np.ndarray:
    """Return the picture as uint8 (H, W, 3) RGB; raise DataError naming the file when it cannot be read whole."""
    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):
                # 16 bits a pixel, which PIL would cut off at 255 instead of scaling.
                turned = Image.fromarray((np.asarray(turned) / 257).clip(0, 255).astype(np.uint8))
            if turned.has_transparency_data:
                # What a transparent pixel hides is often black; shops and viewers show it on white.
                layer = turned.convert("RGBA")
                turned = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            return np.array(turned.convert("RGB"))
    except FileNotFoundError:
        problem, remedy = "missing image", "put the file there, or drop the row"
    except UnidentifiedImageError:
        problem, remedy = "not an image", "replace the file by a JPEG or PNG, or drop the row"
    except Exception as error:  # a decoder raises whatever the damage leads it to, AVIF's a RuntimeError
        problem, remedy = f"unreadable image ({error})", "fetch the file again, or drop the row"
    raise DataError([Fault(str(path), problem=problem, remedy=remedy)])
