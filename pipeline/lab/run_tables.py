"""The tables of docs/results.md, from the records of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, write_text
from garment_keypoints.pipeline.learning.manifests import recorded_refine
from garment_keypoints.pipeline.reporting.tables import MISSING, as_table
from garment_keypoints.pipeline.runs.json_files import read_json

HEAD = "<!-- written by `python -m pipeline lab report`; do not edit -->\n\n# Results\n"
RUN, OTHERS = {"steps", "submissions"}, {"provenance", "rows", "figures"}
"""What a gathered run has, and what the results of other commands have."""
DAMAGE = (LookupError, TypeError, AttributeError, ValueError)
"""What reading the figures of a damaged file ends in."""
Record = dict[str, Any]


def gather(run: Path, name: str) -> Record:
    """Collect what the steps of a run wrote beside their results."""
    steps = {}
    for file in sorted([*run.glob("detector/*.json"), run / "boxes.json", *run.glob("keypoints/*.json")]):
        if file.is_file():
            steps[str(file.relative_to(run).with_suffix(""))] = read_json(file)
    files = sorted(run.glob("submit*/*.json"))
    submissions = [{"place": file.relative_to(run).parent.as_posix(), **read_json(file)} for file in files]
    if not steps and not submissions:
        raise UserError(f"{run}: no record of any step; is it a run folder?")
    return {"name": name, "steps": steps, "submissions": submissions}


def tables(records: Sequence[Record]) -> str:
    """Write all tables as Markdown."""
    parts = (_end_to_end, _networks, _detectors, _boxes, _costs, _provenance)
    return "\n".join([HEAD, *filter(None, (part(records) for part in parts))])


def write_report(results: Path, out: Path) -> None:
    """Read all results files and write the tables to `out`; what other commands have put beside them is passed over."""
    files = [file for file in sorted(results.glob("*.json")) if not _of_another_command(file)]
    if not files:
        raise UserError(f"{results}: no results file; add a run with --run and --name")
    try:
        write_text(out, tables([read_json(file) for file in files]))
    except DAMAGE as error:
        raise UserError(
            f"{_damaged(files)}: not a results file of this project ({error!r}); gather that run again"
        ) from None


def _of_another_command(file: Path) -> bool:
    """Tell whether a file beside those of runs is what an ablation, a benchmark or the like has written."""
    content = json_object(file) or {}
    return bool(OTHERS & content.keys()) and not RUN & content.keys()


def _damaged(files: Sequence[Path]) -> Path:
    """Return the first file whose tables cannot be made."""
    for file in files:
        try:
            tables([read_json(file)])
        except DAMAGE:
            return file
    return files[0].parent


def _end_to_end(records: Sequence[Record]) -> str:
    rows = []
    by_category = [s["figures"].get("by_category", {}) for record in records for s in record["submissions"]]
    names = list(dict.fromkeys(name for one in by_category for name in one))
    for record in records:
        for submission in record["submissions"]:
            f = submission["figures"]
            refine = recorded_refine(submission.get("job", {}) | submission)
            categories = [_number(f.get("by_category", {}).get(c)) for c in names]
            rows.append([
                record["name"], _network_of(submission, record), submission["test"], f["boxes"], refine, f["images"],
                _number(f.get("ne")), *categories,
                f.get("points", MISSING), f.get("images_skipped", MISSING), f.get("fallback", MISSING),
            ])  # fmt: skip
    head = [
        "run",
        "network",
        "test",
        "boxes from",
        "refinements",
        "images",
        "NE %",
        *names,
        "points",
        "skipped",
        "whole image",
    ]
    text = (
        "## End to end\n\nNormalised error, variant `default`, from the submission file. The network is the run's, or, with the "
        "start of its file's hash, one that was trained elsewhere.\n\n"
    )
    return text + as_table(head, rows)


def _network_of(submission: Record, record: Record) -> str:
    """Return the step of the run that made a submission's keypoint network, or its hash; of old records neither is known."""
    job = submission.get("job", {})
    digest = job.get("points", job).get("keypoints", "")  # records before the format of today have it at the top
    made = {hashed: step for step, one in record["steps"].items() for hashed in one.get("outputs", {}).values()}
    return made.get(digest, digest[:8]) if made and digest else MISSING


