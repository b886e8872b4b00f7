"""The card of a pair of weights: of these files and their figures, and of no others."""

import json
from pathlib import Path

import pytest
from garment_keypoints.pipeline.learning.pairs import FILES, PACKAGED, packaged

from tests.commands.running import run


@pytest.fixture(scope="module")
def scored(trained: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a published pair, and record.json of a scored submission by it."""
    folder = tmp_path_factory.mktemp("card")
    networks = [trained / stage / "final.safetensors" for stage in ("detector", "keypoints")]
    pair = ("--detector", networks[0], "--keypoints", networks[1], "--out", folder / "pair")
    assert run("publish", *pair, "--terms", "For tests.") == 0
    options = ("--test", drawn / "test", "--answers", drawn / "test" / "answer.csv", "--workers", 0)
    assert run("submit", *options, "--weights", folder / "pair", "--out", folder / "record.csv") == 0
    return folder


def test_the_card_holds_what_the_record_and_the_files_say(scored: Path) -> None:
    assert run("card", "--weights", scored / "pair", "--record", scored / "record.json") == 0
    card = (scored / "pair" / "README.md").read_text()
    figures = json.loads((scored / "record.json").read_text())["figures"]
    hashes = json.loads((scored / "pair" / "weights.json").read_text())["sha256"]
    assert "# pair\n\nFor tests.\n" in card
    assert f"**NE {figures['ne']:.3f} %**" in card
    assert f"| dress | {figures['by_category']['dress']:.2f} |" in card
    assert f"| crotch | {figures['by_keypoint']['crotch']:.2f} |" in card
    assert all(f"`{digest[:16]}…`" in card for digest in hashes.values())
    assert "| input | 64 px | 64 px |" in card
    assert "keypoints: `python -m pipeline " in card
    assert run("card", "--weights", scored / "pair", "--record", scored / "record.json") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["networks"].update(keypoints="0"), "of another keypoints network than that of"),
        (lambda record: record["figures"].pop("ne"), "not the record of a scored submission"),
        (lambda record: record.pop("job"), "not the record of a scored submission"),
    ],
)
def test_another_record_is_refused(scored: Path, tmp_path: Path, change, message: str, capsys) -> None:
    record = json.loads((scored / "record.json").read_text())
    change(record)
    (tmp_path / "other.json").write_text(json.dumps(record))
    assert run("card", "--weights", scored / "pair", "--record", tmp_path / "other.json") == 1
    assert message in capsys.readouterr().err


def test_a_readme_of_ones_own_stays(scored: Path) -> None:
    file = scored / "pair" / "README.md"
    file.write_text("mine")
    assert run("card", "--weights", scored / "pair", "--record", scored / "record.json") == 1
    assert file.read_text() == "mine"
    file.unlink()


@pytest.mark.parametrize("name", packaged())
def test_the_packaged_weights_have_their_card(name: str) -> None:
    card = (PACKAGED / name / "README.md").read_text()
    digests = json.loads((PACKAGED / name / "weights.json").read_text())["sha256"]
    assert all(f"`{digests[file][:16]}…`" in card for file in FILES.values())
