"""What the commands that draw do with the options of pictures: what the training and `submit` do."""

from pathlib import Path

import pytest
from garment_keypoints.pipeline import views
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import ImageBatch

from tests.commands.running import TINY, run, submit_options


@pytest.mark.parametrize("stage", ["detector", "keypoints", "network"])
def test_look_shows_pictures_in_the_detail_of_the_training(
    trained: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Pictures of 128 pixels, of which every second one is left."""
    seen: list[int] = []
    plain = views.collate

    def noting(items: list) -> ImageBatch:
        batch = plain(items)
        seen.extend(batch.reduced.tolist())
        return batch

    monkeypatch.setattr(views, "collate", noting)
    options = [*TINY, "--pictures.detail", 64, "--data", drawn / "train", "--run", trained, "--out", tmp_path]
    assert run("look", "--stage", stage, *options) == 0
    assert set(seen) == {2}


def test_errors_shows_pictures_above_the_usual_limit(
    trained: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that is raised, as it was for the submission."""
    monkeypatch.setattr(PictureOptions.__init__, "__defaults__", (100.0, 0.01, 1024))
    raised = ["--max_megapixels", 100]
    assert run("submit", *submit_options(trained, drawn / "test"), *raised, "--out", tmp_path / "s.csv") == 0
    options = ["--submission", tmp_path / "s.csv", "--answers", drawn / "test" / "answer.csv", "--workers", 0]
    options += [
        part for stage in ("detector", "keypoints") for part in (f"--{stage}", trained / stage / "final.safetensors")
    ]
    assert run("errors", *options, "--worst", 2, *raised, "--out", tmp_path / "e") == 0
    assert run("errors", *options, "--worst", 2, "--max_megapixels", 0.01, "--out", tmp_path / "f") == 1