DETECTOR = (
    "images", "ap", "ap50", "recall50", "recall75", "iou", "contained_in_padded", "contained_in_square", "fallback",
)  # fmt: skip
BOXES = ("width", "height", "width_ratio", "height_ratio", "centre_offset", "iou", "score")


def _box_sets(records: Sequence[Record]) -> list[tuple[str, str, Record]]:
    found = []
    for record in records:
        for part, figures in record["steps"].get("boxes", {}).get("figures", {}).items():
            found.append((record["name"], part.replace("_", " "), figures))
        for submission in record["submissions"]:
            if "detector" in submission["figures"]:
                found.append((record["name"], submission["test"], submission["figures"]["detector"]))
    return found


def _networks(records: Sequence[Record]) -> str:
    scored = [
        (record["name"], step.removeprefix("keypoints/"), boxes.replace("_", " "), figures)
        for record in records
        for step, one in record["steps"].items()
        if step.startswith("keypoints/")
        for boxes, figures in one.get("figures", {}).get("val", {}).items()
    ]
    if not scored:
        return ""
    names = list(dict.fromkeys(name for *_, figures in scored for name in figures["by_category"]))
    rows = [
        [*place, f["images"], _number(f["ne"]), *(_number(f["by_category"].get(c)) for c in names)]
        for *place, f in scored
    ]
    text = "## Stage 2 on val\n\nNormalised error of networks trained without fold 0, on that fold.\n\n"
    return text + as_table(["run", "network", "crops from", "images", "NE %", *names], rows)


def _detectors(records: Sequence[Record]) -> str:
    rows = [[run, part, *(_number(f.get(n), 4) for n in DETECTOR)] for run, part, f in _box_sets(records)]
    text = (
        "## Stage 1\n\n`val` is fold 0, by the detector that had not seen it; AP counts detections of the annotated "
        "category; containment is the share of true visible points inside the padded box and the squared crop.\n\n"
    )
    return text + as_table(["run", "images of", *DETECTOR], rows)


def _boxes(records: Sequence[Record]) -> str:
    rows = [[run, part, *(_number(f.get(f"box_{n}"), 3) for n in BOXES)] for run, part, f in _box_sets(records)]
    text = (
        "## Boxes of training and of testing\n\nMeans in pixels of the image; ratios are medians against the extent of the "
        "true points, the offset of centres is in fractions of it. Training on out-of-fold boxes is meant to make the "
        "rows alike.\n\n"
    )
    return text + as_table(["run", "images of", *BOXES], rows)


def _costs(records: Sequence[Record]) -> str:
    rows = []
    for record in records:
        steps = {**record["steps"]}
        for submission in record["submissions"]:
            steps[_submit_step(submission)] = submission
        for step, one in steps.items():
            time = _number(one.get("wall_s"), 0) + (" (resumed)" if one.get("resumed") else "")
            rows.append([record["name"], step, time, _number(one.get("peak_memory_gb"), 1)])
    text = "## Time and memory\n\nA resumed step shows the time of its last part alone.\n\n"
    return text + as_table(["run", "step", "wall time s", "peak memory GB"], rows)


def _submit_step(submission: Record) -> str:
    """Name a submission by what sets it apart from others of its run: test, source of boxes, folder."""
    place = f", in {submission['place']}" if "place" in submission else ""
    return f"submit {submission['test']}, boxes from {submission['figures']['boxes']}{place}"


def _provenance(records: Sequence[Record]) -> str:
    lines = ["## Provenance\n"]
    for record in records:
        lines.append(f"**{record['name']}**\n")
        every = [*record["steps"].values(), *record["submissions"]]
        for one in every:
            p = one["provenance"]
            lines.append(f"- `{p['command']}` at {p['commit']}, {p['date']}")
        p = every[-1]["provenance"]
        lines.append(
            f"- {p['machine']}; Python {p['python']}; " + ", ".join(f"{n} {v}" for n, v in p["versions"].items())
        )
        lines.append("")
    return "\n".join(lines)


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or isinstance(value, int):
        return MISSING if value is None else str(value)
    return f"{value:.{digits}f}"
