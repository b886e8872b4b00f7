"""A refinement crops around the points of the first crop, by a locator that looks at pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.records import ImageBatch, Points
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from garment_keypoints.pipeline.engine.refinement import OwnPoints, refined
from garment_keypoints.pipeline.learning.loading import ImageDataset, collate
from garment_keypoints.pipeline.learning.pairs import MANIFEST, Pair
from garment_keypoints.pipeline.orchestrator import TwoStage, locate_in
from torch import Tensor, nn

from tests.commands.running import run, submit_options
from tests.oracle import Case, Dots, make_rows

CASES = [Case((320, 260), "dress"), Case((257, 301), "skirt"), Case((300, 350), "outwear")]


class Still(nn.Module):
    """A locator that finds every point at one place of its crop."""

    size_wh, padding = (64, 64), 0.1

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        xy = torch.full((len(crops), 24, 2), 32.0)
        return Points(xy, xy[..., 0], xy[..., 0])


@pytest.fixture
def pictures(tmp_path: Path, schema: Schema) -> tuple[ImageBatch, list]:
    rows = make_rows(tmp_path, schema, CASES, apart=4)
    dataset = ImageDataset(rows, [schema.category_index(row.category) for row in rows])
    return collate([dataset[i] for i in range(len(rows))]), rows


def test_the_second_box_is_that_of_the_points_of_the_category(pictures, schema: Schema) -> None:
    batch, rows = pictures
    loose = np.array([[-20.0, 0, *case.size_wh] for case in CASES])
    locator = Dots((256, 256), padding=0.1)
    source = OwnPoints(GivenBoxes(loose), locator, schema.mask, margin=0.05)
    regions = source.regions(batch)
    for row, case, box in zip(rows, CASES, regions.boxes, strict=True):
        xy = row.xy[list(schema.members[row.category])]
        low, high = xy.min(0), xy.max(0)
        grown = np.concatenate([low - 0.05 * (high - low), high + 0.05 * (high - low)])
        expected = grown.clip(0, np.tile(case.size_wh, 2))
        np.testing.assert_allclose(box, expected, atol=1)
    assert regions.score.tolist() == [1, 1, 1]
    found = TwoStage(source, locator).predict_step(batch)["regions"]["xy"]
    for row, xy in zip(rows, found, strict=True):
        own = list(schema.members[row.category])
        np.testing.assert_allclose(xy[own], row.xy[own], atol=0.5)


def test_points_that_frame_nothing_leave_the_box(pictures, schema: Schema) -> None:
    batch, _ = pictures
    boxes = np.array([[10.0, 20, 100, 120]] * 3)
    assert OwnPoints(GivenBoxes(boxes), Still(), schema.mask, 0.05).regions(batch).boxes.tolist() == boxes.tolist()


def test_no_region_has_no_second(pictures, schema: Schema) -> None:
    batch, _ = pictures
    source = GivenBoxes(np.zeros((0, 4)), np.zeros(0, dtype=int))
    assert OwnPoints(source, Still(), schema.mask, 0.05).regions(batch).boxes.shape == (0, 4)


def test_a_second_refinement_crops_around_the_mean_of_two_views(pictures, schema: Schema) -> None:
    batch, _ = pictures
    locator = load_locator(Pair.of("cpu", None, None).keypoints, schema, flip_test=False)
    source = GivenBoxes(np.array([[0.0, 0, *case.size_wh] for case in CASES]))
    assert refined(0, source, locator, schema, 0.05) is source
    once = refined(1, source, locator, schema, 0.05)
    twice = refined(2, source, locator, schema, 0.05)
    xy, _ = locate_in(batch, once.regions(batch), locator)
    for case, points, box in zip(CASES, xy, twice.regions(batch).boxes, strict=True):
        own = points[list(schema.members[case.category])]
        margin = 0.05 * (own.amax(0) - own.amin(0))
        expected = torch.cat([own.amin(0) - margin, own.amax(0) + margin]).clamp(min=0)
        torch.testing.assert_close(box, torch.minimum(expected, torch.tensor(case.size_wh * 2)))
    assert not torch.equal(xy, locate_in(batch, source.regions(batch), locator)[0])
    with pytest.raises(UserError, match="--refine is 3; expected 0 to 2"):
        refined(3, source, locator, schema, 0.05)
    locator.source = "image"
    with pytest.raises(UserError, match="trained on whole images"):
        refined(1, source, locator, schema, 0.05)


def test_submit_with_a_refinement(trained: Path, drawn: Path, tmp_path: Path) -> None:
    options = submit_options(trained, drawn / "test")
    for refine in (0, 1, -1):
        assert run("submit", *options, "--refine", refine, "--out", tmp_path / f"{refine}.csv") == 0
    assert (tmp_path / "0.csv").read_bytes() != (tmp_path / "1.csv").read_bytes()
    # Networks that were not published as a pair are for one crop.
    assert (tmp_path / "-1.csv").read_bytes() == (tmp_path / "0.csv").read_bytes()
    assert run("submit", *options, "--refine", -2, "--out", tmp_path / "less.csv") == 1


def test_a_pair_is_published_for_so_many_refinements(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    """They hold in the detector's boxes; whoever says otherwise is obeyed."""
    detector, keypoints = trained / "detector" / "final.safetensors", trained / "keypoints" / "final.safetensors"
    pair = ("--detector", detector, "--keypoints", keypoints, "--out", tmp_path / "pair", "--terms", "for tests")
    assert run("publish", *pair, "--refine", 3) == 1
    assert "--refine is 3; expected 0 to 2" in capsys.readouterr().err
    assert run("publish", *pair, "--refine", 1) == 0
    answers = drawn / "test" / "answer.csv"
    options = ["--test", drawn / "test", "--weights", tmp_path / "pair", "--answers", answers, "--workers", 0]
    for name, more in {
        "own": [],
        "never": ["--refine", 0],
        "once": ["--refine", 1],
        "truth": ["--boxes", "truth"],
    }.items():
        assert run("submit", *options, *more, "--out", tmp_path / f"{name}.csv") == 0
    assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "once.csv").read_bytes()
    assert (tmp_path / "own.csv").read_bytes() != (tmp_path / "never.csv").read_bytes()
    said = {name: json.loads((tmp_path / f"{name}.json").read_text())["refine"] for name in ("own", "truth")}
    assert said == {"own": 1, "truth": 0}
    assert Pair.of(str(tmp_path / "pair"), None, keypoints).refine == 0
    manifest = tmp_path / "pair" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"refine": 1', '"refine": 9'))
    assert run("submit", *options, "--out", tmp_path / "odd.csv") == 1
    assert "refine is 9; expected a whole number of 0 to 2" in capsys.readouterr().err
