"""Folds, near-duplicates, and the one pass over the pictures that finds the faulty ones."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.data.folds import NEAR_BITS, assign_folds, near_duplicates
from garment_keypoints.pipeline.data.survey import survey
from PIL import Image


def rows(folder: Path, names: list[str]) -> list[ImageRow]:
    return [ImageRow(name, "skirt", folder / name) for name in names]


def far_apart(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 64)) < 0.5


def test_a_fold_follows_from_the_name_alone(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(60)]
    hashes = far_apart(60)
    folds = assign_folds(rows(tmp_path, names), 3, hashes)
    fewer = assign_folds(rows(tmp_path, names[20:][::-1]), 3, hashes[20:][::-1])
    np.testing.assert_array_equal(fewer[::-1], folds[20:])
    assert np.bincount(folds).min() > 10


def test_near_duplicates_never_lie_in_different_folds(tmp_path: Path) -> None:
    hashes = np.concatenate([far_apart(40)] * 2)
    hashes[40:, :4] ^= True  # each row has a twin, 4 bits apart
    folds = assign_folds(rows(tmp_path, [f"{i}.jpg" for i in range(80)]), 4, hashes)
    np.testing.assert_array_equal(folds[:40], folds[40:])


def test_groups_are_transitive() -> None:
    hashes = np.zeros((4, 64), dtype=bool)
    hashes[1, :5], hashes[2, :10], hashes[3, :] = True, True, True
    groups = near_duplicates(hashes)
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_a_resized_and_recompressed_copy_is_found(drawn: Path, tmp_path: Path, schema) -> None:
    annotated = read_annotations([drawn / "train"], schema)[:6]
    copy = tmp_path / "copy.jpg"
    with Image.open(annotated[2].path) as picture:
        picture.resize((100, 100)).save(copy, quality=60)
    found = survey([*annotated, ImageRow("copy.jpg", "dress", copy)])
    groups = near_duplicates(found.hashes)
    assert groups[6] == groups[2]
    assert len(set(groups.tolist())) == 6


@pytest.mark.parametrize(
    ("count", "folds", "message"), [(10, 1, "need 2 or more"), (2, 3, "2 images cannot"), (3, 3, "has no image")]
)
def test_too_few(tmp_path: Path, count: int, folds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assign_folds(rows(tmp_path, ["a", "b", "c", *map(str, range(7))][:count]), folds, far_apart(count))


def test_the_survey_finds_every_faulty_picture(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "good.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("hello")
    points = np.array([[400.0, 20], [5, 5]])
    far = Annotation("far.jpg", "skirt", tmp_path / "good.jpg", points, np.array([1, 1]), csv="a.csv", csv_row=7)
    near = Annotation("near.jpg", "skirt", tmp_path / "good.jpg", np.array([[125.0, 20], [5, 5]]), np.array([1, 1]))
    found = survey([*rows(tmp_path, ["good.jpg", "cut.jpg", "text.jpg", "none.jpg"]), far, near])
    text = "\n".join(str(fault) for fault in found.faults)
    assert len(found.faults) == 4
    assert "cut.jpg: unreadable image" in text
    assert "text.jpg: not an image" in text
    assert "none.jpg: missing image" in text
    far_point = "a.csv, row 7: point far outside its image (of 120 x 90 pixels): '400_20 of far.jpg'; expected 0 to 120"
    assert far_point in text
    assert found.sizes_wh[0].tolist() == [120, 90]


def test_near_duplicates_are_those_of_comparing_every_pair() -> None:
    """Chains, pairs at exactly the limit and just above it, differences spread over all bits."""
    rng = np.random.default_rng(3)
    hashes = far_apart(60)
    twins = hashes.copy()
    for row, differing in zip(twins, rng.integers(1, 9, 60), strict=True):
        row[rng.choice(64, differing, replace=False)] ^= True
    every = np.concatenate([hashes, twins])
    groups = near_duplicates(every)
    near = (every[:, None] != every[None]).sum(-1) <= NEAR_BITS
    connected = near.copy()
    for _ in range(7):
        connected = (connected.astype(int) @ connected.astype(int)) > 0
    assert 60 < len(set(groups.tolist())) < 120
    np.testing.assert_array_equal(groups[:, None] == groups[None], connected)
