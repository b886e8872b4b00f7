"""Which answers a submission is scored by, and figures in percent."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.fashionai import read_answers, read_test
from garment_keypoints.pipeline.contract.formats.submission import write_submission
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.scores import answers_of, score, score_figures, score_lines

WAISTBAND, HEMLINE = (15, 16), (17, 18)


def skirt(image_id: str) -> Annotation:
    """A skirt whose waistband is 100 pixels wide."""
    xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
    for k, point in zip((*WAISTBAND, *HEMLINE), [(50, 20), (150, 20), (40, 120), (160, 120)], strict=True):
        xy[k], visibility[k] = point, 1
    return Annotation(image_id, "skirt", Path(image_id), xy, visibility)


def submission(file: Path, schema: Schema, ids: list[str], off: tuple[float, float]) -> Path:
    """A submission whose every point is so far off the skirt's."""
    rows = [ImageRow(one, "skirt", Path(one)) for one in ids]
    write_submission(file, rows, np.stack([skirt(one).xy + off for one in ids]), np.full((len(ids), 2), 200), schema)
    return file


def test_each_row_gets_its_answer_and_its_own_picture(drawn: Path, schema: Schema) -> None:
    rows = read_test(drawn / "test", schema)[::-1]
    truth = answers_of(rows, drawn / "test" / "answer.csv", schema)
    assert [(one.image_id, one.path) for one in truth] == [(row.image_id, row.path) for row in rows]
    by_id = {one.image_id: one for one in read_answers(drawn / "test" / "answer.csv", schema)}
    assert all((one.xy == by_id[one.image_id].xy).all() for one in truth)


def test_rows_without_an_answer_are_refused(drawn: Path, tmp_path: Path, schema: Schema) -> None:
    rows = read_test(drawn / "test", schema)
    lines = (drawn / "test" / "answer.csv").read_text().splitlines()
    (tmp_path / "answer.csv").write_text("\n".join([lines[0], lines[1], *lines[4:]]) + "\n")
    with pytest.raises(UserError, match=rows[1].image_id):
        answers_of(rows, tmp_path / "answer.csv", schema)


def test_the_submission_of_another_test_has_no_score(tmp_path: Path, schema: Schema) -> None:
    file = submission(tmp_path / "s.csv", schema, ["a", "b"], (0, 0))
    with pytest.raises(UserError, match="none of its 2 images is in the answers"):
        score(file, [skirt("c"), skirt("d")], schema)
    assert score(file, [skirt("b"), skirt("d")], schema).value == 0.5  # one is exact, one is missing


def test_figures_and_lines_are_in_percent(tmp_path: Path, schema: Schema) -> None:
    # Each point is 3 and 4 pixels off, of a waistband of 100: 5 %.
    result = score(submission(tmp_path / "s.csv", schema, ["a"], (3, 4)), [skirt("a")], schema)
    figures = score_figures(result, "default")
    assert figures["ne"] == pytest.approx(5)
    assert figures["by_category"]["skirt"] == pytest.approx(5)
    assert figures["by_keypoint"]["hemline_left"] == pytest.approx(5)
    assert figures["pck"] == {"0.05": 100, "0.1": 100, "0.2": 100}
    lines = score_lines(result, "default")
    assert lines[-1].startswith("NE 5.000 % ")
    assert ["skirt", "5.000", "%"] in [line.split() for line in lines]
    assert ["hemline_left", "5.000", "%"] in [line.split() for line in lines]
