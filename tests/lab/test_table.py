"""The table, line by line, worked by hand."""

import csv
import io
from dataclasses import dataclass, field

import pytest
from garment_keypoints.pipeline.lab.ablation.costs import MeasuredCosts
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, Row
from garment_keypoints.pipeline.lab.ablation.runs import COLLAPSED, DONE, FAILED, PENDING, Outcome
from garment_keypoints.pipeline.lab.ablation.table import Line, as_csv, as_markdown, lines_of


@dataclass
class Network:
    backbone_weights: str
    backbone: str = "tf_efficientnet_lite0"


@dataclass
class Group:
    network: Network


@dataclass
class Settings:
    keypoints: Group = field(default_factory=lambda: Group(Network("package")))


def done(ne: float, seconds: float = 100, commit: str = "abc", **more: bool) -> Outcome:
    figures = {"ne": ne, "ne_true_boxes": ne - 1, "skirt": ne + 1, "dress": None}
    return Outcome(
        DONE, figures, seconds, machine="2 cores", commit=commit, command="run it | twice", inputs="boxes 12ab", **more
    )


WEIGHTS = {"first": "package", "better": "none", "noisy": "a/pose.safetensors", "half": "timm", "none": "none"}
ROWS = tuple(Row(name, "" if name == "first" else "x=1", Settings(Group(Network(w)))) for name, w in WEIGHTS.items())
ABLATION = Ablation("mine", "keypoints", None, ROWS, 3)
OUTCOMES = {
    "first": [done(9.0, 90), done(10.0, 100), done(11.0, 110)],
    "better": [done(6.0), done(7.0), done(8.0, commit="def")],
    "noisy": [done(9.5), done(11.5), Outcome(COLLAPSED, message="all alike")],
    "half": [done(10.5, 3000, resumed=True), Outcome(PENDING), Outcome(PENDING)],
    "none": [Outcome(PENDING)] * 3,
}
COSTS = {"first": MeasuredCosts(3_250_000, 512_000_000, 123.4, "2 cores")}


@pytest.fixture
def lines() -> list[Line]:
    return lines_of(ABLATION, OUTCOMES, COSTS)


def cells(lines: list[Line], table: int) -> list[list[str]]:
    """Return the cells of a table of the Markdown, its head first."""
    blocks = [block for block in as_markdown(ABLATION, lines).split("\n\n") if block.startswith("| row")]
    rows = [line.replace(r"\|", "¦") for line in blocks[table].strip().splitlines()]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in (rows[0], *rows[2:])]


def test_figures_are_means_over_seeds(lines: list[Line]) -> None:
    """The first row has sd 1 of 3 seeds; `better` too: two standard errors are 2 sqrt(2 / 3) = 1.63, `noisy` 2.31."""
    assert cells(lines, 0) == [
        ["row", "overrides", "initialisation", "seeds", "NE %", "to the first row", "NE % in true boxes", "skirt", "dress"],
        ["first", "-", "ImageNet", "3/3", "10.000 ± 1.000", "-", "9.000 ± 1.000", "11.000 ± 1.000", "-"],
        ["better", "x=1", "none", "3/3", "7.000 ± 1.000", "-3.000", "6.000 ± 1.000", "8.000 ± 1.000", "-"],
        ["noisy", "x=1", "pose.safetensors", "2/3, 1 collapsed", "10.500 ± 1.414", "+0.500 (within noise)",
         "9.500 ± 1.414", "11.500 ± 1.414", "-"],
        ["half", "x=1", "ImageNet", "1/3", "10.500", "+0.500 (noise unknown)", "9.500", "11.500", "-"],
        ["none", "x=1", "none", "0/3", "pending", "-", "pending", "pending", "pending"],
    ]  # fmt: skip


def test_costs_and_where_they_come_from(lines: list[Line]) -> None:
    head, *rows = cells(lines, 1)
    assert head == [
        "row",
        "parameters M",
        "GFLOPs",
        "images/s",
        "training time",
        "hardware",
        "commit",
        "made from",
        "command",
    ]
    assert rows[0] == ["first", "3.25", "0.512", "123", "100 s", "2 cores", "abc", "boxes 12ab", "`run it ¦ twice`"]
    assert rows[1][-3] == "abc; def"
    assert rows[3][4] == "50 min (resumed: of the last parts alone)"
    assert rows[4] == ["none", *["-"] * 8]


def test_what_collapsed_is_told(lines: list[Line]) -> None:
    assert as_markdown(ABLATION, lines).endswith("## Collapsed or failed\n\n- noisy, seed 2: collapsed: all alike\n")


def test_a_table_without_any_run_stands() -> None:
    lines = lines_of(ABLATION, {row.name: [Outcome(PENDING)] for row in ROWS}, {})
    assert [row[4] for row in cells(lines, 0)] == ["NE %", *["pending"] * 5]


@pytest.mark.parametrize(("states", "word"), [([COLLAPSED, PENDING], "collapsed"), ([FAILED, COLLAPSED], "failed")])
def test_a_row_without_figures_says_why(states: list[str], word: str) -> None:
    outcomes = {row.name: [Outcome(state, message="m") for state in states] for row in ROWS}
    assert cells(lines_of(ABLATION, outcomes, {}), 0)[1][4] == word


def test_the_csv_holds_plain_numbers(lines: list[Line]) -> None:
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(as_csv(lines)))}
    assert list(rows) == list(WEIGHTS)
    first, better, noisy = rows["first"], rows["better"], rows["noisy"]
    assert [first[k] for k in ("state", "seeds_done", "seeds", "ne_mean", "ne_sd")] == ["done", "3", "3", "10.0", "1.0"]
    assert [first[k] for k in ("parameters_millions", "gflops", "images_per_second")] == ["3.25", "0.512", "123.4"]
    assert [first[k] for k in ("difference", "noise", "training_s", "dress_mean")] == ["", "", "100.0", ""]
    assert [better[k] for k in ("difference", "noise", "gflops")] == ["-3.0", "beyond noise", ""]
    assert [noisy[k] for k in ("state", "noise", "message")] == ["collapsed", "within noise", "all alike"]
