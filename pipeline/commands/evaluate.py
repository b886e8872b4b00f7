"""Verbs that score."""

import logging
import math
import sys
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.metrics import UNIFORM_SIGMA
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.reporting.scores import score, score_figures, score_lines
from garment_keypoints.pipeline.runs.json_files import holds, write_json

log = logging.getLogger("garment_keypoints")
WROTE = "what evaluate wrote"


def evaluate(
    submission: Path,
    answers: Path,
    variant: str = "default",
    json: Path | None = None,
    at_most: float | None = None,
    schema: str = "fashionai",
    layout: str = "fashionai",
    visible: bool = False,
) -> bool:
    """Score a submission, by category, by keypoint and as a whole: NE of CSV files, AP of COCO keypoint files.

    Args:
        submission: submission CSV, or a JSON file of COCO keypoint results
        answers: answer CSV, or a COCO file of annotations (.json)
        variant: default (visible points) or round1 (leaderboard)
        json: write the figures there as well
        at_most: exit with 1 when NE is above so many percent
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
        visible: (COCO) count visible keypoints alone; without it occluded ones as well
    """
    if submission.suffix == ".json":  # answers are not asked: those of a layout of one's own may be JSON as well
        return _evaluate_coco(
            submission,
            answers,
            json,
            schema,
            visible,
            {"--variant": variant != "default", "--at_most": at_most is not None},
        )
    if visible:
        raise UserError(
            f"--visible goes with COCO results, and --submission is {submission}; of CSV files NE counts visible points alone"
        )
    if at_most is not None and not 0 <= at_most < math.inf:
        raise UserError(f"--at_most is {at_most}; expected percent, 0 or more")
    if json is not None:
        refuse_foreign(json, lambda file: holds(file, "variant", "ne"), WROTE, "choose another --json")
    loaded = load_schema(schema)
    scored = score(submission, find_layout(layout).read_answers(answers, loaded), loaded, variant)
    print("\n".join(score_lines(scored, variant)))
    if json is not None:
        write_json(json, score_figures(scored, variant))
    if at_most is not None and 100 * scored.value > at_most:
        print(f"NE {100 * scored.value:.3f} % is above --at_most {at_most:g} %", file=sys.stderr)
        return False
    return True


def _evaluate_coco(
    submission: Path, answers: Path, out: Path | None, schema: str, visible: bool, others: dict[str, bool]
) -> bool:
    from garment_keypoints.pipeline.reporting.coco_scores import coco_lines, coco_score

    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise UserError(f"{given[0]} is of NE, and {submission} holds COCO results, whose score is AP; leave it out")
    if out is not None:
        refuse_foreign(out, lambda file: holds(file, "keypoints", "visible"), WROTE, "choose another --json")
    loaded = load_schema(schema)
    if loaded.sigmas is None:
        log.warning("schema %s has no sigmas; OKS takes %g for each keypoint", loaded.name, UNIFORM_SIGMA)
    figures = coco_score(submission, answers, loaded, visible)
    print("\n".join(coco_lines(figures)))
    if out is not None:
        write_json(out, figures)
    return True
