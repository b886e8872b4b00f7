"""What users name as photos: each kind of source, in a fixed order, and what is none of them is refused."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.data.photos import find_photos, version_of, video_of
from PIL import Image


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with shop/a.jpg, shop/notes.doc and shop/deep/b.PNG."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop" / "deep").mkdir(parents=True)
    for name in ("a.jpg", "deep/b.PNG"):
        Image.new("RGB", (8, 6), "red").save(tmp_path / "shop" / name)
    (tmp_path / "shop" / "notes.doc").write_text("no photo")
    return tmp_path


def film(file: Path, frames: int = 5) -> Path:
    """A video whose frame i is grey of 40 i."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for i in range(frames):
        writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()
    return file


def names(*sources: str, every: int = 1) -> list[str]:
    return [photo.name for photo in find_photos(sources, every)]


def test_each_kind_of_source(shop: Path) -> None:
    assert names("shop") == ["shop/a.jpg", "shop/deep/b.PNG"]
    assert names("shop/a.jpg", "shop/deep") == ["shop/a.jpg", "shop/deep/b.PNG"]
    assert names("shop/*.jpg") == names("sh*/*.j*") == ["shop/a.jpg"]
    assert names("shop/**/*.PNG") == ["shop/deep/b.PNG"]
    assert names("shop/notes.doc") == ["shop/notes.doc"]  # named itself: reading it will say that it is none


def test_a_list_is_relative_to_itself_and_may_name_what_is_missing(shop: Path) -> None:
    (shop / "shop" / "list.txt").write_text("\ufeffa.jpg\n\n  deep/b.PNG \ngone.jpg\n", encoding="utf-8")
    found = list(find_photos(["shop/list.txt"]))
    assert [photo.name for photo in found] == ["shop/a.jpg", "shop/deep/b.PNG", "shop/gone.jpg"]
    assert [bool(photo.version) for photo in found] == [True, True, False]


def test_a_list_may_name_anything(shop: Path) -> None:
    """Names of files are bytes: one that is no text is found all the same, and what no file can be called is told."""
    (shop / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"photo")
    (shop / "list.txt").write_bytes(b"caf\xe9.jpg\r\nb\0.jpg\rshop\nlist.txt\nout/a.jpg\n")
    (shop / "out").mkdir()
    latin, nul, folder, itself, result = find_photos(["list.txt"], without=Path("out"))
    assert latin.version
    assert latin.path == shop.relative_to(shop) / os.fsdecode(b"caf\xe9.jpg")
    assert nul.error == "b\0.jpg: no name of a file; mend list.txt"
    assert (folder.name, itself.name) == ("shop", "list.txt")
    assert result.error.startswith("out/a.jpg: lies in the folder of the results; choose another --out")


def test_frames_of_a_video_in_rgb(shop: Path) -> None:
    film(shop / "shop" / "clip.avi")
    assert names("shop")[1] == "shop/clip.avi/000000"
    found = list(find_photos(["shop/clip.avi"], every=2))
    assert [photo.name for photo in found] == [f"shop/clip.avi/{i:06d}" for i in (0, 2, 4)]
    assert [abs(photo.content.mean() - grey) < 3 for photo, grey in zip(found, (0, 80, 160), strict=True)] == [True] * 3
    assert {photo.version for photo in found} == {version_of(shop / "shop" / "clip.avi")}
    assert [photo.path for photo in found] == [None] * 3


