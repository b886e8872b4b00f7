"""A schema of one's own, with names without sides, from CSV to a score; and no name of FashionAI's in the code."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.contract.formats.submission import read_submission
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.lab.run_tables import tables
from garment_keypoints.pipeline.reporting.pictures import LEFT, MIDDLE, RIGHT, side_colours
from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent
TINY = ["--config", str(ROOT / "tests" / "tiny.yaml")]
SCHEMA = """
name: accessories
keypoints: [a, b, c, d, e]
pairs: [[a, b]]
reference: {bag: [a, b]}
categories:
  bag: [a, b, c]
  hat: [d, e]
"""


def draw(folder: Path, csv: Path, count: int, seed: int) -> list[str]:
    """Draw bags (triangles a b c) and hats (bars from d to e), write their CSV and return its rows without answers."""
    rng = np.random.default_rng(seed)
    lines, plain = ["image_id,image_category,a,b,c,d,e"], ["image_id,image_category"]
    for i in range(count):
        category, ground = ("bag", "hat")[i % 2], rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        picture = Image.fromarray(ground)
        x, y, size = rng.integers(8, 40), rng.integers(8, 40), rng.integers(20, 45)
        absent = ["-1_-1_-1"]
        if category == "bag":
            points = [(x, y), (x + size, y), (x + size // 2, y + size)]
            ImageDraw.Draw(picture).polygon([(int(px), int(py)) for px, py in points], fill=(200, 30, 30))
            cells = [f"{px}_{py}_1" for px, py in points] + 2 * absent
        else:
            ImageDraw.Draw(picture).line([int(x), int(y), int(x + size), int(y + 9)], fill=(30, 30, 200), width=6)
            cells = 3 * absent + [f"{x}_{y}_1", f"{x + size}_{y + 9}_1"]
        image_id = f"Images/{category}/{seed}_{i}.png"
        (folder / image_id).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / image_id)
        lines.append(",".join([image_id, category, *cells]))
        plain.append(f"{image_id},{category}")
    csv.parent.mkdir(parents=True, exist_ok=True)
    csv.write_text("\n".join(lines) + "\n")
    return plain


def run(verb: str, *options: object) -> None:
    assert main([verb, *map(str, options)]) == 0


def test_from_csv_to_a_scored_submission(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    own, train, test, folder = (tmp_path / name for name in ("own.yaml", "train", "test", "run"))
    own.write_text(SCHEMA)
    draw(train, train / "Annotations" / "train.csv", 20, seed=1)
    (test / "test.csv").write_text("\n".join(draw(test, test / "answer.csv", 6, seed=2)) + "\n")
    run("check", "--data", train, "--test", test, "--answers", test / "answer.csv", "--schema", own)
    where = [*TINY, "--schema", own, "--data", train, "--run", folder]
    for verb in ("train-detector", "boxes", "train-keypoints"):
        run(verb, *where)
    networks = [
        "--detector",
        folder / "detector" / "final.safetensors",
        "--keypoints",
        folder / "keypoints" / "final.safetensors",
    ]
    out, device = folder / "submit" / "submission.csv", ["--workers", 0, "--accelerator", "cpu"]
    answers = ["--answers", test / "answer.csv", "--schema", own]
    run("submit", "--test", test, *networks, "--out", out, *device, *answers)
    assert out.with_suffix(".png").stat().st_size > 1000

    schema = load_schema(own)
    for (image_id, _), one in read_submission(out, schema).items():
        category = image_id.split("/")[1]
        assert one.given.tolist() == schema.mask[schema.category_index(category)].tolist()
    capsys.readouterr()
    run("evaluate", "--submission", out, *answers, "--json", tmp_path / "e.json")
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads((tmp_path / "e.json").read_text())
    assert lines[-1] == f"NE {figures['ne']:.3f} % (variant default, 15 points, 0 images skipped)"
    assert set(figures["by_category"]) == {"bag", "hat"}
    assert set(figures["by_keypoint"]) == set("abcde")
    assert set(figures["pck"]) == {"0.05", "0.1", "0.2"}


def test_tables_have_the_categories_of_the_records() -> None:
    provenance = {"command": "c", "commit": "0", "date": "d", "machine": "m", "python": "3", "versions": {}}

    def record(name: str, by_category: dict[str, float]) -> dict:
        figures = {"boxes": "truth", "images": 2, "ne": 3.0, "by_category": by_category}
        return {
            "name": name,
            "steps": {},
            "submissions": [{"test": "t", "figures": figures, "provenance": provenance}],
        }

    text = tables([record("one", {"bag": 1.0, "hat": 2.0}), record("two", {"hat": 4.0, "sock": 5.0})])
    assert "| NE % | bag | hat | sock | points |" in text
    assert "| two | - | t | truth | 0 | 2 | 3.000 | - | 4.000 | 5.000 |" in text


def test_colours_follow_the_pairs(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SCHEMA)
    assert side_colours(load_schema(tmp_path / "own.yaml")) == [LEFT, RIGHT, MIDDLE, MIDDLE, MIDDLE]
    colours = dict(zip(load_schema().keypoints, side_colours(load_schema()), strict=True))
    assert (colours["cuff_left_in"], colours["cuff_right_in"], colours["crotch"]) == (LEFT, RIGHT, MIDDLE)


def test_only_the_schema_knows_a_category_or_keypoint_by_name(schema: Schema) -> None:
    """No string of the code is a name of FashionAI's or a side; the drawn sample, a data set of its own, is free to."""
    names = {*schema.categories, *schema.keypoints, "left", "right"}
    files = [f for package in ("pipeline", "detector", "keypoints") for f in (ROOT / package).rglob("*.py")]
    free = {ROOT / "pipeline" / "contract" / "schema.py"}
    for file in files:
        if file in free or (ROOT / "pipeline" / "sample") in file.parents:
            continue
        strings = {n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)}
        known = [one for one in strings if isinstance(one, str) and one in names]
        assert not known, f"{file}: knows {known}"
