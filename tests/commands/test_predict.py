"""`predict` on photos, a video and what is none: every photo has a line, what is done is not done again."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from garment_keypoints.pipeline.contract.images import FORMATS
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.ledger import Ledger
from garment_keypoints.pipeline.engine.predictor import Predictor
from garment_keypoints.pipeline.reporting import photo_files
from PIL import Image

from tests.commands.running import run
from tests.data.test_photos import film

OPTIONS = ("--workers", 0, "--accelerator", "cpu", "--flip_test", "false", "--threshold", 0.2)


@pytest.fixture
def shop(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with shop/: three drawn photos, the second a PNG with transparency, and one that is no image."""
    monkeypatch.chdir(tmp_path)
    files = sorted((drawn / "test" / "Images").rglob("*.jpg"))[:3]
    (tmp_path / "shop").mkdir()
    shutil.copy(files[0], "shop/a.jpg")
    Image.open(files[1]).convert("RGBA").save("shop/b.png")
    shutil.copy(files[2], "shop/d.jpg")
    (tmp_path / "shop" / "c.jpg").write_bytes(b"not an image")
    return tmp_path


def predict(*options: object) -> int:
    return run("predict", *OPTIONS, *options)


def size(file: str | Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def lines(out: str = "out") -> list[dict]:
    return [json.loads(line) for line in Path(out, "predictions.jsonl").read_text().splitlines()]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return a list that gets the names of the photos that each run gives to the networks."""
    calls, batches = [], Predictor.batches

    def noted(self, photos):
        calls.append([])
        return batches(self, (calls[-1].append(photo.name) or photo for photo in photos))

    monkeypatch.setattr(Predictor, "batches", noted)
    return calls


def test_every_photo_has_a_line_and_its_files(shop: Path, schema: Schema, capsys: pytest.CaptureFixture) -> None:
    assert predict("shop", "--out", "out", "--save_crop") == 0
    by_name = {line["photo"]: line for line in lines()}
    assert list(by_name) == ["shop/a.jpg", "shop/b.png", "shop/c.jpg", "shop/d.jpg"]
    assert "not an image" in by_name.pop("shop/c.jpg")["error"]
    for name, line in by_name.items():
        assert (line["width"], line["height"]) == size(name)
        for garment in line["garments"]:
            assert list(garment["points"]) == [schema.keypoints[k] for k in schema.members[garment["category"]]]
            assert garment["score"] >= 0.2
        picture = name if name.endswith(".jpg") else f"{name}.jpg"
        assert size(Path("out/overlays", picture)) == size(name)
        labels = Path("out/labels", name).with_suffix(".txt").read_text()
        assert len(labels.splitlines()) == len(line["garments"])
        crops = list(Path("out/crops/shop").glob(f"{Path(picture).stem}-*.jpg"))
        assert len(crops) == len(line["garments"])
    garments = sum(len(line["garments"]) for line in by_name.values())
    assert garments >= 3
    assert len(json.loads(Path("out/coco_results.json").read_text())) == garments
    assert len(Path("out/garments.csv").read_text().splitlines()) == 1 + garments
    assert not Path("out/overlays/shop/c.jpg").exists()
    assert sorted(file.name for file in Path("out").iterdir()) == [
        *("coco_images.json", "coco_results.json", "crops", "garments.csv", "job.json", "labels", "overlays"),
        "predictions.jsonl",
    ]
    assert "1 photos could not be read" in capsys.readouterr().out


def test_only_what_is_new_changed_or_unread_is_done(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert predict("shop", "--out", "out") == 0
    calls = counted(monkeypatch)
    assert predict("shop", "--out", "out") == 0
    assert calls == [["shop/c.jpg"]]
    Path("shop/d.jpg").rename("shop/e.jpg")
    shutil.copy("shop/a.jpg", "shop/c.jpg")
    Image.open("shop/a.jpg").rotate(90).save("shop/b.png")
    assert predict("shop", "--out", "out") == 0
    assert calls[1:] == [["shop/b.png", "shop/c.jpg", "shop/e.jpg"]]
    found = {line["photo"]: line for line in lines()}
    assert len(found) == len(lines()) == 5  # d.jpg is gone, its result is not
    same = ("garments", "width", "height")
    assert [found["shop/c.jpg"][key] for key in same] == [found["shop/a.jpg"][key] for key in same]
    assert len(json.loads(Path("out/coco_images.json").read_text())["images"]) == 5


def test_the_exit_status_is_1_when_no_photo_could_be_read(shop: Path, capsys: pytest.CaptureFixture) -> None:
    """The results go to `predictions` where no other folder is named."""
    assert predict("shop/c.jpg") == 1
    (line,) = lines("predictions")
    assert (
        line["error"] == f"shop/c.jpg: not an image; expected {', '.join(FORMATS)}; replace the file, or leave it out"
    )
    assert "1 photos could not be read; predictions/predictions.jsonl says why" in capsys.readouterr().out
    assert predict("shop/a.jpg", "shop/c.jpg") == 0
    assert predict("shop/a.jpg", "shop/c.jpg") == 0  # the first was read before
    assert predict("shop/c.jpg", "shop/c.jpg") == 1


def test_after_an_interrupt_it_goes_on(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    one = ("--batch_size", 1)
    assert predict("shop", "--out", "whole", *one) == 0
    append, whole = Ledger.append, Path("whole/predictions.jsonl").read_bytes()

    def interrupted(self, new):
        if new and new[0][0]["photo"] == "shop/b.png":
            raise KeyboardInterrupt
        append(self, new)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "append", interrupted)
        assert predict("shop", "--out", "out", *one) == 130
    assert [line["photo"] for line in lines()] == ["shop/a.jpg"]
    assert Path("out/garments.csv").exists()
    assert predict("shop", "--out", "out", *one) == 0
    assert Path("out/predictions.jsonl").read_bytes() == whole
    assert [file.name for file in Path("out").iterdir() if file.name.startswith(".")] == []


def test_frames_of_a_video(shop: Path) -> None:
    film(shop / "clip.avi", frames=4)
    assert predict("clip.avi", "--every", 2, "--out", "out", "--threshold", 1) == 0
    assert [(line["photo"], line["width"], line["height"]) for line in lines()] == [
        ("clip.avi/000000", 64, 48),
        ("clip.avi/000002", 64, 48),
    ]
    joined = cv2.VideoCapture("out/overlays/clip-overlay.mp4")
    frames = [frame.mean() for read, frame in iter(joined.read, (False, None)) if read]
    assert frames == pytest.approx([0, 80], abs=6)
    assert joined.get(cv2.CAP_PROP_FPS) == pytest.approx(2.5)


def test_a_clip_that_an_interrupt_left_out_is_made_the_next_time(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Path("out/overlays/clip-overlay.mp4")
    command = (film(shop / "clip.avi", frames=2).name, "--out", "out", "--threshold", 1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(photo_files, "save_video", interrupted)
        assert predict(*command) == 130
    assert (len(lines()), clip.exists()) == (2, False)
    assert predict(*command) == 0
    assert (len(lines()), clip.exists()) == (2, True)
    film(shop / "clip.avi", frames=3)  # a clip of other frames goes before the new one is made
    with monkeypatch.context() as patched:
        patched.setattr(photo_files, "save_video", interrupted)
        assert predict(*command) == 130
    assert not clip.exists()


def test_files_that_an_interrupt_left_out_are_made_the_next_time(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(shop / "clip.avi", frames=1)
    names = ("shop/a.jpg", "shop/b.png", "clip.avi")
    assert predict(*names, "--out", "whole", "--save_crop") == 0
    write = photo_files.PhotoFiles.write

    def interrupted(self, place, result, picture):
        if result.photo == "shop/b.png":
            raise KeyboardInterrupt
        write(self, place, result, picture)

    with monkeypatch.context() as patched:
        patched.setattr(photo_files.PhotoFiles, "write", interrupted)
        assert predict(*names, "--out", "out", "--save_crop") == 130
    before = Path("out/predictions.jsonl").read_bytes()
    assert len(lines()) == 3  # the lines of the batch are there before anything is drawn
    Path("out/overlays/shop/b.png.jpg.7-00000000.partial").write_bytes(b"of a killed process")
    calls = counted(monkeypatch)
    assert predict(*names, "--out", "out", "--save_crop") == 0
    assert calls == [[]]
    assert Path("out/predictions.jsonl").read_bytes() == before == Path("whole/predictions.jsonl").read_bytes()
    made, whole = ({file.relative_to(out) for file in Path(out).rglob("*.*")} for out in ("out", "whole"))
    assert made == whole
    for file in whole:
        if file.suffix in (".jpg", ".txt"):
            assert Path("out", file).read_bytes() == Path("whole", file).read_bytes()


def test_files_of_an_earlier_content_count_for_nothing(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert predict("shop/a.jpg", "--out", "out") == 0
    old = Path("out/overlays/shop/a.jpg").read_bytes()
    shutil.copy("shop/d.jpg", "shop/a.jpg")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(photo_files.PhotoFiles, "write", interrupted)
        assert predict("shop/a.jpg", "--out", "out") == 130
    assert Path("out/overlays/shop/a.jpg").read_bytes() == old
    assert predict("shop/a.jpg", "--out", "out") == 0
    assert Path("out/overlays/shop/a.jpg").read_bytes() != old


def test_photos_of_two_folders_of_one_name_have_files_each(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "in" / "shop").mkdir(parents=True)
    shutil.copy("shop/a.jpg", "in/shop/a.jpg")
    shutil.copy("shop/d.jpg", "shop/a.jpg")
    monkeypatch.chdir(shop / "in")
    assert predict("../shop/a.jpg", "shop/a.jpg", "--out", "out") == 0
    above, own = (Path("out", kind) for kind in ("overlays/__/shop/a.jpg", "overlays/shop/a.jpg"))
    assert above.read_bytes() != own.read_bytes()
    assert len(list(Path("out/labels").rglob("a.txt"))) == 2


def test_a_photo_that_is_named_twice_is_done_once(shop: Path) -> None:
    assert predict("shop/a.jpg", "shop/a.jpg", "shop", "shop/d.jpg", "--out", "shop/out") == 0
    before = [line["photo"] for line in lines("shop/out")]
    assert before == ["shop/a.jpg", "shop/b.png", "shop/c.jpg", "shop/d.jpg"]
    assert predict("shop", "--out", "shop/out") == 0  # its own pictures are none of the photos
    assert sorted(line["photo"] for line in lines("shop/out")) == before


def test_a_name_that_is_no_text(shop: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    os.rename("shop/a.jpg", f"shop/{name}")
    assert predict(f"shop/{name}", "--out", "out") == 0
    assert lines()[0]["photo"] == f"shop/{name}"
    assert b"shop/caf\xe9.jpg" in Path("out/garments.csv").read_bytes()
    assert Path("out/overlays/shop", name).exists()


def test_points_follow_the_turn_of_exif(shop: Path) -> None:
    """A photo that is stored lying has the points of the same photo standing."""
    stored, exif = Image.open("shop/a.jpg").rotate(90, expand=True), Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees, clockwise
    Image.open("shop/a.jpg").save("shop/standing.png")
    stored.save("shop/lying.png", exif=exif)
    assert predict("shop/standing.png", "shop/lying.png", "--out", "out") == 0
    standing, lying = ([g["box"] for g in line["garments"]] for line in lines())
    assert np.array(standing).size > 0
    np.testing.assert_array_equal(standing, lying)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("gone.jpg",), "gone.jpg: no such photo"),
        (("shop", "--threshold", 0), "threshold is 0.0; expected a number above 0"),
        (("shop", "--refine", 3), "refine is 3; expected 0 to 2, or -1"),
        (("shop", "--shard", "2/8"), "--shard is 2/8, which says nothing about photos that are named"),
        (
            ("--manifest", "m.csv", "--limit", 10),
            "--limit is 10, which says nothing about --manifest; cut the manifest",
        ),
        (("shop", "--precision", "64-true"), "precision is '64-true'; photos are predicted in auto"),
        (("shop", "--every", 0), "--every is 0"),
        (("shop", "--weights", "best"), "--weights is 'best'; expected cpu, or a folder"),
        (("shop", "--devices", "2"), "photos are predicted on one device"),
        (("shop", "--out", "shop"), "shop: lies in the folder of the results; choose another --out"),
    ],
)
def test_refused_before_anything_is_written(shop: Path, options: tuple, message: str, capsys) -> None:
    out = () if "--out" in options else ("--out", "out")
    assert run("predict", *OPTIONS, *out, *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not Path("out").exists()
