"""Keypoint AP of COCO files: against a case worked by hand, and against pycocotools as DeepFashion2's evaluation calls it."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.commands.running import run

CATEGORIES = [1, 7, 8]
DEEPFASHION2 = Path(os.environ.get("FASHIONAI_ROOT", "")).parent / "deepfashion2"


@pytest.fixture(scope="module")
def landmarks() -> Schema:
    return load_schema("deepfashion2")


def annotation(number: int, image: int, category: int, xy: np.ndarray, marks: np.ndarray) -> dict[str, Any]:
    seen = xy[marks > 0]
    low, size = seen.min(0), seen.max(0) - seen.min(0)
    triplets = np.concatenate([np.where(marks[:, None] > 0, xy, 0), marks[:, None]], 1)
    return {
        "id": number, "image_id": image, "category_id": category, "iscrowd": 0, "area": float(size.prod()),
        "num_keypoints": int((marks > 0).sum()), "bbox": [*low.tolist(), *size.tolist()], "keypoints": triplets.ravel().tolist(),
    }  # fmt: skip


def made(schema: Schema, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a truth of 12 pictures with up to four garments each, and results with misses, doubles and wrong categories."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image in range(1, 13):
        for _ in range(rng.integers(1, 5)):
            category = int(rng.choice(CATEGORIES))
            own = np.array(list(schema.members.values())[category - 1])
            xy, marks = np.zeros((294, 2)), np.zeros(294, dtype=int)
            xy[own] = rng.uniform(20, 380, 2) + rng.uniform(0, 200, (len(own), 2))
            marks[own] = rng.choice([0, 1, 2], len(own), p=[0.1, 0.3, 0.6])
            marks[own[0]] = rng.choice([1, 2])
            truth.append(annotation(len(truth) + 1, image, category, xy, marks))
            for _ in range(rng.choice([0, 1, 2], p=[0.15, 0.65, 0.2])):
                said = category if rng.random() < 0.85 else int(rng.choice(CATEGORIES))
                moved = xy + rng.normal(0, rng.choice([2, 8, 20]), xy.shape)
                points = np.concatenate([moved, np.full((294, 1), 0.5)], 1).ravel().tolist()
                found.append(
                    {"image_id": image, "category_id": said, "keypoints": points, "score": float(rng.random())}
                )
    images = [{"id": i, "width": 600, "height": 600} for i in range(1, 13)]
    names = [{"id": c, "name": schema.categories[c - 1]} for c in CATEGORIES]
    return {"images": images, "annotations": truth, "categories": names}, found


def official(truth: Path, results: Path, sigmas: np.ndarray) -> list[float]:
    """Return AP, AP50 and AP75 as a user of pycocotools gets them."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        scored = COCOeval(coco, coco.loadRes(str(results)), "keypoints")
        scored.params.kpt_oks_sigmas = sigmas
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return scored.stats[:3].tolist()


def write(folder: Path, truth: dict[str, Any], found: list[dict[str, Any]]) -> list[object]:
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(found))
    return ["--answers", folder / "truth.json", "--submission", folder / "results.json", "--schema", "deepfashion2"]


