"""The same picture gives the same pixels by every door: a file, its bytes, an opened picture, a copy of it, an array."""

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.images import PictureOptions, image_size, read_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16", "I;16B"),
    "GIF": ("1", "L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB"),
    "WEBP": ("RGB", "RGBA"),
}
OPTIONS = PictureOptions(detail=64)


def outcome(read: Callable[[], object]) -> tuple[object, ...]:
    """What is read: pixels, size and reduction; or the problem, without what to do about it."""
    try:
        picture = read()
    except DataError as error:
        return (error.faults[0].problem,)
    return picture.pixels.tobytes(), picture.pixels.shape, picture.size_wh, picture.reduced


def encoded(mode: str, kind: str, size_wh: tuple[int, int], seed: int, orientation: int, transparent: int) -> bytes:
    random = np.random.default_rng(seed)
    if mode in ("1", "P"):
        image = Image.fromarray(random.integers(0, 256, size_wh[::-1], dtype=np.uint8)).convert(mode)
    else:
        image = Image.frombytes(mode, size_wh, random.bytes(len(Image.new(mode, size_wh).tobytes())))
    exif = Image.Exif()
    exif[0x0112] = orientation
    named = {"exif": exif} if orientation > 1 and kind not in ("GIF", "BMP") else {}
    if transparent >= 0 and kind in ("PNG", "GIF") and mode in ("L", "P"):
        named["transparency"] = transparent
    content = io.BytesIO()
    image.save(content, kind, **({"lossless": True} if kind == "WEBP" else {}), **named)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore")  # of what is cut
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([(kind, mode) for kind, modes in FORMATS.items() for mode in modes]),
    st.tuples(st.integers(1, 140), st.integers(1, 40)),
    st.integers(0, 2**16),
    st.integers(1, 8),
    st.integers(-1, 255),
    st.booleans(),
)
def test_every_door_gives_the_same(
    form: tuple[str, str], size_wh: tuple[int, int], seed: int, orientation: int, transparent: int, cut: bool
) -> None:
    kind, mode = form
    size_wh = (
        (min(size_wh[0], 120), size_wh[1]) if kind == "JPEG" else size_wh
    )  # larger ones are decoded smaller by libjpeg
    content = encoded(mode, kind, size_wh, seed, orientation, transparent)
    content = content[: len(content) * 3 // 4] if cut else content
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a"
        file.write_bytes(content)
        expected = outcome(lambda: read_image(file, OPTIONS))
        with suppress(OSError), Image.open(file) as by_name:
            assert outcome(lambda: read_image(by_name, OPTIONS)) == expected
    assert outcome(lambda: read_image(content, OPTIONS)) == expected
    try:
        lazy, other = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(content))
    except Exception:  # no header: there is nothing to open
        assert len(expected) == 1
        return
    with lazy, other:
        for _ in range(2):  # the second time it is loaded
            assert outcome(lambda: read_image(lazy, OPTIONS)) == expected
        try:
            doors = [other.copy(), other.convert(other.mode)]
        except Exception:
            assert len(expected) == 1
            return
        for door in doors:
            assert outcome(lambda door=door: read_image(door, OPTIONS)) == expected
            if len(expected) > 1:
                assert image_size(door, OPTIONS) == expected[2]
    if len(expected) > 1 and expected[3] == 1:
        array = np.frombuffer(expected[0], np.uint8).reshape(expected[1])
        for door in (array, np.asfortranarray(array), array[::-1][::-1]):
            assert outcome(lambda door=door: read_image(door, OPTIONS)) == expected


BETWEEN = {"La": "LA", "RGBa": "RGBA", "PA": "LA"}
PILLOW = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "F")


@pytest.mark.parametrize("mode", [*PILLOW, "I;16", "I;16L", "I;16B", "I;16N"])
def test_every_mode_is_read_or_refused_by_name(mode: str) -> None:
    """Grey stays grey: in no mode it becomes black."""
    if mode.startswith("I;") or mode == "LAB":
        image = Image.new(mode, (9, 7), 204 * 257 if mode != "LAB" else 0)
    else:
        image = Image.new("RGB", (9, 7), (204, 204, 204)).convert(BETWEEN.get(mode, mode)).convert(mode)
    if mode in ("LAB", "I", "F"):
        expected = r"^shirt: pixels (of 32 bits|in the colours of Lab); expected .* convert it"
        with pytest.raises(DataError, match=expected):
            read_image(image, name="shirt")
        return
    shown = read_image(image).pixels
    assert shown.shape == (7, 9, 3)
    assert np.abs(shown.astype(int) - 204).max() <= 2 or (mode == "1" and set(shown.ravel()) == {0, 255})


def test_limits_hold_at_every_door(tmp_path: Path) -> None:
    """An opened JPEG is decoded as a whole, and may cost what that does; one in a file is decoded smaller."""
    Image.new("RGB", (600, 400)).save(tmp_path / "a.jpg")
    options = PictureOptions(max_megapixels=0.1, detail=64)
    assert read_image(tmp_path / "a.jpg", options).reduced == 8
    with Image.open(tmp_path / "a.jpg") as opened:
        for door in (opened, opened.copy(), np.asarray(opened)):
            for read in (read_image, image_size):
                with pytest.raises(DataError, match=r"^frame 7: too large an image \(600 x 400, 0.2 million pixels\)"):
                    read(door, options, "frame 7")
