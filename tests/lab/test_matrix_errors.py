"""Errors of a matrix's runs on the disk: back as they were, of the same images alone."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.match.errors import errors_beside, write_errors

SUMS = {("val", "truth", "a-seed0"): np.array([0.1, 2.5]), ("test", "truth", "a-seed0"): np.array([0.3])}
SCENES = {"val": "aa", "test": "bb"}


def test_back_as_they_were_the_first_file_counts(tmp_path: Path) -> None:
    write_errors(tmp_path / "one_matrix.npz", SCENES, SUMS)
    more = {("val", "truth", "a-seed0"): np.zeros(2), ("val", "truth", "a-seed1"): np.ones(2)}
    write_errors(tmp_path / "two_matrix.npz", {"val": "aa"}, more)
    back = errors_beside([tmp_path / "one.json", tmp_path / "two.json"], SCENES)
    assert back.keys() == SUMS.keys() | more.keys()
    for key, values in ({**more, **SUMS}).items():
        np.testing.assert_allclose(back[key], values, rtol=1e-6)
    assert errors_beside([], SCENES) == {}


def test_other_images(tmp_path: Path) -> None:
    write_errors(tmp_path / "one_matrix.npz", SCENES, SUMS)
    with pytest.raises(UserError, match=r"one_matrix\.npz is of other images than those .* \(test\)"):
        errors_beside([tmp_path / "one.json"], {"val": "aa", "test": "cc"})


def test_other_boxes(tmp_path: Path) -> None:
    write_errors(tmp_path / "one_matrix.npz", {"val": "aa", "val/truth": "11"}, SUMS)
    assert (
        errors_beside([tmp_path / "one.json"], {"val": "aa", "val/truth": "11", "val/image": "22"}).keys()
        == SUMS.keys()
    )
    with pytest.raises(UserError, match=r"one_matrix\.npz is of other boxes than those .* \(val/truth\)"):
        errors_beside([tmp_path / "one.json"], {"val": "aa", "val/truth": "12"})


def test_other_boxes_that_are_not_shown_are_left_out(tmp_path: Path) -> None:
    sums = SUMS | {("val", "detector", "a-seed0"): np.array([0.2, 0.4])}
    write_errors(tmp_path / "one_matrix.npz", {"val": "aa", "val/truth": "11", "val/detector": "33"}, sums)
    scenes = {"val": "aa", "val/truth": "12", "val/detector": "33"}
    assert errors_beside([tmp_path / "one.json"], scenes, ["detector"]).keys() == sums.keys() - {
        ("val", "truth", "a-seed0")
    }
    with pytest.raises(UserError, match=r"other boxes than those .* \(val/truth\)"):
        errors_beside([tmp_path / "one.json"], scenes, ["detector", "truth"])
    with pytest.raises(UserError, match=r"other images"):
        errors_beside([tmp_path / "one.json"], {"val": "ab"}, ["detector"])


@pytest.mark.parametrize("damage", [b"", b"no archive", b"cut"])
def test_damaged_or_missing(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "one_matrix.npz"
    with pytest.raises(UserError, match="expected the errors of a matrix's runs"):
        errors_beside([tmp_path / "one.json"], SCENES)
    write_errors(file, SCENES, SUMS)
    file.write_bytes(file.read_bytes()[:-30] if damage == b"cut" else damage)
    with pytest.raises(UserError, match="expected the errors of a matrix's runs"):
        errors_beside([tmp_path / "one.json"], SCENES)
