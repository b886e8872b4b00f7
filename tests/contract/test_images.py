"""Decoding as a viewer shows it, and errors that name the file."""

import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.images import FORMATS, PictureOptions, image_size, read_image, reduction
from PIL import Image, features

SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "BMP": "bmp", "TIFF": "tif", "GIF": "gif"}
SAVING = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "method": 0}, "AVIF": {"quality": 95}}


def quadrants() -> np.ndarray:
    """Red, green / blue, white; 32 rows, 48 columns."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:], picture[16:, :24], picture[16:, 24:] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        255,
    )
    return picture


def stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores a picture that is to be shown as it is here: the inverse of each turn."""
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    return np.ascontiguousarray(turn(picture))


def save(picture: np.ndarray, folder: Path, kind: str, orientation: int = 1) -> Path:
    """Save a picture in a format so that a viewer shows it as it is here."""
    if kind in ("AVIF", "WEBP") and not features.check(kind.lower()):
        pytest.skip(f"this Pillow lacks {kind}")
    exif = Image.Exif()
    exif[0x0112] = orientation
    named = {"exif": exif} if orientation > 1 else {}
    file = folder / f"a.{SUFFIX[kind]}"
    Image.fromarray(stored(picture, orientation)).save(file, kind, **SAVING.get(kind, {}), **named)
    return file


def blob(size_wh: tuple[int, int], centre: tuple[float, float]) -> np.ndarray:
    """A soft spot of continuous centre (x, y) on black, with 60 pixels to each border at least."""
    y, x = np.mgrid[: size_wh[1], : size_wh[0]] + 0.5
    cover = np.cos(np.hypot(x - centre[0], y - centre[1]).clip(0, 60) * np.pi / 120) ** 2
    return np.rint(220 * cover)[..., None].repeat(3, 2).astype(np.uint8)


def centroid(pixels: np.ndarray) -> np.ndarray:
    values = pixels[..., 0].astype(float)
    values[values < 8] = 0  # what JPEG makes of black
    y, x = np.mgrid[: values.shape[0], : values.shape[1]] + 0.5
    return np.array([(x * values).sum(), (y * values).sum()]) / values.sum()


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    Image.fromarray(quadrants()).save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    shown = read_image(tmp_path / "a.jpg").pixels
    assert shown.shape == (48, 32, 3)
    assert np.abs(shown[6, 24].astype(int) - [255, 0, 0]).max() < 12  # red went to the upper right


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(quadrants()).convert(mode)
    name = "a.jpg" if mode in ("L", "CMYK") else "a.png"
    picture.save(tmp_path / name, **({"quality": 95} if name.endswith("jpg") else {}))
    shown = read_image(tmp_path / name).pixels
    assert (shown.shape, shown.dtype) == ((32, 48, 3), np.uint8)
    expected = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(shown[4:12, 4:20].astype(int) - expected[4:12, 4:20]).max() < 12


def test_errors_name_file_and_remedy(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(quadrants()).resize((300, 300)).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"cut\.jpg: unreadable image .*truncated.*; fetch the file again"):
        read_image(tmp_path / "cut.jpg")
    with pytest.raises(DataError, match=r"text\.jpg: not an image; expected JPEG, PNG, .*; replace the file"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(DataError, match=r"none\.jpg: missing image"):
        read_image(tmp_path / "none.jpg")


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    deep = np.array([[0, 257 * 10], [257 * 200, 65535]], dtype=np.uint16).repeat(4, 0)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").pixels[[0, 0, 4, 4], [0, 1, 0, 1], 0].tolist() == [0, 10, 200, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_shows_red_in_the_upper_left(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored(quadrants(), orientation)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, quadrants())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_shown_on_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (8, 4), (0, 0, 0, 0))  # black, and not to be seen
    picture.paste((0, 0, 0, 255), (0, 0, 4, 4))
    picture.convert(mode).save(tmp_path / "a.png")
    shown = read_image(tmp_path / "a.png").pixels
    assert (shown[:, :4] == 0).all()
    assert (shown[:, 4:] == 255).all()


def test_whatever_a_decoder_raises_names_the_picture(tmp_path: Path) -> None:
    """Found by fuzzing: Pillow's AVIF decoder ends in a RuntimeError where its data are damaged."""
    file = tmp_path / "a.avif"
    Image.fromarray(quadrants()).save(file)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"iinf", b"hinf"))
    with pytest.raises(DataError, match=r"a\.avif: unreadable image \(.*; fetch the file again"):
        read_image(file)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_allowed_format_is_read(tmp_path: Path, kind: str) -> None:
    file = save(quadrants(), tmp_path, kind)
    shown = read_image(file)
    assert (shown.size_wh, shown.reduced, image_size(file)) == ((48, 32), 1, (48, 32))
    corners = (slice(4, None, 23), slice(4, None, 39))
    assert np.abs(shown.pixels[corners].astype(int) - quadrants()[corners]).max() < 16


