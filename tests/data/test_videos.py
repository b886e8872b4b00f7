"""Videos that are none, empty, cut or too large: told by name, without waiting, and without opening other files."""

import os
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.data import videos
from garment_keypoints.pipeline.data.videos import video_frames

from tests.data.test_photos import film


def numbers(file: Path, every: int = 1, megapixels: float = 100.0) -> list[int]:
    return [number for number, _, _ in video_frames(file, every, PictureOptions(max_megapixels=megapixels))]


def test_frames_by_number(tmp_path: Path) -> None:
    file = film(tmp_path / "a.avi", frames=5)
    assert numbers(file) == [0, 1, 2, 3, 4]
    assert numbers(file, every=2) == [0, 2, 4]


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile a.avi\n", "#EXTM3U\na.avi\n", '<?xml version="1.0"?>', "x"]
)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, text: str) -> None:
    film(tmp_path / "a.avi")
    (tmp_path / "b.mp4").write_text(text)
    with pytest.raises(DataError, match=r"b\.mp4: a text, not a video"):
        numbers(tmp_path / "b.mp4")


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)))
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    film(tmp_path / "none.avi", frames=0)
    for name, message in (
        ("empty.mp4", "not a video that can be decoded"),
        ("noise.mp4", "not a video that can be decoded"),
        ("folder.mp4", "not a file"),
        ("pipe.mp4", "not a file"),
        ("gone.mp4", "missing video"),
        ("none.avi", "a video without a frame that can be read"),
    ):
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            numbers(tmp_path / name)


def test_an_unreadable_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    film(tmp_path / "a.avi")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(DataError, match=r"a\.avi: unreadable video \(Permission denied\)"):
        numbers(tmp_path / "a.avi")


def test_frames_that_are_too_large_are_refused_by_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pixel of a frame takes three times what one of a picture does."""
    file = film(tmp_path / "a.avi")
    assert len(numbers(file, megapixels=3 * 64 * 48 / 1e6)) == 5
    monkeypatch.setattr(videos, "_decoded", lambda capture, every: pytest.fail("a frame was decoded"))
    message = r"a\.avi: too large a video \(64 x 48\); expected at most 0\.003 million pixels a frame"
    with pytest.raises(DataError, match=message):
        numbers(file, megapixels=0.009)


def test_a_cut_one_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = film(tmp_path / "a.avi", frames=6)
    whole = file.read_bytes()
    assert len(numbers(file, every=4)) == 2
    assert caplog.messages == []
    file.write_bytes(whole[: whole.index(b"idx1") - 100])
    read = len(numbers(file))
    assert read == 5
    assert caplog.messages == [f"{file}: ends at frame {read} of the 6 that its header names; is it cut?"]
