"""Verbs that score."""

import math
import sys
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.reporting.scores import score, score_figures, score_lines
from garment_keypoints.pipeline.runs.json_files import holds, write_json


def evaluate(
    submission: Path,
    answers: Path,
    variant: str = "default",
    json: Path | None = None,
    at_most: float | None = None,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> bool:
    """Score a submission, by category, by keypoint and as a whole.

    Args:
        submission: submission CSV
        answers: answer CSV
        variant: default (visible points) or round1 (leaderboard)
        json: write the figures there as well
        at_most: exit with 1 when NE is above so many percent
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk, fashionai, or MODULE:OBJECT of your own
    """
    if at_most is not None and not 0 <= at_most < math.inf:
        raise UserError(f"--at_most is {at_most}; expected percent, 0 or more")
    if json is not None:
        refuse_foreign(json, lambda file: holds(file, "variant", "ne"), "what evaluate wrote", "choose another --json")
    loaded = load_schema(schema)
    scored = score(submission, find_layout(layout).read_answers(answers, loaded), loaded, variant)
    print("\n".join(score_lines(scored, variant)))
    if json is not None:
        write_json(json, score_figures(scored, variant))
    if at_most is not None and 100 * scored.value > at_most:
        print(f"NE {100 * scored.value:.3f} % is above --at_most {at_most:g} %", file=sys.stderr)
        return False
    return True
