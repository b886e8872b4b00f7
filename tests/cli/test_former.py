"""Names of the release before: taken, with one line that says the present name; in options, in presets, in settings."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from garment_keypoints.pipeline.cli import arguments, former
from garment_keypoints.pipeline.cli.arguments import Verb, parse_words
from garment_keypoints.pipeline.cli.former import FORMER, Present, one_less
from garment_keypoints.pipeline.cli.usage import UsageError
from garment_keypoints.pipeline.cli.verbs import LABORATORY, VERBS
from garment_keypoints.pipeline.contract.faults import UserError


@dataclass
class Inner:
    """Settings in a group."""

    FORMER: ClassVar[dict[str, str]] = {"speed": "lr", "flip_test": ""}
    lr: float = 0.1
    """How fast."""


@dataclass
class Outer:
    """Settings of a verb."""

    FORMER: ClassVar[dict[str, str]] = {"learning": "train"}
    train: Inner = field(default_factory=Inner)


def example(settings: Outer, refine: int = 0, at: Sequence[int] = (), words: Sequence[str] = ()) -> None:
    """Do nothing.

    Args:
        settings: nested
        refine: how often
        at: several
        words: whatever
    """


VERB = Verb("example", example)


@pytest.fixture(autouse=True)
def _renamed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(FORMER, "example", {"passes": Present("refine", one_less), "each": Present("at", one_less)})
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize("words", [["--passes", "3", "--words", "7"], ["--passes=3", "--words=7"]])
def test_an_option_may_be_called_as_it_was(words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    options = parse_words(VERB, words)
    assert (options["refine"], options["words"]) == (2, ["7"])
    assert caplog.messages == ["--passes is now --refine 2; the former name works for this release only"]


def test_each_value_of_a_list_is_brought_to_today(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_words(VERB, ["--each", "1", "2"])["at"] == [0, 1]
    assert caplog.messages == ["--each is now --at 0 1; the former name works for this release only"]


def test_what_is_no_number_is_refused_under_the_present_name() -> None:
    with pytest.raises(UsageError, match="--refine is 'many'; expected a whole number"):
        parse_words(VERB, ["--passes", "many"])


@pytest.mark.parametrize("name", ["train.speed", "learning.speed", "learning.lr"])
def test_a_setting_may_be_called_as_it_was(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert parse_words(VERB, [f"--{name}", "0.5"])["train"].lr == 0.5
    (tmp_path / "own.yaml").write_text(f"{name}: 0.25\npasses: 1\n")
    options = parse_words(VERB, ["--config", str(tmp_path / "own.yaml")])
    assert (options["train"].lr, options["refine"]) == (0.25, 0)
    nested = "{learning: {speed: 1.0e-5}}"
    (tmp_path / "own.yaml").write_text(nested)
    assert parse_words(VERB, ["--config", str(tmp_path / "own.yaml")])["train"].lr == 1e-5
    told = [f"--{name} is now --train.lr 0.5", f"{tmp_path}/own.yaml: {name} is now train.lr: 0.25"]
    told += [
        f"{tmp_path}/own.yaml: passes is now refine: 0",
        f"{tmp_path}/own.yaml: learning.speed is now train.lr: 1e-05",
    ]
    assert caplog.messages == [f"{one}; the former name works for this release only" for one in told]


def test_a_setting_that_is_gone_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert parse_words(VERB, ["--train.flip_test", "true", "--refine", "1"])["refine"] == 1
    (tmp_path / "own.yaml").write_text("train: {flip_test: true}\n")
    parse_words(VERB, ["--config", str(tmp_path / "own.yaml")])
    (tmp_path / "own.yaml").write_text("train: {flip_test: false}\n")  # what it meant is what happens
    parse_words(VERB, ["--config", str(tmp_path / "own.yaml")])
    gone = "train.flip_test: this setting is gone, it is left out"
    assert caplog.messages == [f"--{gone}", f"{tmp_path}/own.yaml: {gone}"]


@pytest.mark.parametrize("verb", ["ablate", "match-matrix"])
def test_an_ablation_may_be_called_a_study(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    function = arguments._load(LABORATORY[verb])
    options = parse_words(Verb(verb, function), ["--study", "own.yaml", "--data", "a", "--run", "r"])
    assert options["ablation"] == Path("own.yaml")
    assert caplog.messages == ["--study is now --ablation own.yaml; the former name works for this release only"]


@pytest.mark.parametrize(
    ("verb", "needed"),
    [
        ("predict", "x"),
        ("serve", ""),
        ("catalogue", "--manifest x --out x"),
        ("submit", "--test x"),
        ("evaluate-val", "--run x --data x --boxes x --out x"),
        ("calibrate", "--run x --data x --out x"),
        ("publish", "--detector x --keypoints x --terms x --out x"),
    ],
)
def test_refinements_may_be_counted_as_passes(verb: str, needed: str, caplog: pytest.LogCaptureFixture) -> None:
    options = parse_words(Verb(verb, arguments._load(VERBS[verb])), [*needed.split(), "--passes", "2"])
    assert options["refine"] in (1, [1])
    assert caplog.messages == ["--passes is now --refine 1; the former name works for this release only"]


def test_the_present_name_is_never_taken_for_a_former_one(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setitem(former.FORMER, "example", {"refine": Present("at")})
    assert parse_words(VERB, ["--refine", "1"])["refine"] == 1
    assert not caplog.messages


def test_a_key_that_nobody_knows_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    for text, message in (
        ("trian: {lr: 1}", f"{file}: trian.lr is no setting of example; did you mean train.lr?"),
        ("train: {lrr: 1}", f"{file}: train.lrr is no setting of example; did you mean train.lr?"),
        ("train: 3\ntrain.lr: 1", f"{file}: train is 3; expected a group of settings"),
        ("train.lr: 1\ntrain: 3", f"{file}: train is 3; expected a group of settings"),
        ("x: &x {y: *x}", f"{file}: line 1: *x repeats another part, expected every part written out; correct it"),
        ("train: {lr: fast}", "--train.lr is 'fast'; expected a number"),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as raised:
            parse_words(VERB, ["--config", str(file)])
        assert str(raised.value) == message
