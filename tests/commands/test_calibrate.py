"""`calibrate` fits to the fold that a network has not seen, and to no other network."""

import json
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.api import load
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.garments import Garment
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.calibration import Calibration, fit
from garment_keypoints.pipeline.learning.pairs import CALIBRATION, DEFAULT, MANIFEST, PACKAGED, Pair, find_pair
from PIL import Image

from tests.commands.running import TINY, run
from tests.learning.test_calibration import simulated


@pytest.fixture(scope="module")
def validated(trained: Path, drawn: Path) -> Path:
    """The run with a network that left fold 0 out."""
    assert (
        run("train-keypoints", *TINY, "--data", drawn / "train", "--run", trained, "--name", "calibrated", "--val") == 0
    )
    return trained


def test_a_network_is_calibrated_on_the_fold_it_left_out(
    validated: Path, drawn: Path, tmp_path: Path, schema: Schema
) -> None:
    out = tmp_path / "calibration.json"
    options = (*TINY, "--data", drawn / "train", "--run", validated, "--name", "calibrated")
    assert run("calibrate", *options, "--out", out) == 0
    fitted, content = Calibration.load(out, schema, {}), json.loads(out.read_text())
    assert content["settings"]["crop.size"] == 64
    assert fitted.error.shape == (24, len(fitted.score))
    folds = (validated / "folds.csv").read_text().splitlines()[1:]
    assert 0 < content["images"] < len(folds)
    assert content["figures"]["points"] > 0
    with Image.open(out.with_suffix(".png")) as figure:
        assert figure.width > figure.height
    assert run("calibrate", *options, "--out", out) == 0  # over its own


def test_predictions_of_a_calibrated_pair_say_what_their_scores_mean(
    drawn: Path, tmp_path: Path, schema: Schema
) -> None:
    pair, photo = tmp_path / "pair", next((drawn / "test" / "Images").rglob("*.jpg"))
    networks = [("--" + stage, PACKAGED / DEFAULT / f"{stage}.safetensors") for stage in ("detector", "keypoints")]
    publish = ("publish", *networks[0], *networks[1], "--out", pair, "--terms", "for tests")
    assert run(*publish) == 0
    (plain,) = load(str(pair), threshold=0.2, device="cpu")(photo)
    fit(*simulated(100, 0)).save(tmp_path / "mine.json", schema, {})
    assert run(*publish, "--calibration", tmp_path / "mine.json") == 0
    (told,) = load(str(pair), threshold=0.2, device="cpu")(photo)
    fitted = Calibration.load(pair / CALIBRATION, schema, {})
    assert plain.garments[0].expected_error is None
    np.testing.assert_array_equal(told.point_score, plain.point_score)
    np.testing.assert_allclose(told.garments[0].expected_error, fitted.expected_error(told.point_score)[0])
    written = told.to_dict()["garments"][0]
    assert set(written["points"]["armpit_left" if "armpit_left" in written["points"] else "waistband_left"]) == {
        *("x", "y", "score", "expected_error", "visible"),
    }
    again = Garment.from_dict(written, schema)
    np.testing.assert_allclose(again.visible, told.garments[0].visible, atol=1e-3)
    # Of another keypoint network nothing is known.
    assert Pair.of(str(pair), None, pair / "keypoints.safetensors").calibration is None


def test_what_cannot_be_calibrated_is_refused(validated: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    options = (*TINY, "--data", drawn / "train", "--run", validated)
    assert run("calibrate", *options, "--name", "final", "--out", tmp_path / "c.json") == 1
    assert "trained on all folds" in capsys.readouterr().err
    assert run("calibrate", *options, "--name", "calibrated", "--out", tmp_path / "c.txt") == 1
    (tmp_path / "mine.json").write_text("{}")
    assert run("calibrate", *options, "--name", "calibrated", "--out", tmp_path / "mine.json") == 1
    assert (tmp_path / "mine.json").read_text() == "{}"


def test_a_calibration_is_part_of_its_pair(tmp_path: Path, schema: Schema, capsys) -> None:
    pair, mine = tmp_path / "pair", tmp_path / "mine.json"
    networks = [("--" + stage, PACKAGED / DEFAULT / f"{stage}.safetensors") for stage in ("detector", "keypoints")]
    publish = ("publish", *networks[0], *networks[1], "--out", pair, "--terms", "for tests")
    mine.write_text("{}")
    assert run(*publish, "--calibration", mine) == 1
    assert "damaged, or of another schema" in capsys.readouterr().err
    assert not pair.exists()
    fit(*simulated(100, 0)).save(mine, schema, {"settings": {"crop.size": 96}})
    assert run(*publish, "--calibration", mine) == 1
    assert "of a network whose crop.size is 96, this one's is 320" in capsys.readouterr().err
    fit(*simulated(100, 0)).save(mine, schema, {})
    assert run(*publish, "--calibration", mine) == 0
    assert find_pair(str(pair)).calibration == pair / CALIBRATION
    assert run(*publish) == 1  # would lose it
    assert "name it --calibration if it fits these networks too" in capsys.readouterr().err
    assert run(*publish, "--calibration", pair / CALIBRATION) == 0
    (pair / CALIBRATION).write_text(mine.read_text() + " ")
    with pytest.raises(UserError, match=r"calibration\.json: its SHA-256 is"):
        find_pair(str(pair))
    manifest = json.loads((pair / MANIFEST).read_text())
    del manifest["sha256"][CALIBRATION]
    (pair / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="no part of the pair beside it"):
        find_pair(str(pair))
