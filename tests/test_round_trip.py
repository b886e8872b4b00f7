"""A loaded checkpoint predicts what was trained: compared with the networks of the training, not with another load."""

import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.keypoints.inference import NetworkLocator
from garment_keypoints.pipeline import train
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import BestOfCategory

from tests.configs import detector_config, keypoints_config
from tests.keypoints.test_data import boxes_of
from tests.keypoints.test_network import MIRRORED
from tests.predicting_anew import predicted

TRAINING = {"epochs": 3, "batch_size": 4, "workers": 0, "accelerator": "cpu", "lr": 3e-3, "ema": 0.2}


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> list[pl.LightningModule]:
    """What is trained while the test runs, with its weights at the end of the training."""
    kept: list[pl.LightningModule] = []
    fit = train.fit

    def keeping(module: pl.LightningModule, *rest: object, **more: object) -> None:
        fit(module, *rest, **more)
        kept.append(module)

    monkeypatch.setattr(train, "fit", keeping)
    return kept


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_a_new_process_predicts_what_was_trained(
    drawn: Path, tmp_path: Path, schema: Schema, modules: list[pl.LightningModule]
) -> None:
    rows = read_annotations([drawn / "train"], schema)
    found_by = detector_config(size=64, fpn_channels=16, fallback_score=0.02, **TRAINING)
    located_by = keypoints_config(
        size=64, head_channels=16, padding=0.22, codec="softmax", loss="cross_entropy", **TRAINING
    )
    train.train_detector(rows, schema, found_by, tmp_path / "detector.safetensors", None)
    train.train_keypoints(rows, boxes_of(rows), schema, located_by, tmp_path / "keypoints.safetensors")
    first, second = modules
    source = BestOfCategory(NetworkDetector(first.network, found_by, "in memory", []), 0.02)
    locator = NetworkLocator(
        second.network.eval(), second.codec, (64, 64), 0.22, torch.tensor(MIRRORED), flip_test=True
    )
    expected = predicted(drawn / "test", source, locator, schema)

    anew = [
        sys.executable,
        "-m",
        "tests.predicting_anew",
        str(drawn / "test"),
        str(tmp_path),
        str(tmp_path / "anew.pt"),
    ]
    done = subprocess.run(anew, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    regions, found = (torch.load(tmp_path / "anew.pt")[name] for name in ("regions", "found"))
    torch.testing.assert_close(regions["box"], expected["regions"]["box"], rtol=0, atol=0.01)
    torch.testing.assert_close(regions["xy"], expected["regions"]["xy"], rtol=0, atol=0.01)
    torch.testing.assert_close(regions["score"], expected["regions"]["score"], rtol=0, atol=1e-4)
    torch.testing.assert_close(found["box_score"], expected["found"]["box_score"], rtol=0, atol=1e-4)
    # The comparison says something: most boxes are the detector's, and no two pictures have the same points.
    assert int(regions["fallback"].sum()) < 5
    assert torch.pdist(regions["xy"].flatten(1)).min() > 1
