"""The ledger of predictions: what is done is known again, what is torn, changed or unread is done again."""

import errno
import json
from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.photos import version_of
from garment_keypoints.pipeline.engine import ledger as engine
from garment_keypoints.pipeline.engine.ledger import LINES, Ledger, open_ledger

JOB = {"detector": "d", "threshold": 0.4}
EMPTY = {"width": 9, "height": 8, "garments": []}


def opened(folder: Path, **job: object) -> Ledger:
    return open_ledger(folder, JOB | job, load_schema())


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{i}.jpg" for i in range(4)]
    for file in files:
        file.write_bytes(b"x")
    return files


def done(ledger: Ledger, files: list[Path]) -> list[bool]:
    return [ledger.result(str(file), version_of(file)) is not None for file in files]


def append(ledger: Ledger, files: list[Path], **more: object) -> None:
    ledger.append([({"photo": str(file), **(EMPTY | more)}, version_of(file)) for file in files])


def test_what_is_done_is_known_again(tmp_path: Path, photos: list[Path]) -> None:
    ledger = opened(tmp_path / "out")
    assert done(ledger, photos) == [False] * 4
    append(ledger, photos[:2])
    append(ledger, photos[2:3])
    again = opened(tmp_path / "out")
    assert done(again, photos) == [True, True, True, False]
    assert [line["photo"] for line in again.results()] == [str(file) for file in photos[:3]]
    assert next(again.results()) == {"photo": str(photos[0]), **EMPTY}


def test_results_are_known_by_their_photos(tmp_path: Path, photos: list[Path]) -> None:
    ledger = opened(tmp_path / "out")
    for number, file in enumerate(photos):
        append(ledger, [file], width=number)
    for known in (ledger, opened(tmp_path / "out")):
        found = [known.result(str(file), version_of(file)) for file in photos]
        assert found == [{"photo": str(file), **EMPTY, "width": number} for number, file in enumerate(photos)]
        assert known.result(str(photos[0]), "other") is None


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened(tmp_path / "out")
    append(ledger, photos[:1])

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(engine.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            append(ledger, photos[1:])
    assert [line["photo"] for line in ledger.results()] == [str(photos[0])]
    append(ledger, photos[1:])
    assert len(list(ledger.results())) == 4


def test_a_folder_of_an_older_version_goes_on(tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "job.json", json.dumps({"format": 1, **JOB, "passes": 2}))
    opened(tmp_path / "out", refine=1)
    with pytest.raises(UserError, match="refine was 1, now 0"):
        opened(tmp_path / "out", refine=0)


def test_what_is_torn_changed_or_unread_is_done_again(tmp_path: Path, photos: list[Path]) -> None:
    ledger = opened(tmp_path / "out")
    append(ledger, photos[:1], error="not an image")
    append(ledger, photos[1:])
    photos[1].write_bytes(b"longer")
    lines = ledger.lines.read_bytes()
    ledger.lines.write_bytes(lines + b'{"photo": "torn')
    again = opened(tmp_path / "out")
    assert done(again, photos) == [False, False, True, True]
    assert [line["photo"] for line in again.results()] == [str(file) for file in photos[2:]]
    assert [file.name for file in sorted((tmp_path / "out").iterdir())] == ["job.json", LINES]


def test_a_photo_that_is_gone_keeps_its_result(tmp_path: Path, photos: list[Path]) -> None:
    append(opened(tmp_path / "out"), photos)
    photos[0].unlink()
    assert len(list(opened(tmp_path / "out").results())) == 4


def test_frames_are_of_the_version_of_their_video(tmp_path: Path, photos: list[Path]) -> None:
    ledger = opened(tmp_path / "out")
    ledger.append([({"photo": f"{photos[0]}/000003", **EMPTY}, version_of(photos[0]))])
    assert opened(tmp_path / "out").result(f"{photos[0]}/000003", version_of(photos[0]))
    photos[0].write_bytes(b"another video")
    assert not list(opened(tmp_path / "out").results())


def test_another_job_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    append(opened(out), [])
    with pytest.raises(UserError, match=r"of another job \(threshold was 0.4, now 0.5\); choose another --out"):
        opened(out, threshold=0.5)
    (out / "job.json").write_text("{")
    with pytest.raises(UserError, match=r"job\.json is damaged"):
        opened(out)
    (out / "job.json").unlink()
    with pytest.raises(UserError, match="is no folder of predictions"):
        opened(out)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is no folder of predictions"):
        opened(tmp_path / "file")


GARMENT = '{"category": "skirt", "score": 0.5, "box": [1, 2, 3, 4], "points": {"hemline_left": {"x": 1, "y": 2, "score": 0.5}}}'
LINE = '{"photo": "a.jpg", "width": 9, "height": 8, "garments": [%s], "file_version": "1-2"}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"a.jpg"', "5"),
        ('"a.jpg"', '""'),
        ('"photo"', '"name"'),
        ('"garments"', '"found"'),
        ('"width": 9', '"width": "9"'),
        ('"1-2"', "5"),
        ('"1-2"', '"1-2", "files": "../../x"'),
        ('"1-2"', '"1-2", "files": "/x"'),
        ('"1-2"', '"1-2", "files": 5'),
        ('"skirt"', '"hat"'),
        ('"skirt"', "[]"),
        ("0.5", "NaN"),
        ("0.5", "1e999"),
        ("0.5", '"0.5"'),
        ('"x": 1', '"x": NaN'),
        ('"x": 1', '"x": 1e999'),
        ('"x": 1', '"x": -Infinity'),
        ("[1, 2, 3, 4]", "[1, 2, 3]"),
        ("[1, 2, 3, 4]", "null"),
        ("hemline_left", "nose"),
        (GARMENT, "7"),
        (GARMENT, "{}"),
        (GARMENT, "[" * 100_000),
        (LINE % GARMENT, "[]"),
    ],
)
def test_a_damaged_line_is_done_again(tmp_path: Path, old: str, new: str) -> None:
    ledger, line = opened(tmp_path / "out"), LINE % GARMENT
    ledger.lines.write_text(f"{line}\n{line.replace(old, new).replace('a.jpg', 'b.jpg')}\n")
    again = opened(tmp_path / "out")
    assert ledger.lines.read_text() == f"{line}\n"
    assert again.result("a.jpg", "1-2") == {key: one for key, one in json.loads(line).items() if key != "file_version"}


def test_what_is_done_since_it_was_opened_is_new(tmp_path: Path, photos: list[Path]) -> None:
    append(opened(tmp_path / "out"), photos[:1])
    ledger = opened(tmp_path / "out")
    append(ledger, photos[1:2])
    append(ledger, photos[2:3], error="not an image")
    assert [ledger.is_new(str(file), version_of(file)) for file in photos] == [False, True, True, False]
