"""`errors` writes a page that opens from a file, with the figures of the score and the worst cases."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_answers
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.scores import score

from tests.commands.running import run, submit_options


@pytest.fixture(scope="module")
def submission(trained: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("submission") / "s.csv"
    assert run("submit", *submit_options(trained, drawn / "test"), "--out", file) == 0
    return file


class Tags(HTMLParser):
    """Notes the tags, and what their src and href name."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def report(submission: Path, drawn: Path, out: Path, *options: object) -> Tags:
    answers = drawn / "test" / "answer.csv"
    assert run("errors", "--submission", submission, "--answers", answers, "--out", out, "--workers", 0, *options) == 0
    page = Tags()
    page.feed((out / "index.html").read_text())
    return page


def test_the_page_stands_alone_and_shows_the_worst(trained, drawn: Path, schema: Schema, submission, tmp_path) -> None:
    networks = [("--" + stage, trained / stage / "final.safetensors") for stage in ("detector", "keypoints")]
    page = report(submission, drawn, tmp_path / "e", "--worst", 3, *networks[0], *networks[1])
    assert page.tags.count("figure") == 3
    assert page.tags.count("img") == 6  # each with its maps
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert "script" not in page.tags
    scored = score(submission, read_answers(drawn / "test" / "answer.csv", schema), schema)
    text = (tmp_path / "e" / "index.html").read_text()
    assert f"NE {100 * scored.value:.3f} % over {scored.points} visible points" in text
    shown = [float(ne) for ne in re.findall(r"NE ([\d.]+) %(?:;|<)", text)]
    assert shown == sorted((round(100 * ne, 1) for ne in scored.per_image()), reverse=True)[:3]
    table = pd.read_csv(tmp_path / "e" / "points.csv")
    assert len(table) == scored.points
    assert table.error.mean() == pytest.approx(scored.value, abs=1e-4)
    facets = json.loads((tmp_path / "e" / "errors.json").read_text())["facets"]
    assert [rows[0]["points"] for rows in facets.values()] == [scored.points] * 5
    assert sorted(file.name for file in (tmp_path / "e").iterdir()) == [
        "errors.json",
        "errors.md",
        "index.html",
        "points.csv",
    ]


def test_an_earlier_submission_stands_beside(drawn: Path, submission: Path, tmp_path: Path, capsys) -> None:
    lines = submission.read_text().splitlines()
    (tmp_path / "less.csv").write_text("\n".join(lines[:-1]) + "\n")
    report(submission, drawn, tmp_path / "e", "--worst", 0, "--before", submission)
    text = (tmp_path / "e" / "errors.md").read_text()
    ne = next(line for line in text.splitlines() if line.startswith("| NE %")).split("|")[2:4]
    assert ne[0] == ne[1] != " - "
    assert "| | before | now |" in text.replace("|  |", "| |")
    options = ("--submission", submission, "--answers", drawn / "test" / "answer.csv", "--out", tmp_path / "f")
    assert run("errors", *options, "--before", tmp_path / "less.csv") == 1
    assert "it has 9 of the 10 images of s.csv; expected all of them" in capsys.readouterr().err
    assert not (tmp_path / "f" / "errors.json").exists()


def test_without_networks_there_are_neither_boxes_nor_maps(drawn: Path, submission: Path, tmp_path: Path) -> None:
    page = report(submission, drawn, tmp_path / "e", "--worst", 2)
    assert page.tags.count("img") == 2
    assert len(json.loads((tmp_path / "e" / "errors.json").read_text())["facets"]) == 4
    report(submission, drawn, tmp_path / "e", "--worst", 0)  # over its own


@pytest.mark.parametrize("name", ["index.html", "errors.json", "errors.md", "points.csv"])
def test_what_is_there_already_stays(drawn: Path, submission: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    options = ("--submission", submission, "--answers", drawn / "test" / "answer.csv", "--out", tmp_path)
    assert run("errors", *options) == 1
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "mine")]
