"""The sample is what it says: exact, varied, the same for a seed, and no toy."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations, read_answers, read_test
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.sample.write import SETTINGS, draw_dataset


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "sample"
    draw_dataset(folder, train=10, test=150, seed=7, size=96)
    return folder


def test_the_same_seed_gives_the_same_files(drawn: Path, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "again", train=20, test=10, seed=1, size=128)
    files = sorted(p.relative_to(drawn) for p in drawn.rglob("*") if p.is_file())
    assert len(files) == 30 + 6
    assert all((drawn / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files)


def test_the_layout_is_fashionai(drawn: Path, schema: Schema) -> None:
    rows = read_annotations([drawn / "train"], schema)
    assert {row.category for row in rows} == set(schema.categories)
    tests = read_test(drawn / "test", schema)
    answers = read_answers(drawn / "test" / "answer.csv", schema)
    assert [row.image_id for row in tests] == [row.image_id for row in answers]
    header = (drawn / "train" / "Annotations" / "train.csv").read_text().splitlines()[0]
    assert header.split(",") == ["image_id", "image_category", *schema.keypoints]


def test_an_existing_sample_is_kept_and_anything_else_is_not_touched(drawn: Path, tmp_path: Path, capsys) -> None:
    draw_dataset(drawn, train=20, test=10, seed=1, size=128)
    assert "drawn already" in capsys.readouterr().out
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="not empty and no sample of"):
        draw_dataset(tmp_path, train=1, test=1, seed=1, size=128)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / SETTINGS).write_text('{"train"')
    with pytest.raises(ValueError, match="not empty and no sample of"):
        draw_dataset(tmp_path, train=1, test=1, seed=1, size=128)
    with pytest.raises(ValueError, match="train is 0; expected 1 or more"):
        draw_dataset(tmp_path / "new", train=0, test=1, seed=1)


def test_a_foreign_folder_in_the_way_is_left_alone_and_an_unfinished_one_is_drawn_anew(tmp_path: Path) -> None:
    unfinished = tmp_path / "x.partial"
    unfinished.mkdir()
    (unfinished / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"x\.partial is in the way and no unfinished sample"):
        draw_dataset(tmp_path / "x", train=1, test=1, seed=1, size=64)
    assert (unfinished / "thesis.txt").read_text() == "mine"
    (unfinished / "unfinished-sample.txt").write_text("")
    draw_dataset(tmp_path / "x", train=1, test=1, seed=1, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_points_of_every_kind(many: Path, schema: Schema) -> None:
    answers = read_answers(many / "test" / "answer.csv", schema)
    shares = {}
    for category in schema.categories:
        v = np.stack([a.visibility[list(schema.members[category])] for a in answers if a.category == category])
        shares[category] = [float((v == code).mean()) for code in (1, 0, -1)]
        assert shares[category][0] > 0.5, shares
    assert sum(share[1] for share in shares.values()) > 0.3  # occluded ones
    assert shares["outwear"][2] > 0.05  # waistlines are mostly absent
    assert shares["dress"][2] > 0.05  # sleeveless dresses have no cuffs


def test_left_is_left(many: Path, schema: Schema) -> None:
    """In nearly all pictures the left one of a pair lies to the left, as in the real data."""
    right_order = total = 0
    for answer in read_answers(many / "test" / "answer.csv", schema):
        for k, mirror in enumerate(schema.flip_index):
            if "left" in schema.keypoints[k] and answer.present[k] and answer.present[mirror]:
                total += 1
                right_order += answer.xy[k, 0] < answer.xy[mirror, 0]
    assert right_order / total > 0.93


def test_the_second_file_knows_every_garment(many: Path, schema: Schema) -> None:
    everything = json.loads((many / "test" / "all_garments.json").read_text())
    unlabelled = 0
    for answer in read_answers(many / "test" / "answer.csv", schema):
        garments = everything[answer.image_id]
        own = [g for g in garments if g["labelled"]]
        assert [g["category"] for g in own] == [answer.category]
        unlabelled += len(garments) - 1
        for name, (x, y, v) in own[0]["points"].items():
            k = schema.keypoints.index(name)
            assert answer.visibility[k] == v
            if v >= 0:
                assert abs(answer.xy[k] - [x, y]).max() <= 0.51
    assert unlabelled > 75


def test_the_best_constant_in_the_true_box_scores_25_percent_or_worse(many: Path, schema: Schema) -> None:
    """From the text of the CSV alone: means of box-normalised points, fitted on the very rows that are scored."""
    table = csv.DictReader((many / "test" / "answer.csv").read_text().splitlines())
    rows = []
    for line in table:
        cells = {n: tuple(int(v) for v in line[n].split("_")) for n in schema.keypoints}
        seen = {n: c for n, c in cells.items() if c[2] >= 0}
        xs, ys = [c[0] for c in seen.values()], [c[1] for c in seen.values()]
        rows.append(
            (line["image_category"], seen, (min(xs), min(ys), max(1, max(xs) - min(xs)), max(1, max(ys) - min(ys))))
        )
    errors = []
    for category in schema.categories:
        own = [(seen, box) for c, seen, box in rows if c == category]
        means = {
            n: np.mean([((s[n][0] - b[0]) / b[2], (s[n][1] - b[1]) / b[3]) for s, b in own if n in s], axis=0)
            for n in schema.keypoints
            if any(n in s for s, _ in own)
        }
        pair = (
            ("waistband_left", "waistband_right")
            if category in ("skirt", "trousers")
            else ("armpit_left", "armpit_right")
        )
        for seen, box in own:
            if pair[0] not in seen or pair[1] not in seen:
                continue
            distance = math.dist(seen[pair[0]][:2], seen[pair[1]][:2])
            for name, (x, y, v) in seen.items():
                if v == 1 and distance:
                    guess = (box[0] + means[name][0] * box[2], box[1] + means[name][1] * box[3])
                    errors.append(math.dist((x, y), guess) / distance)
    assert np.mean(errors) >= 0.25