def test_frames_of_a_camera(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine of the tests has a camera: a film stands in for what OpenCV opens by number."""
    opened, capture, clip = [], cv2.VideoCapture, str(film(shop / "clip.avi"))
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: opened.append(source) or capture(clip))
    found = list(find_photos(["0"], every=2))
    assert opened == [0]
    session = found[0].name.split("/")[0]
    assert re.fullmatch(r"camera0-\d{8}-\d{6}", session)
    assert [photo.name for photo in found] == [f"{session}/{i:06d}" for i in (0, 2, 4)]
    assert [photo.content.shape for photo in found] == [(48, 64, 3)] * 3
    assert [photo.content.mean() for photo in found] == pytest.approx([0, 80, 160], abs=3)
    assert {photo.rate for photo in found} == {2.5}


def test_colours_of_a_frame_are_in_their_order(shop: Path) -> None:
    writer = cv2.VideoWriter("red.avi", cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))  # OpenCV's red
    writer.release()
    (photo,) = find_photos(["red.avi"])
    assert photo.content.reshape(-1, 3).mean(0) == pytest.approx([254, 0, 0], abs=3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.jpg", "no such photo; expected a photo, a folder, a pattern"),
        ("gone/*.jpg", "nothing matches this pattern"),
        ("empty", "empty: no photo in it"),
        ("99", "camera 99: cannot be opened"),
        ("99999999999", "camera 99999999999: cannot be opened"),
    ],
)
def test_what_is_no_source_is_refused(shop: Path, source: str, message: str) -> None:
    (shop / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        names(source)


def test_a_broken_video_is_told_as_a_photo_that_cannot_be_read(shop: Path) -> None:
    (shop / "shop" / "b.mp4").write_bytes(b"no video")
    found = list(find_photos(["shop"]))
    assert [photo.name for photo in found] == ["shop/a.jpg", "shop/b.mp4", "shop/deep/b.PNG"]
    assert found[1].path == Path("shop/b.mp4")
    assert found[1].error.startswith("shop/b.mp4: a text, not a video")


def test_all_sources_are_looked_at_before_the_first_photo(shop: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg: no such photo(.|\n)*lost\.jpg: no such photo"):
        find_photos(["shop", "gone.jpg", "lost.jpg"])


def test_the_folder_of_the_results_is_no_source(shop: Path) -> None:
    """Of a folder or pattern what lies there is left out, however it is reached; named itself it is refused."""
    (shop / "link").symlink_to("shop")
    for source in (".", "**/*.*", "*/*.jpg", "link/*.jpg", "link/deep/../a.jpg"):
        found = [photo.name for photo in find_photos([source], without=Path("shop/deep"))]
        assert {Path(name).name for name in found} - {"notes.doc"} == {"a.jpg"}
    os.rename("shop/a.jpg", "shop/deep/a.jpg")
    for source, message in (
        ("shop", "no photo in it"),
        ("shop/*/*.jpg", "nothing matches this pattern"),
        ("shop/deep", "shop/deep: lies in the folder of the results; choose another --out"),
        ("link/deep/a.jpg", "lies in the folder of the results"),
    ):
        with pytest.raises(UserError, match=message):
            find_photos([source], without=Path("shop/deep"))


def test_a_link_to_a_folder_is_told(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    (shop / "more").mkdir()
    (shop / "more" / "link").symlink_to(shop / "shop")
    Image.new("RGB", (8, 6)).save(shop / "more" / "c.jpg")
    assert names("more") == ["more/c.jpg"]
    assert caplog.messages == ["more/link: a link to a folder, which is not followed; name it as a source of its own"]
    assert names("more/link") == ["more/link/a.jpg", "more/link/deep/b.PNG"]


def test_a_folder_that_cannot_be_listed_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(place: str):
        if str(place).endswith("deep"):
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refused)
    *_, last = find_photos(["shop"])
    assert last.error.startswith("shop/deep: cannot be listed (Permission denied); see who may")


def test_the_frames_of_a_name() -> None:
    videos = ("a/b.mp4/000001", "b.AVI/1000000", "camera0-20260102-030405/000000")
    assert [video_of(name) for name in videos] == ["a/b.mp4", "b.AVI", "camera0-20260102-030405"]
    assert [video_of(name) for name in ("b.mp4", "a/b.jpg/000001", "b.mp4/01", "b.mp4/000001.jpg", "000001")] == [
        ""
    ] * 5


def test_a_version_changes_with_the_file(shop: Path) -> None:
    file = shop / "shop" / "a.jpg"
    before = version_of(file)
    assert before == version_of(file)
    Image.new("RGB", (9, 6), "blue").save(file)
    assert version_of(file) != before
    assert version_of(shop / "gone") == ""
