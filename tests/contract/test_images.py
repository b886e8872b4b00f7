"""Decoding as a viewer shows it, and errors that name the file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.contract.faults import DataError
from pipeline.contract.images import read_image


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
    # How a camera stores a picture that is to be shown as it is here: the inverse of each turn.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](quadrants())
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
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
