"""Presets are found by name wherever one works, and a wrong name gets the nearest."""

from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli.presets import CONFIGS, find_preset
from garment_keypoints.pipeline.contract.faults import UserError


@pytest.mark.parametrize("name", ["cpu", "cpu.yaml", "networks/hrnet_w18"])
def test_a_preset_goes_by_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpu").mkdir()
    assert find_preset(name) == CONFIGS / f"{name.removesuffix('.yaml')}.yaml"


def test_a_file_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cpu.yaml").write_text("folds: 3\n")
    assert find_preset("cpu.yaml").read_text() == "folds: 3\n"


@pytest.mark.parametrize(
    ("name", "near"),
    [("cpux", "cpu"), ("configs/cpu.yaml", "cpu"), ("besst.yaml", "best"), ("hrnet_w18", "networks/hrnet_w18")],
)
def test_a_near_miss_is_suggested(name: str, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        find_preset(name)
    expected = f"--config is {name!r}; expected a YAML file, or a preset (best, cpu, gpu, sample); did you mean {near}?"
    assert str(raised.value) == expected
