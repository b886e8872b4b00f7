"""Options follow from the signatures of the commands; the help explains each of them."""

import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.__main__ import VERBS, main
from pipeline.commands import arguments
from tests.commands.running import TINY

FUNCTIONS = {verb: arguments._load(path) for verb, path in VERBS.items()}


def helped(capsys: pytest.CaptureFixture, *command: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_list_of_verbs_needs_no_torch() -> None:
    code = "import sys, pipeline.__main__ as m\ntry: m.main(['--help'])\nfinally: print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "False"
    assert all(f"    {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_explains_every_option(verb: str, capsys: pytest.CaptureFixture) -> None:
    text = helped(capsys, verb)
    function = FUNCTIONS[verb]
    assert inspect.getdoc(function).splitlines()[0] in text
    described = {one.arg_name: one.description for one in arguments.parse(function.__doc__).params}
    assert list(described) == list(inspect.signature(function).parameters)
    for name, line in described.items():
        if name not in ("settings", "device"):
            assert f"--{name} " in text
            assert " ".join(line.split()) in text
    if "settings" in described:
        assert "--config CONFIG a YAML file" in text
        assert "--keypoints.train.lr LR Peak learning rate" in text
        assert "--folds FOLDS Detectors for boxes out of fold." in text
    if "device" in described:
        assert "--precision PRECISION Lightning's precision" in text


def test_presets_lists_and_dashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values come as the types of the parameters; an option may be written with - or _."""
    from pipeline.assemble import Settings

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