@pytest.mark.parametrize("visible", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_pycocotools_to_all_printed_digits(
    landmarks: Schema, seed: int, visible: bool, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    truth, found = made(landmarks, seed)
    options = write(tmp_path, truth, found)
    if visible:
        for one in truth["annotations"]:
            marks = np.array(one["keypoints"][2::3])
            one["keypoints"][2::3] = np.where(marks == 2, 2, 0).tolist()
            one["num_keypoints"] = int((marks == 2).sum())
    (tmp_path / "asked.json").write_text(json.dumps(truth))
    ap, ap50, ap75 = official(tmp_path / "asked.json", tmp_path / "results.json", np.array(landmarks.sigmas))
    assert run("evaluate", *options, *(["--visible"] if visible else [])) == 0
    what = "visible" if visible else "visible and occluded"
    assert capsys.readouterr().out.splitlines()[-1] == f"AP {ap:.4f} AP50 {ap50:.4f} AP75 {ap75:.4f} ({what})"
    assert 0.05 < ap < 0.95


def test_one_garment_by_hand(landmarks: Schema, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A skirt's two visible landmarks, one met, one off by d: OKS is the mean of 1 and exp(-d^2 / (8 sigma^2 area))."""
    own = list(landmarks.members["skirt"])[:2]
    xy, marks = np.zeros((294, 2)), np.zeros(294, dtype=int)
    xy[own], marks[own] = [[100, 100], [200, 300]], 2
    truth = annotation(1, 5, 9, xy, marks)
    away = np.sqrt(-np.log(2 * 0.72 - 1) * 8 * landmarks.sigmas[own[1]] ** 2 * truth["area"])  # an OKS of 0.72
    moved = xy.copy()
    moved[own[1], 0] += away
    points = np.concatenate([moved, np.ones((294, 1))], 1).ravel().tolist()
    files = {"images": [{"id": 5}], "annotations": [truth], "categories": [{"id": 9, "name": "skirt"}]}
    found = [{"image_id": 5, "category_id": 9, "keypoints": points, "score": 0.5}]
    assert run("evaluate", *write(tmp_path, files, found), "--json", tmp_path / "ap.json") == 0
    # 0.72 passes the thresholds 0.50, 0.55, 0.60, 0.65 and 0.70 of ten.
    assert capsys.readouterr().out.splitlines()[-1] == "AP 0.5000 AP50 1.0000 AP75 0.0000 (visible and occluded)"
    assert json.loads((tmp_path / "ap.json").read_text())["keypoints"]["by_category"]["skirt"]["ap50"] == pytest.approx(
        1
    )


def test_nothing_found(landmarks: Schema, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    truth, _ = made(landmarks, 0)
    assert run("evaluate", *write(tmp_path, truth, [])) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "AP 0.0000 AP50 0.0000 AP75 0.0000 (visible and occluded)"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("keypoints", [0.0] * 51, "annotation 1: keypoints holds 51 numbers: '51'; expected 882, three for each"),
        ("keypoints", [0.0, 0.0, 3] * 294, "annotation 1: a keypoint's visibility is unknown: '3'; expected 0 (none)"),
        ("keypoints", [float("nan")] * 882, "annotation 1: keypoints holds what is no finite number: 'nan'"),
        ("image_id", 99, "annotation 1: image_id is none of the file's: '99'; correct it"),
        ("category_id", "skirt", "annotation 1: category_id is none of the file's: \"'skirt'\""),
        ("bbox", [1, 2, -3, 4], "annotation 1: bbox is no box: '[1, 2, -3, 4]'; expected [x, y, width, height]"),
        ("id", 2, "annotations: an id stands twice: '2'; give each its own"),
    ],
)
def test_a_wrong_annotation_is_named(
    landmarks: Schema, key: str, value: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    truth, found = made(landmarks, 0)
    truth["annotations"][0][key] = value
    assert run("evaluate", *write(tmp_path, truth, found)) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("keypoints", None, "result 1: keypoints holds 0 numbers"),
        ("score", None, "result 1: score is no finite number: 'None'"),
        ("image_id", "a.jpg", "result 1: image_id is no id"),
    ],
)
def test_a_wrong_result_is_named(
    landmarks: Schema, key: str, value: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    truth, found = made(landmarks, 0)
    found[0][key] = value
    assert run("evaluate", *write(tmp_path, truth, found)) == 1
    assert message in capsys.readouterr().err


def test_files_that_do_not_fit(landmarks: Schema, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    truth, found = made(landmarks, 0)
    options = write(tmp_path, truth, [one | {"image_id": 1000} for one in found])
    for change, message in (
        ([], "no image and category of its"),
        (["--at_most", 5], "--at_most is of NE"),
        (["--answers", tmp_path / "results.json"], "not a COCO file; expected an object with the lists images"),
    ):
        assert run("evaluate", *options, *change) == 1
        assert message in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.skipif(not (DEEPFASHION2 / "annotations.json").is_file(), reason="no DeepFashion2 beside the checkout")
def test_real_garments_found_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    truth = json.loads((DEEPFASHION2 / "annotations.json").read_text())
    found = [
        {key: one[key] for key in ("image_id", "category_id", "keypoints", "bbox")} for one in truth["annotations"]
    ]
    options = write(tmp_path, truth, [one | {"score": 0.9} for one in found])
    assert run("evaluate", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "boxes AP 1.0000 AP50 1.0000 AP75 1.0000",
        "AP 1.0000 AP50 1.0000 AP75 1.0000 (visible and occluded)",
    ]
