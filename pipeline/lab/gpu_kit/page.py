"""The page of a run, as JSON and as Markdown: written again whenever something has changed, so that a cut-off loses nothing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.lab.gpu_kit.jobs import CUT_OFF, DONE, RUNNING, SKIPPED, WAITING, JobOutcome
from garment_keypoints.pipeline.lab.gpu_kit.plan import figures_of
from garment_keypoints.pipeline.lab.gpu_kit.rates import steps_per_second
from garment_keypoints.pipeline.lab.gpu_kit.settings import Kit
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import read_json, write_json

PAGE = "page.json"
PROBED = "rate read"
"""State of a training that was begun for its rate alone."""
TITLES = {
    "a": "Step a: the pipeline on the device against the CPU",
    "b": "Step b: trainings",
    "c": "Step c: rows of the study of networks that were pending",
}


@dataclass
class Page:
    """What a run did so far; `content` is page.json, page.md is made of it."""

    folder: Path
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begun(cls, folder: Path, kit: Kit, machine: dict[str, Any]) -> "Page":
        """Return the page of a run that begins now."""
        page = cls(folder, {"kit": vars(kit), "begun": _now(), "machine": machine, "state": RUNNING, "steps": []})
        page.write()
        return page

    @classmethod
    def read(cls, folder: Path) -> "Page":
        """Return the page that a run wrote."""
        return cls(folder, read_json(folder / PAGE))

    def open_step(self, name: str, limit: float) -> dict[str, Any]:
        """Add a step, which has begun, with its limit in seconds."""
        step = {"name": name, "state": RUNNING, "limit_s": round(limit), "begun": _now(), "seconds": 0.0, "jobs": {}}
        step["notes"] = []
        self.content["steps"].append(step)
        self.write()
        return step

    def put(self, step: dict[str, Any], outcomes: Sequence[JobOutcome], part: str = "") -> None:
        """Note how the jobs of a step stand; `part` tells those of a first look, such as a probe, from others."""
        for one in outcomes:
            job = _as_dict(one)
            if part and job["state"] == CUT_OFF and job["rate"]:
                job["state"] = PROBED
            step["jobs"][f"{part}{one.job.name}"] = job
        self.write()

    def close_step(self, step: dict[str, Any], fault: str = "") -> None:
        """Say how a step ended: done, cut off by its limit, or what went wrong in it."""
        cut_off = any(job["state"] == CUT_OFF for job in step["jobs"].values())
        step["state"] = f"failed: {fault}" if fault else CUT_OFF if cut_off else DONE
        self.write()

    def end(self, state: str) -> None:
        """Say that the run has ended; what still runs by the page was cut off."""
        self.content |= {"state": state, "ended": _now()}
        for step in self.content["steps"]:
            if step["state"] == RUNNING:
                step["state"] = CUT_OFF
            for job in step["jobs"].values():
                job["state"] = {RUNNING: CUT_OFF, WAITING: SKIPPED}.get(job["state"], job["state"])
        self.write()

    def write(self) -> None:
        write_json(self.folder / PAGE, self.content)
        write_text(self.folder / "page.md", as_markdown(self.content))


def as_markdown(content: dict[str, Any]) -> str:
    """Write a page's content as Markdown."""
    kit, machine = content["kit"], content["machine"]
    title = "A rehearsal of the GPU kit" if kit["limit"] else "What the GPU kit did"
    lines = ["<!-- written by `python -m pipeline lab gpu-run`; do not edit -->", "", f"# {title}", ""]
    lines += [f"{machine['device']}; {machine['machine']}; torch {machine['torch']}. Commit {kit['commit']}."]
    lines += [
        f"Begun {content['begun']}, {kit['minutes']:g} minutes; {content['state']} {content.get('ended', '')}".strip()
        + "."
    ]
    if machine["device"] == "CPU":
        lines += ["", "There was no GPU: everything here compares a CPU with itself, and says nothing of a GPU."]
    if kit["limit"]:
        lines += ["", f"Few images ({kit['limit']}) and small pictures: that it runs is all that the numbers say."]
    for step in content["steps"]:
        lines += ["", f"## {TITLES[step['name']]}", ""]
        lines += [f"{step['state']}, {step['seconds']:.0f} of at most {step['limit_s']} s."]
        lines += [f"{note}." for note in step["notes"]]
        rows = [_row(name, job) for name, job in step["jobs"].items()]
        lines += ["", as_table(["job", "state", "s", "result"], rows).strip()]
        for job in step["jobs"].values():
            lines += ["", job["text"].strip()] if job.get("text") else []
    if "left_behind" in content:
        lines += ["", "## Left behind", "", *(f"- {name}" for name in content["left_behind"] or ["nothing"])]
    return "\n".join(lines) + "\n"


def _row(name: str, job: dict[str, Any]) -> list[str]:
    figures = "; ".join(f"{where} {value:.4g}" for where, value in job["figures"].items())
    parts = [job["detail"], f"{job['rate']:.2f} steps/s" if job["rate"] else "", figures]
    return [
        name,
        job["state"],
        f"{job['seconds']:.0f}",
        ", ".join(part for part in parts if part).replace("|", "/") or "-",
    ]


def _as_dict(one: JobOutcome) -> dict[str, Any]:
    job: dict[str, Any] = {"state": one.state, "detail": one.detail, "seconds": round(one.seconds, 1)}
    job |= {
        "command": list(one.job.command),
        "rate": round(steps_per_second(one.readings), 3),
        "figures": {},
        "text": "",
    }
    if one.readings:
        job["steps"] = f"{one.readings[-1].step}/{one.readings[-1].total}"
    if one.ended and one.job.record is not None and one.job.record.is_file():
        try:
            record = read_json(one.job.record)
        except UserError as error:
            return job | {"detail": str(error)}
        job |= {"figures": figures_of(record), "text": record.get("text", "")}
    return job


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
