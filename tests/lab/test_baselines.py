"""Constant answers, against cases worked by hand: skirts of four corners in pictures of different sizes."""

import json
from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.contract.formats.fashionai import columns
from garment_keypoints.pipeline.contract.schema import load_schema
from PIL import Image

SKIRT = ("waistband_left", "waistband_right", "hemline_left", "hemline_right")


def picture(root: Path, name: str, size_wh: tuple[int, int], box: tuple[int, int, int, int]) -> str:
    """Write a picture; return its row of a skirt that is a rectangle."""
    (root / "Images").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_wh).save(root / "Images" / name)
    x0, y0, x1, y1 = box
    corners = dict(zip(SKIRT, (f"{x0}_{y0}_1", f"{x1}_{y0}_1", f"{x0}_{y1}_1", f"{x1}_{y1}_1"), strict=True))
    names = columns(load_schema(), several=False)[2:]
    return ",".join([f"Images/{name}", "skirt", *(corners.get(one, "-1_-1_-1") for one in names)])


def write(root: Path, file: str, rows: list[str]) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text("\n".join([",".join(columns(load_schema(), several=False)), *rows]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train skirts fill the middle quarter of 100 x 100, twice, and of 500 x 500; the test's that of 200 x 200."""
    train = tmp_path / "train"
    small = [picture(train, f"{i}.png", (100, 100), (25, 25, 75, 75)) for i in range(2)]
    write(train, "Annotations/train.csv", [*small, picture(train, "2.png", (500, 500), (125, 125, 375, 375))])
    test = tmp_path / "test"
    row = picture(test, "0.png", (200, 200), (50, 50, 150, 150))
    write(test, "answer.csv", [row])
    (test / "test.csv").write_text("image_id,image_category\nImages/0.png,skirt\n")
    return tmp_path


def test_each_frame_has_its_own_constants(folder: Path) -> None:
    options = ["--data", folder / "train", "--test", folder / "test", "--answers", folder / "test" / "answer.csv"]
    out = folder / "baselines.json"
    assert main(["lab", "baselines", *map(str, [*options, "--out", out])]) == 0
    ne = [one["ne"] for one in json.loads(out.read_text())["baselines"]]
    # Median (25, 75) misses (50, 150) by (25, 75); mean (58.333, 175) by (8.333, 25); the test's waistband is 100 wide.
    median = (25 * 2**0.5 + 2 * (25**2 + 75**2) ** 0.5 + 75 * 2**0.5) / 4
    assert ne[1] == pytest.approx(median, abs=1e-3)
    assert ne[0] == pytest.approx(median / 3, abs=1e-3)
    assert ne[2:] == pytest.approx([0] * 6, abs=1e-3)


def test_answers_of_other_pictures_are_refused(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "test" / "test.csv").write_text("image_id,image_category\nImages/1.png,skirt\n")
    options = ["--data", folder / "train", "--test", folder / "test", "--answers", folder / "test" / "answer.csv"]
    assert main(["lab", "baselines", *map(str, options), "--out", str(folder / "b.json")]) == 1
    assert "answer.csv" in capsys.readouterr().err
    assert not (folder / "b.json").exists()
