"""What a wrong command line is answered with: one line, and the nearest thing that is right. What the lists of verbs say."""

import subprocess
import sys
from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli import verbs
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.cli.usage import guess

from garment_keypoints import __version__


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "name a verb; `python -m pipeline --help` lists them"),
        ("lab", "name a verb; `python -m pipeline lab --help` lists them"),
        ("predcit photo.jpg", "no verb 'predcit'; did you mean predict?"),
        ("frobnicate", "no verb 'frobnicate'; `python -m pipeline --help` lists them"),
        ("lab mach", "no verb 'mach'; did you mean match?"),
        ("match --out x", "the verb match is the laboratory's now: python -m pipeline lab match"),
        ("pseudo-label", "the verb pseudo-label is the laboratory's now: python -m pipeline lab pseudo-label"),
        ("lab submit", "the verb submit is none of the laboratory's: python -m pipeline submit"),
        ("claims", "the verb claims is gone; its results are in docs/collapse.md"),
        ("plan-catalogue", "the verb plan-catalogue is gone; its table and formula are in docs/scale.md"),
        ("match-remedies", "the verb match-remedies is gone; its results are in docs/match.md"),
        ("predict x --treshold 0.5", "no option --treshold of predict; did you mean --threshold?"),
        ("predict x --device cpu", "no option --device of predict; did you mean --devices?"),
        ("predict x --thresh=0.5", "no option --thresh of predict; did you mean --threshold?"),
        ("predict x --zzz", "no option --zzz of predict; `python -m pipeline predict --help` lists them"),
        ("predict x --threshold much", "--threshold is 'much'; expected a number"),
        ("evaluate-val --run x --data x --boxes x --out x --refine 1 a", "--refine is 'a'; expected a whole number"),
        ("predict x --overlays never", "--overlays is 'never'; expected true or false"),
        ("predict x --out", "--out: expected one argument"),
        (
            "submit --out x",
            "submit needs --test (folder with test.csv and Images/)",
        ),
        (
            "submit --test x --out x --on_error skipp",
            "--on_error is 'skipp'; expected one of stop, skip; did you mean skip?",
        ),
        (
            "evaluate x --submission a --answers b",
            "'x' is nothing that evaluate takes; `python -m pipeline evaluate --help` lists its options",
        ),
        (
            "train-detector --data x --run x --keypoints.train.lrr 1",
            "no option --keypoints.train.lrr of train-detector; did you mean --keypoints.train.lr?",
        ),
        (
            "train-detector --data x --run x --lr 1",
            "no option --lr of train-detector; did you mean --detector.train.lr or --keypoints.train.lr?",
        ),
    ],
)
def test_one_line_says_what_is_wrong_and_what_is_right(
    line: str, message: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")
    assert not list(tmp_path.iterdir())


def test_a_guess_is_of_what_is_near() -> None:
    assert guess("epoch", ["a.epochs", "b.lr"], "--") == "; did you mean --a.epochs?"
    assert guess("xyzzy", ["epochs", "lr"]) == ""


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_the_verbs_are_listed_in_groups(word: str, capsys: pytest.CaptureFixture) -> None:
    assert main([word]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m pipeline VERB [options]\n")
    places = [text.index(f"\n{group}:\n") for group in (*verbs.GROUPS, "laboratory")]
    assert places == sorted(places)
    for start, end, names in zip(
        places, [*places[1:], len(text)], [*verbs.GROUPS.values(), ["ablate", "lab"]], strict=True
    ):
        assert all(f"\n  {name} " in text[start:end] for name in names)
    assert not any(f"\n  {name} " in text for name in verbs.EXPERIMENTS if name != "ablate")


def test_the_laboratory_lists_its_own(capsys: pytest.CaptureFixture) -> None:
    assert main(["lab", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in verbs.EXPERIMENTS)
    assert "  submit " not in text


def test_the_version_is_told(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"python -m pipeline {__version__}\n"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/somewhere/bin/garment-keypoints", "garment-keypoints"),
        ("/checkout/pipeline/__main__.py", "python -m pipeline"),
        ("/site-packages/garment_keypoints/__main__.py", "python -m garment_keypoints"),
        ("/anywhere/pytest", "python -m pipeline"),
    ],
)
def test_the_program_is_named_as_it_was_called(
    called: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {name} VERB")
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", "--help"])
    assert capsys.readouterr().out.startswith(
        f"usage: {name} evaluate --submission SUBMISSION --answers ANSWERS [options]\n"
    )
    assert main(["nothing"]) == 2
    assert f"`{name} --help`" in capsys.readouterr().err


def test_the_help_needs_neither_torch_nor_the_parser() -> None:
    code = "import sys, garment_keypoints.pipeline.cli.run as m; m.main(['--help']); "
    code += "print({'torch', 'jsonargparse'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "set()"
