"""Verbs that score."""

from pathlib import Path

from pipeline.contract.formats.fashionai import read_answers
from pipeline.contract.schema import load_schema
from pipeline.reporting.records import write_json
from pipeline.reporting.scores import score, score_figures, score_lines


def evaluate(
    submission: Path, answers: Path, variant: str, json: Path | None, at_most: float | None, schema: str
) -> bool:
    """Print a submission's score; False when it is above `at_most` percent."""
    loaded = load_schema(schema)
    scored = score(submission, read_answers(answers, loaded), loaded, variant)
    print("\n".join(score_lines(scored, variant)))
    if json is not None:
        write_json(json, score_figures(scored, variant))
    return at_most is None or 100 * scored.value <= at_most