OTHERS = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
    "PPM": b"P6 2 2 255\n" + bytes(12),
    "PSD": b"8BPS" + struct.pack(">H6xHIIHHIIIH", 1, 3, 2, 2, 8, 3, 0, 0, 0, 0) + bytes(12),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_are_refused_and_start_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file, started = tmp_path / "a.jpg", []
    file.write_bytes(OTHERS[kind])
    with Image.open(file) as image:
        assert image.format == kind  # Pillow would take it
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **_: started.append(given))
    monkeypatch.setattr("os.system", started.append)
    with pytest.raises(
        DataError, match=r"a\.jpg: not an image; expected JPEG, PNG, .*; replace the file, or leave it out"
    ):
        read_image(file)
    assert not started


def test_a_picture_may_cost_so_many_bytes_and_pixels(tmp_path: Path) -> None:
    file = save(np.zeros((500, 1000, 3), np.uint8), tmp_path, "BMP")  # 1,500,054 bytes
    for read in (read_image, image_size):
        read(file, PictureOptions(max_megapixels=0.5))
        expected = r"a\.bmp: too large an image \(1000 x 500, 0\.5 million pixels\); expected at most 0\.49 million of such a BMP"
        with pytest.raises(DataError, match=expected + r".*; raise max_megapixels, shrink it, or leave it out"):
            read(file, PictureOptions(max_megapixels=0.49))
        read(file, PictureOptions(max_megabytes=1.51))
        expected = (
            r"a\.bmp: too large a file \(1\.5 MB\); expected at most 1\.49 MB; raise max_megabytes, or leave it out"
        )
        with pytest.raises(DataError, match=expected):
            read(file, PictureOptions(max_megabytes=1.49))


def test_a_header_of_too_many_pixels_is_refused_before_any_is_decoded(tmp_path: Path) -> None:
    """There is none in the file: whoever began to decode would say so."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 20_000, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    file = tmp_path / "a.png"
    file.write_bytes(start + struct.pack(">I", 9) + b"IDAT" + bytes(13))
    with pytest.raises(DataError, match=r"too large an image \(30000 x 20000, 600\.0 million pixels\)"):
        read_image(file)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_of_32_bits_are_refused(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "a.tif"
    Image.new(mode, (8, 8), 100).save(file)
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r"a\.tif: pixels of 32 bits; expected 8 or 16 bits"):
            read(file)
    Image.new("I;16", (8, 8), 257 * 100).save(file)
    assert (read_image(file).pixels == 100).all()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for file in (Path(os.devnull), tmp_path, tmp_path / "pipe.jpg"):
        with pytest.raises(DataError, match=f"{file}: not a file; expected JPEG"):
            image_size(file)


@pytest.mark.parametrize("wrong", [{"max_megabytes": 0}, {"max_megapixels": float("inf")}, {"detail": 63}])
def test_limits_have_a_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}; expected"):
        PictureOptions(**wrong)


def test_reductions_by_hand() -> None:
    by_hand = {(199, 100): 1, (200, 100): 2, (399, 100): 2, (100, 400): 4, (799, 799): 4, (800, 3): 2, (800, 1): 1}
    assert {size_wh: reduction(size_wh, 100) for size_wh in by_hand} == by_hand
    assert reduction((9000, 9000), 0) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_reduced_picture_keeps_the_frame(tmp_path: Path, kind: str, orientation: int) -> None:
    size_wh, centre = (403, 301), (251.3, 97.6)
    file = save(blob(size_wh, centre), tmp_path, kind, orientation)
    assert image_size(file) == size_wh
    for reduced, detail, shape in ((1, 0, (301, 403)), (2, 200, (150, 201)), (4, 100, (75, 100))):
        picture = read_image(file, PictureOptions(detail=detail))
        assert (picture.reduced, picture.size_wh, picture.pixels.shape[:2]) == (reduced, size_wh, shape)
        np.testing.assert_allclose(reduced * centroid(picture.pixels), centre, atol=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size_wh", [(816, 608), (807, 613)])
def test_a_jpeg_that_is_decoded_at_an_eighth_keeps_the_frame(
    tmp_path: Path, size_wh: tuple[int, int], orientation: int
) -> None:
    centre = (533.3, 207.8)
    file = save(blob(size_wh, centre), tmp_path, "JPEG", orientation)
    picture = read_image(file, PictureOptions(detail=100))
    assert (picture.reduced, picture.size_wh, picture.pixels.shape[:2]) == (
        8,
        size_wh,
        (size_wh[1] // 8, size_wh[0] // 8),
    )
    np.testing.assert_allclose(8 * centroid(picture.pixels), centre, atol=0.1)
