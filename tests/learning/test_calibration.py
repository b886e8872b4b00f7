"""Calibration: by hand on a few points, against a simulation whose truth is known, and refused when damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.calibration import Calibration, fit, reliability


def simulated(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 24 keypoints whose mean error is 0.4 (1 - score)^2, the odd ones' twice that; visible by chance of the score."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(0, 1, (count, 24))
    mean = 0.4 * (1 - score) ** 2 * (1 + np.arange(24) % 2)
    errors = rng.exponential(mean)
    visible = (rng.uniform(size=score.shape) < score).astype(float)
    return score, errors, visible


def test_what_is_said_comes_true_on_other_points() -> None:
    fitted = fit(*simulated(2000, 0))
    score, errors, visible = simulated(2000, 1)
    for k in (0, 1):
        said = reliability(fitted.expected_error(score)[:, k], np.minimum(errors[:, k], 1))
        assert said.gap < 0.03
        assert np.abs(said.said - said.true).max() < 0.08
    assert reliability(fitted.visibility(score)[:, 3], visible[:, 3]).gap < 0.04
    # The scores themselves, as the chance of an error of nothing, would be far off.
    assert reliability(1 - score[:, 0], np.minimum(errors[:, 0], 1)).gap > 0.3


def test_curves_go_one_way() -> None:
    fitted = fit(*simulated(200, 2))
    assert (np.diff(fitted.score) > 0).all()
    assert (np.diff(fitted.error, axis=1) <= 1e-12).all()
    assert (np.diff(fitted.visible, axis=1) >= -1e-12).all()
    assert fitted.expected_error(np.full((1, 24), np.nan)).shape == (1, 24)
    assert np.isnan(fitted.expected_error(np.full((1, 24), np.nan))).all()


def test_a_keypoint_without_points_has_the_curve_of_all() -> None:
    score, errors, visible = simulated(2000, 3)
    errors[:, 5], visible[:, 5] = np.nan, np.nan
    fitted = fit(score, errors, visible)
    others = fitted.error[[k for k in range(24) if k != 5]].mean(0)
    np.testing.assert_allclose(fitted.error[5], others, atol=0.03)


def test_two_scores_by_hand() -> None:
    """One keypoint: low scores with errors 0.2 and 0.4, high ones with 0 and 0.1, and more than one normaliser is one."""
    score = np.array([[0.1], [0.1], [0.9], [0.9]])
    fitted = fit(score, np.array([[0.2], [7.0], [0.0], [0.1]]), np.array([[0.0], [1.0], [1.0], [np.nan]]))
    low, high = fitted.error[0, [0, -1]]
    assert (low, high) == pytest.approx((0.6, 0.05))
    assert fitted.visible[0, [0, -1]].tolist() == pytest.approx([0.5, 1.0])


def test_written_and_read(tmp_path: Path, schema: Schema) -> None:
    fitted = fit(*simulated(300, 4), of="abc")
    fitted.save(tmp_path / "c.json", schema, {"command": "a test"})
    again = Calibration.load(tmp_path / "c.json", schema, {})
    np.testing.assert_allclose(again.error, fitted.error, atol=1e-5)
    assert (again.of, json.loads((tmp_path / "c.json").read_text())["command"]) == ("abc", "a test")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format=2),
        lambda content: content.update(score=[0.5, 0.5]),
        lambda content: content["error"].pop("crotch"),
        lambda content: content["visible"].update(crotch=["a"]),
        lambda content: content.clear(),
        lambda content: content["error"]["crotch"].__setitem__(-1, -5.0),
        lambda content: content["error"]["crotch"].__setitem__(0, 1.5),
        lambda content: content["error"]["crotch"].reverse(),
        lambda content: content["visible"]["crotch"].__setitem__(0, float("nan")),
        lambda content: content["visible"]["crotch"].reverse(),
        lambda content: content["score"].__setitem__(-1, float("inf")),
        lambda content: content.update(settings=[1]),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, schema: Schema, change) -> None:
    fit(*simulated(50, 5)).save(tmp_path / "c.json", schema, {})
    content = json.loads((tmp_path / "c.json").read_text())
    change(content)
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"c\.json: damaged, or of another schema"):
        Calibration.load(tmp_path / "c.json", schema, {})


def test_that_of_another_network_is_refused(tmp_path: Path, schema: Schema) -> None:
    file, config = tmp_path / "c.json", {"crop": {"size": 320}, "codec": {"name": "softmax"}}
    fit(*simulated(50, 6)).save(file, schema, {"settings": {"crop.size": 320, "codec.name": "softmax"}})
    Calibration.load(file, schema, config)
    with pytest.raises(
        UserError, match=r"c\.json: of a network whose crop\.size is 320, this one's is 224; write it again"
    ):
        Calibration.load(file, schema, config | {"crop": {"size": 224}})


def test_nothing_to_fit_is_refused() -> None:
    with pytest.raises(UserError, match="no point to calibrate on"):
        fit(np.ones((2, 3)), np.full((2, 3), np.nan), np.full((2, 3), np.nan))
