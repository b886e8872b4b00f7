"""The verb that measures the write-up's claims, on a tiny trained network."""

import json
from pathlib import Path

from tests.commands.running import run


def options(trained: Path, drawn: Path, out: Path) -> list[object]:
    test = drawn / "test"
    given = ["--test", test, "--answers", test / "answer.csv", "--workers", 0, "--accelerator", "cpu", "--out", out]
    return [*given, "--keypoints", trained / "keypoints" / "final.safetensors"]


def test_claims_are_measured(trained: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "claims.json"
    assert run("claims", *options(trained, drawn, out), "--garments", drawn / "test" / "all_garments.json") == 0
    claims = json.loads(out.read_text())["claims"]
    lost, invaded = claims["lost_point"], claims["invaded"]
    assert lost["images"] + lost["images_without_such_a_crop"] == invaded["images"] == 10
    assert lost["points"] >= lost["images"] > 0
    low, high = lost["difference_95"]
    assert low <= lost["ne_of_the_others_after"] - lost["ne_of_the_others"] <= high
    assert 0 <= invaded["with_another_garment_over_0.1_of_the_crop"] <= 1
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".parts")] == []
    assert run("claims", *options(trained, drawn, out)) == 0
    assert list(json.loads(out.read_text())["claims"]) == ["lost_point"]


def test_what_claims_refuses(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "claims.json"
    out.write_text('{"mine": 1}')
    assert run("claims", *options(trained, drawn, out)) == 1
    assert "is not what this command wrote" in capsys.readouterr().err
    assert out.read_text() == '{"mine": 1}'
    for content, what in (("[]", "no JSON object"), ("{}", "without Images/")):
        (tmp_path / "garments.json").write_text(content)
        garments = ["--garments", tmp_path / "garments.json"]
        assert run("claims", *options(trained, drawn, tmp_path / "new.json"), *garments) == 1
        assert what in capsys.readouterr().err
