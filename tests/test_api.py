"""The Python interface: what it says is what `predict` writes, whatever form the photo comes in."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.api import Predictor, load
from garment_keypoints.pipeline.contract.faults import UserError
from PIL import Image

from tests.commands.running import run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(drawn: Path) -> list[Path]:
    return sorted((drawn / "test" / "Images").rglob("*.jpg"))[:4]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load(threshold=0.2, device="cpu")


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        image.load()
        return image


def test_the_same_as_predict_writes(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    options = ("--threshold", 0.2, "--workers", 0, "--accelerator", "cpu", "--overlays", "false")
    assert run("predict", *files, "--out", tmp_path / "out", *options) == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    for line, result in zip(lines, predictor(files), strict=True):
        plain = result.to_dict()
        assert (plain["width"], plain["height"]) == (line["width"], line["height"])
        assert [one["category"] for one in plain["garments"]] == [one["category"] for one in line["garments"]] != []
        for one, written in zip(plain["garments"], line["garments"], strict=True):
            np.testing.assert_allclose(one["box"], written["box"], atol=0.02)
            for name, point in written["points"].items():
                assert one["points"][name] == pytest.approx(point, abs=0.02)


def test_paths_arrays_and_pictures_alike(predictor: Predictor, files: list[Path]) -> None:
    picture = opened(files[0])
    kinds = [files[0], str(files[0]), np.asarray(picture), picture, picture.convert("RGBA")]
    first, *others = predictor(kinds)
    assert first.photo == str(files[0])
    for other in others:
        np.testing.assert_array_equal(other.xy, first.xy)
        np.testing.assert_array_equal(other.box, first.box)
    grey = np.asarray(picture.convert("L"))
    np.testing.assert_array_equal(predictor(grey)[0].xy, predictor(np.stack([grey] * 3, -1))[0].xy)


def test_arrays_of_a_result(predictor: Predictor, files: list[Path]) -> None:
    (result,) = predictor(files[0])
    count = len(result.garments)
    assert count
    assert result.xy.shape == (count, 24, 2)
    assert result.box.shape == (count, 4)
    assert result.score.tolist() == sorted(result.score, reverse=True)
    members = list(result.schema.members[result.category[0]])
    assert np.isfinite(result.point_score[0]).nonzero()[0].tolist() == sorted(members)
    assert result.plot().size == result.size_wh
    assert result.to_coco(7)[0]["image_id"] == 7
    none = load(threshold=1.0, device="cpu")(files[0])[0]
    assert (none.xy.shape, none.box.shape, none.category, none.to_coco()) == ((0, 24, 2), (0, 4), [], [])


def test_a_file_that_cannot_be_read_is_a_result_with_its_error(predictor: Predictor, files: list[Path]) -> None:
    bad, good = predictor(["gone.jpg", files[0]])
    assert "missing image" in bad.error
    assert bad.to_dict() == {"photo": "gone.jpg", "error": bad.error}
    assert good.garments
    with pytest.raises(ValueError, match="missing image"):
        bad.plot()


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((4, 4, 3)), r"an array \(4, 4, 3\) of float64; expected RGB pixels uint8"),
        (np.zeros((3, 4, 4), np.uint8), r"an array \(3, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"an array \(0, 4, 3\)"),
        (7, "a photo is a int; expected a path"),
    ],
)
def test_what_is_no_photo_is_refused(predictor: Predictor, photo, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predictor([photo])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"threshold": one}, "expected a number above 0, at most 1") for one in (0, -1, 1.5, float("nan"), "0.5")),
        ({"flip_test": "false"}, "flip_test is 'false'; expected true or false"),
        ({"refine": 3}, "refine is 3; expected 0 to 2, or -1"),
        ({"refine": True}, "refine is True"),
        ({"device": "cuda:0"}, "device is 'cuda:0'; expected one of auto, cpu, gpu"),
        ({"runtime": "foo"}, "runtime is 'foo'; expected one of auto, torch, onnx, int8"),
        ({"batch": 0}, "batch_size is 0"),
    ],
)
def test_options_that_are_none_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(**options)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is one")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="accelerator is 'gpu', and torch finds none on this machine"):
        load(device="gpu")


def test_photos_are_taken_some_at_a_time(predictor: Predictor) -> None:
    taken = []

    def photos():
        for i in range(1000):
            taken.append(i)
            yield np.zeros((32, 32, 3), np.uint8)

    next(predictor.stream(photos()))
    assert len(taken) < 32  # two batches of eight, and the headers of a few more


def test_supervision(predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = predictor(files[0])
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="needs the package supervision"):
        result.to_supervision()
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(KeyPoints=lambda **fields: fields))
    fields = result.to_supervision()
    assert fields["xy"].shape == (len(result.garments), 24, 2)
    assert np.isfinite(fields["xy"]).all()


def test_the_lines_of_the_readme(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    shutil.copy(files[0], "coat.jpg")
    exec(code, {})
    assert re.match(r"\w+ 0\.\d+ \[\[", capsys.readouterr().out)
