"""`predict` on bad photos, names and places: each costs its own line at most, none is lost, and nothing is silent."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from garment_keypoints.pipeline.commands import predict as command
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.predictor import DetectionOptions, Predictor, load_predictor
from garment_keypoints.pipeline.learning.pairs import Weights
from garment_keypoints.pipeline.reporting import photo_files
from PIL import Image

from tests.commands.test_predict import counted, lines, predict, shop  # noqa: F401
from tests.data.test_photos import film

pytestmark = pytest.mark.usefixtures("shop", "loaded")
LONG = "漢" * 80


@pytest.fixture(scope="module")
def predictor(schema: Schema) -> Predictor:
    options = DetectionOptions(threshold=0.2, flip_test=False, refine=0)
    return load_predictor(Weights().pair("cpu"), schema, options, Device(accelerator="cpu", workers=0, batch_size=2))


@pytest.fixture
def loaded(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the networks once."""
    monkeypatch.setattr(command, "load_predictor", lambda *_: predictor)


def errors(out: str = "out") -> dict[str, str]:
    return {line["photo"]: line.get("error", "") for line in lines(out)}


def made(kind: str, out: str = "out") -> list[str]:
    return sorted(str(file.relative_to(Path(out, kind))) for file in Path(out, kind).rglob("*") if file.is_file())


def test_long_names_and_what_is_no_file_cost_a_line_each(capsys: pytest.CaptureFixture) -> None:
    shutil.copy("shop/a.jpg", f"shop/{LONG}.jpg")
    Image.open("shop/a.jpg").save(f"shop/{'x' * 251}.png")
    os.mkfifo("shop/pipe.jpg")
    Path("list.txt").write_bytes(b"shop/a.jpg\nb\0.jpg\nshop\n")
    assert predict("shop", "list.txt", "--out", "out", "--save_crop") == 0
    bad = {name: error for name, error in errors().items() if error}
    assert list(bad) == ["shop/c.jpg", "shop/pipe.jpg", "b\0.jpg", "shop"]
    assert bad["shop/pipe.jpg"].startswith("shop/pipe.jpg: not a file; expected JPEG")
    assert bad["shop"].startswith("shop: not a file")
    assert len(lines()) == len(errors()) == 9
    assert len(made("labels")) == 1 + 5
    assert len(made("overlays")) == 5
    assert len(made("crops")) == sum(len(line.get("garments", ())) for line in lines())
    assert f"shop/{LONG}.jpg" not in made("overlays")
    by_name = {line["photo"]: line.get("files") for line in lines()}
    assert f"{by_name[f'shop/{LONG}.jpg']}" in made("overlays")
    assert by_name["shop/a.jpg"] is None
    assert "9 photos, 0 of them done before" in capsys.readouterr().out


def test_a_photo_that_goes_while_it_waits_costs_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Predictor._open

    def gone(self, photo):
        found = opened(self, photo)
        if photo.name == "shop/b.png":
            photo.path.unlink()
        return found

    monkeypatch.setattr(Predictor, "_open", gone)
    assert predict("shop", "--out", "out") == 0
    assert [name for name, error in errors().items() if not error] == ["shop/a.jpg", "shop/d.jpg"]
    assert errors()["shop/b.png"].startswith("shop/b.png: missing image")


def test_names_that_differ_by_suffix_or_capitals_have_files_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "a.PNG.jpg", "A.JPG"):
        Image.open("shop/d.jpg").save(f"shop/{name}", format="PNG")
    for name in ("v.mp4", "v.avi"):
        film(Path("shop", name), frames=1)
    assert predict("shop", "--out", "out", "--save_crop") == 0
    photos = [line for line in lines() if "error" not in line]
    assert len(photos) == 3 + 3 + 2
    assert len({name.lower() for name in made("labels")}) == 1 + 8
    assert len({name.lower() for name in made("overlays")}) == 8 + 2
    moved = {line["photo"]: line["files"] for line in photos if "files" in line}
    assert list(moved) == ["shop/a.PNG.jpg", "shop/a.jpg", "shop/a.png", "shop/v.mp4/000000"]
    for name, files in moved.items():
        assert files.rpartition("~")[0] == os.path.splitext(name.removesuffix("/000000"))[0]
        assert f"{os.path.splitext(files)[0]}.txt" in made("labels")
    # A rerun goes on with the same places, whichever photo comes first.
    before = {file: Path("out/labels", file).read_bytes() for file in made("labels")}
    next(Path("out/labels/shop").glob("a~*.txt")).unlink()
    calls = counted(monkeypatch)
    assert predict("shop/a.png", "shop/a.jpg", "shop/A.JPG", "shop", "--out", "out", "--save_crop") == 0
    assert calls == [["shop/c.jpg"]]
    assert {file: Path("out/labels", file).read_bytes() for file in made("labels")} == before


def test_a_new_photo_takes_no_place_of_one_that_is_gone() -> None:
    assert predict("shop/a.jpg", "--out", "out") == 0
    before = Path("out/labels/shop/a.txt").read_bytes()
    os.rename("shop/a.jpg", "a.jpg")
    Image.open("shop/d.jpg").save("shop/a.png")
    assert predict("shop/a.png", "--out", "out") == 0
    assert Path("out/labels/shop/a.txt").read_bytes() == before
    assert "~" in lines()[1]["files"]


