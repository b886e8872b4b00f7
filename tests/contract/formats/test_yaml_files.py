"""Hostile YAML is refused by name at the one reader, before anything is made of it."""

import time
from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.yaml_files import LARGEST, read_yaml
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.lab.ablation.definition import read_ablation
from garment_keypoints.pipeline.runs.claims import claim
from garment_keypoints.pipeline.settings import Settings

BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
HOSTILE = [
    (BOMB, "line 2: *a0 repeats another part, expected every part written out; correct it"),
    ("a: &a {b: *a}\n", "line 1: *a repeats another part"),
    ("a: &a [*a]\n", "line 1: *a repeats another part"),
    ("folds: 2\nfolds: 3\n", "line 2: folds stands twice, expected once; correct it"),
    ("a:\n  b: 1\n  'b': 2\n", "line 3: b stands twice"),
    ("a: [{size: 0120}]\n", "line 1: 0120 is no number to base ten, expected one without a leading 0"),
    ("a: 0x1F\n", "line 1: 0x1F is no number to base ten"),
    ("a: 12:30\n", "line 1: 12:30 is no number to base ten"),
    ("a: 1\n" * LARGEST, "more than 60,000 bytes, expected a file of settings or a schema"),
    ("a: " + "[" * 20_000, "not readable as YAML"),
    ("{" * 20_000, "not readable as YAML"),
    ("? " * 20_000, "not readable as YAML"),
    ("a: !!python/object/apply:os.system [id]\n", "line 1: could not determine a constructor for the tag"),
    ("a: !!int x\n", "line 1: x is no number to base ten"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE, ids=lambda text: text[:20])
def test_hostile_yaml_is_refused_by_name_and_at_once(tmp_path: Path, content: str, message: str) -> None:
    file, start = tmp_path / "own.yaml", time.process_time()
    file.write_text(content)
    with pytest.raises(UserError) as refused:
        read_yaml(file)
    assert time.process_time() - start < 3  # on two slow cores that others share
    assert str(refused.value).startswith(f"{file}: {message}")
    assert "\n" not in str(refused.value)


def test_every_door_takes_that_reader(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(BOMB)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(BOMB)
    ablation = tmp_path / "rows.yaml"
    rows = "[{name: a, config: own.yaml}]"
    ablation.write_text(f"stage: keypoints\nbase: tiny.yaml\nrows: {rows}\n")
    (tmp_path / "tiny.yaml").write_text("format: 2\n")
    doors = [
        lambda: load_schema(file),
        lambda: read_ablation(file, Settings),
        lambda: read_ablation(ablation, Settings, base=file),
        lambda: read_ablation(ablation, Settings),
        lambda: claim(tmp_path / "run", {"a": 1}),
    ]
    for door in doors:
        with pytest.raises(UserError, match=r"line 2: \*a0 repeats another part"):
            door()


@pytest.mark.parametrize("option", ["--config", "--schema"])
def test_what_a_named_file_holds_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture, option: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("root: hunter2: hunter3\n- hunter4\n")
    assert main(["describe", option, str(secret)]) == 1
    said = capsys.readouterr().err
    assert f"{secret}: line 1: mapping values are not allowed here" in said
    assert "hunter" not in said


@pytest.mark.parametrize("word", ["--keypoints", "--detector.train"])
def test_a_group_of_settings_takes_no_file_past_the_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture, word: str
) -> None:
    file = tmp_path / "group.yaml"
    file.write_text("size: 0120\n")
    assert main(["describe", word, str(file)]) == 2
    assert f"no option {word} of describe" in capsys.readouterr().err


def test_numbers_and_texts_that_are_plain_stay(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("a: [0, -1, +2, 1_000, 0.5, 1.0e-3, '0120', 'a', true]\nb: {a: 1}\nc: {a: 1}\n")
    assert read_yaml(file) == {"a": [0, -1, 2, 1000, 0.5, 1e-3, "0120", "a", True], "b": {"a": 1}, "c": {"a": 1}}
