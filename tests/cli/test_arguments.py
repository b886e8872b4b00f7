"""Options follow from the signatures of the commands; the help explains each of them."""

import inspect
from collections.abc import Sequence
from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli import arguments
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.cli.verbs import LABORATORY, VERBS
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.data.select import sample_rows

from tests.commands.running import TINY

GROUPS = {
    "settings": [
        "--config CONFIG a preset, such as cpu, or a YAML file",
        "--keypoints.train.lr LR Peak learning rate",
        "--folds FOLDS Detectors for boxes out of fold.",
    ],
    "device": ["--precision PRECISION Lightning's precision"],
    "pictures": ["--max_megabytes MAX_MEGABYTES A larger picture file is refused."],
    "networks": ["--weights WEIGHTS Pair of networks"],
    "detection": ["--threshold THRESHOLD Least score of a garment."],
}
"""Parameters that are dataclasses, and what the help says of some of their fields."""
FUNCTIONS = {verb: arguments._load(path) for verb, path in (VERBS | LABORATORY).items()}


def helped(capsys: pytest.CaptureFixture, *command: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_help_explains_every_option(verb: str, capsys: pytest.CaptureFixture) -> None:
    text = helped(capsys, *(() if verb in VERBS else ("lab",)), verb)
    function = FUNCTIONS[verb]
    assert inspect.getdoc(function).splitlines()[0] in text
    described = {one.arg_name: one.description for one in arguments.parse(function.__doc__).params}
    assert list(described) == list(inspect.signature(function).parameters)
    for name, line in described.items():
        if name not in GROUPS:
            parameter = inspect.signature(function).parameters[name]
            named = parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
            word = f" {name.upper()} ..."
            assert (f"--{arguments.word_of(name)} " if named else word) in text
            assert " ".join(line.split()) in text
    for group in GROUPS.keys() & described.keys():
        assert all(line in text for line in GROUPS[group])


def test_presets_lists_and_dashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values come as the types of the parameters; an option may be written with - or _."""
    from garment_keypoints.pipeline.settings import Settings

    seen = {}

    def verb(settings: Settings, data: Sequence[Path], at_most: float | None = None) -> None:
        """Do nothing.

        Args:
            settings: both stages
            data: roots
            at_most: percent
        """
        seen.update(settings=settings, data=data, at_most=at_most)

    monkeypatch.setattr(arguments, "_load", lambda path: verb)
    words = ["check", *TINY, "--data", "a", "b", "--at-most=3", "--keypoints.train.lr", "0.5", "--folds", "3"]
    assert main(words) == 0
    assert seen["data"] == [Path("a"), Path("b")]
    assert seen["at_most"] == 3.0
    settings = seen["settings"]
    assert (settings.folds, settings.keypoints.train.lr, settings.detector.network.size) == (3, 0.5, 64)


@pytest.mark.parametrize("head", ["", "format: 1\n", "format: 3\n"])
def test_a_preset_of_another_format_is_refused_by_name(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture, head: str
) -> None:
    preset = tmp_path / "old.yaml"
    preset.write_text(head + "keypoints:\n  codec: softmax\n  lr: 1.0e-3\n")
    command = ["train-detector", f"--config={preset}", "--data", str(drawn / "train"), "--run", str(tmp_path / "run")]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert f"{preset}: format {head.removeprefix('format: ').strip() or 1}, expected 2" in error
    assert "docs/configs.md lists what moved" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"format: 2\ndetector: null\n", "detector is None; expected a group of settings"),
        (b"format: 2\ndetector: [1]\n", "detector is [1]; expected a group of settings"),
        (b"format: 2\nkeypoints: {train: null}\n", "keypoints.train is None; expected a group of settings"),
        (b"format: 2\nkeypoints: {train: {lr: null}}\n", "keypoints: train: lr is None; expected a number"),
        (b"format: 2\nkeypoints: {train: {lr: [1]}}\n", "keypoints: train: lr is [1]; expected a number"),
        (b"format: null\n", "format is None; expected a whole number"),
        (b"a: 2020-13-45\n", "not readable as YAML: month must be in 1..12; correct it"),
        (b"# caf\xe9\n", "not UTF-8"),
        (b"[1]\n", "holds list, expected a mapping of names to values"),
    ],
)
def test_a_damaged_preset_is_one_line(tmp_path: Path, capsys, content: bytes, message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    assert main(["train-detector", "--config", str(file), "--data", "x", "--run", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["sample", "--out", "x", "--seed", "-1"], "--seed is -1; expected 0 to"),
        (["sample", "--out", "x", "--size", "1000000"], "--size is 1000000; expected 0 to 4096"),
        (["check", "--data", "x", "--schema", "y" * 5000], "no schema 'yyy"),
    ],
)
def test_options_out_of_range_are_named(tmp_path: Path, capsys, monkeypatch, options: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(options) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(UserError, match="--limit is -3; expected 0"):
        sample_rows([], -3)


@pytest.mark.parametrize(("line", "out"), [("submit --test x", "submission.csv"), ("predict x", "predictions")])
def test_results_have_a_name_where_nobody_gives_one(line: str, out: str) -> None:
    verb, *words = line.split()
    assert arguments.parse_words(arguments.Verb(verb, FUNCTIONS[verb]), words)["out"] == Path(out)