def test_a_folder_that_is_called_like_a_label(capsys: pytest.CaptureFixture) -> None:
    for name in ("a.txt", "b.png.jpg"):
        Path("shop", name).mkdir()
        shutil.copy("shop/d.jpg", f"shop/{name}/d.jpg")
    assert predict("shop", "--out", "out") == 0
    assert [name for name in made("labels") if "d.txt" in name] == [
        "shop/a.txt__/d.txt",
        "shop/b.png.jpg__/d.txt",
        "shop/d.txt",
    ]
    assert "lack" not in capsys.readouterr().out


def test_a_folder_where_a_file_should_go_is_a_warning(capsys: pytest.CaptureFixture, caplog) -> None:
    names = ["shop/a.jpg", "shop/b.png", "shop/d.jpg"]
    assert predict(*names, "--out", "out", "--save_crop") == 0
    ways = [
        Path("out", place) for place in ("labels/shop/a.txt", "overlays/shop/b.png.jpg", f"crops/{made('crops')[-1]}")
    ]
    for way in ways:
        way.unlink()
        (way / "mine").mkdir(parents=True)
    Path("out/predictions.jsonl").write_text("")
    assert predict(*names, "--out", "out", "--save_crop") == 0
    assert list(errors()) == names
    for name in names:
        assert f"{name}: not all of its files could be written (" in caplog.text
    assert "photos lack labels or pictures; the warnings above say why" in capsys.readouterr().out
    assert all((way / "mine").is_dir() for way in ways)
    assert not Path("out/labels/shop/d.txt").exists()  # written last, it tells that the others are there


def test_a_picture_that_cannot_be_drawn_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def refused(*_: object) -> None:
        raise ValueError("no such JPEG")

    monkeypatch.setattr(photo_files, "overlay", refused)
    assert predict("shop", "--out", "out") == 0
    assert len(lines()) == 4
    assert "shop/a.jpg: not all of its files could be written (no such JPEG)" in caplog.text


def test_a_full_disk_ends_the_run_and_loses_no_line(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out/labels/shop/a.txt")

    with monkeypatch.context() as patched:
        patched.setattr(photo_files, "save_jpeg", full)
        assert predict("shop", "--out", "out") == 1
    assert "error: out/labels/shop/a.txt: No space left on device; free space" in capsys.readouterr().err
    assert list(errors()) == ["shop/a.jpg", "shop/b.png"]  # those of a batch, before anything is drawn of it
    assert predict("shop", "--out", "out") == 0
    assert (len(lines()), len(made("overlays"))) == (4, 3)


def test_a_folder_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """As a user who is not root: the tests may be."""

    def refused(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refused)
        assert predict("shop", "--out", "new/out") == 1
    error = capsys.readouterr().err
    assert "new/out: Permission denied; choose another folder" in error
    assert "Traceback" not in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_photo_that_may_not_be_read() -> None:
    os.chmod("shop/a.jpg", 0)
    assert predict("shop", "--out", "out") == 0
    assert "Permission denied" in errors()["shop/a.jpg"]


def empty(place: Path) -> str:
    (place / "list.txt").touch()
    return "list.txt"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (lambda place: film(place / "v.avi", frames=0).name, "1 photos could not be read"),
        (lambda place: "shop/c.jpg", "1 photos could not be read"),
        (empty, "there was no photo in what was named"),
    ],
)
def test_nothing_is_no_success(source: Callable[[Path], str], said: str, capsys: pytest.CaptureFixture) -> None:
    assert predict(source(Path.cwd()), "--out", "out") == 1
    assert said in "".join(capsys.readouterr())


def test_a_bad_photo_that_is_named_again_later_is_no_success() -> None:
    names = ["shop/c.jpg", *["gone.jpg"] * 30, "shop/c.jpg"]
    Path("list.txt").write_text("\n".join(f"{i}{name}" if name == "gone.jpg" else name for i, name in enumerate(names)))
    assert predict("list.txt", "--out", "out") == 1
    assert len(lines()) == 31


def test_no_run_takes_in_its_own_results(capsys: pytest.CaptureFixture) -> None:
    for _ in range(2):
        assert predict("shop/**/*.*", "--out", "shop/found") == 0
        assert "4 photos" in capsys.readouterr().out
    assert len(lines("shop/found")) == 4
    assert predict("shop/found/overlays", "--out", "shop/found") == 1
    assert "lies in the folder of the results; choose another --out" in capsys.readouterr().err


def test_a_damaged_line_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert predict("shop", "--out", "out") == 0
    ledger = Path("out/predictions.jsonl")
    whole = ledger.read_text().splitlines()
    ledger.write_text("\n".join([whole[0], '{"photo": 5}', json.dumps({**json.loads(whole[3]), "garments": 7})]) + "\n")
    calls = counted(monkeypatch)
    assert predict("shop", "--out", "out") == 0
    assert calls == [["shop/b.png", "shop/c.jpg", "shop/d.jpg"]]
    assert sorted(errors()) == ["shop/a.jpg", "shop/b.png", "shop/c.jpg", "shop/d.jpg"]
