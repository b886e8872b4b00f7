"""The table of an ablation: one line a row, in the ablation's order, as CSV for programs and Markdown for people.

Every figure is formatted here and nowhere else.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from garment_keypoints.pipeline.lab.ablation.costs import MeasuredCosts
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, Row
from garment_keypoints.pipeline.lab.ablation.runs import COLLAPSED, DONE, FAILED, PENDING, Outcome
from garment_keypoints.pipeline.lab.noise import Mean, mean, within_noise
from garment_keypoints.pipeline.learning.initial_weights import initialisation
from garment_keypoints.pipeline.reporting.tables import MISSING, as_table

MAIN = "ne"
"""The figure by which rows are compared with the first one; the lower the better."""
LABELS = {
    "ne": "NE %",
    "ne_true_boxes": "NE % in true boxes",
    "ap": "AP",
    "ap50": "AP50",
    "recall50": "recall",
    "contained_in_square": "containment",
    "zoom": "zoom",
    "ap50_every_garment": "AP50 of every garment",
    "recall_unlabelled": "recall without a label",
}
"""What figures are called; a category has its own name."""
NOISE = {True: "within noise", False: "beyond noise", None: "noise unknown"}
HEAD = "<!-- written by `python -m pipeline ablate`; do not edit -->\n\n"


@dataclass(frozen=True)
class Line:
    """What is known of a row: outcomes by seed, means over those that are done, and the difference to the first row."""

    row: Row
    initialisation: str
    outcomes: Sequence[Outcome]
    means: Mapping[str, Mean | None]
    difference: float | None = None
    noise: bool | None = None
    costs: MeasuredCosts | None = None

    @property
    def done(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.state == DONE]

    @property
    def state(self) -> str:
        """What the row is called while it has no figure, or when seeds are missing: the worst of its runs."""
        states = [one.state for one in self.outcomes]
        return next((state for state in (FAILED, COLLAPSED, PENDING) if state in states), DONE)


def lines_of(
    ablation: Ablation, outcomes: Mapping[str, Sequence[Outcome]], costs: Mapping[str, MeasuredCosts | None]
) -> list[Line]:
    """Gather the lines; `outcomes` of each seed and `costs` are by name of the row."""
    every = [one for row in ablation.rows for one in outcomes[row.name] if one.figures]
    names = list(dict.fromkeys(name for one in every for name in one.figures)) or [MAIN]
    lines: list[Line] = []
    for row in ablation.rows:
        figures = [one.figures for one in outcomes[row.name] if one.figures is not None]
        means = {name: mean([f[name] for f in figures if f.get(name) is not None]) for name in names}
        difference = noise = None
        own, first = means.get(MAIN), lines[0].means.get(MAIN) if lines else None
        if own and first:
            difference, noise = own.value - first.value, within_noise(own, first)
        network = getattr(row.settings, ablation.stage).network
        start = initialisation(network.backbone, network.backbone_weights)
        lines.append(Line(row, start, outcomes[row.name], means, difference, noise, costs.get(row.name)))
    return lines


def as_csv(lines: Sequence[Line]) -> str:
    """Write a line a row with plain numbers; what is not known is empty."""
    table = [_values(line) for line in lines]
    content = io.StringIO()
    writer = csv.DictWriter(content, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return content.getvalue()


def _values(line: Line) -> dict[str, Any]:
    seconds = mean([one.seconds for one in line.done if one.seconds is not None])
    values: dict[str, Any] = {
        "row": line.row.name,
        "overrides": line.row.overrides,
        "initialisation": line.initialisation,
        "state": line.state,
        "seeds_done": len(line.done),
        "seeds": len(line.outcomes),
    }
    for name, one in line.means.items():
        values |= {f"{name}_mean": one and round(one.value, 6), f"{name}_sd": one and one.sd and round(one.sd, 6)}
    return values | {
        "difference": None if line.difference is None else round(line.difference, 6),
        "noise": None if line.difference is None else NOISE[line.noise],
        "parameters_millions": line.costs and round(line.costs.parameters / 1e6, 4),
        "gflops": line.costs and round(line.costs.flops / 1e9, 4),
        "images_per_second": line.costs and round(line.costs.images_per_second, 1),
        "measured_on": line.costs and line.costs.machine,
        "training_s": seconds and round(seconds.value, 1),
        "resumed": sum(one.resumed for one in line.done),
        "hardware": _several(one.machine for one in line.outcomes),
        "commit": _several(one.commit for one in line.outcomes),
        "command": _several(one.command for one in line.outcomes),
        "inputs": _several(one.inputs for one in line.done),
        "message": _several(one.message for one in line.outcomes),
    }


def as_markdown(ablation: Ablation, lines: Sequence[Line]) -> str:
    """Write two tables, of figures and of costs, and what collapsed."""
    names = list(lines[0].means)
    labels = [LABELS.get(name, name) for name in names]
    head = ["row", "overrides", "initialisation", "seeds", labels[0], "to the first row", *labels[1:]]
    table = []
    for line in lines:
        cells = [line.row.name, line.row.overrides or MISSING, line.initialisation, seeds_cell(line)]
        main, *others = [mean_cell(line, name) for name in names]
        table.append(_escaped([*cells, main, difference_cell(line), *others]))
    parts = [
        HEAD + f"# {ablation.name}\n",
        _introduction(ablation),
        as_table(head, table),
        "## Costs\n",
        COSTS,
        _costs(lines),
    ]
    messages = [
        f"- {line.row.name}, seed {seed}: {one.state}: {one.message}"
        for line in lines
        for seed, one in enumerate(line.outcomes)
        if one.message
    ]
    if messages:
        parts += ["## Collapsed or failed\n", "\n".join(messages) + "\n"]
    return "\n".join(parts)


COSTS = """Parameters in millions; GFLOPs (a multiplication and an addition are two) of one picture, forward; images a second of
the network alone, a short measurement on the machine that made the row. Training time is that of a run, with its score.
Made from: the boxes (and the network that scores them) by their hashes; training detectors again gives slightly other boxes.
"""


def _introduction(ablation: Ablation) -> str:
    what = {
        "keypoints": "crops from boxes out of fold, and from true boxes",
        "detector": "crops from the row's boxes, by one keypoint network for all rows",
    }[ablation.stage]
    return (
        f"On `val`, fold 0, which no network of the ablation has seen: NE with {what}. Means over seeds ± standard deviation; "
        "a difference of less than two standard errors is within noise.\n"
    )


def _costs(lines: Sequence[Line]) -> str:
    head = ["row", "parameters M", "GFLOPs", "images/s", "training time", "hardware", "commit", "made from", "command"]
    table = []
    for line in lines:
        v = _values(line)
        cells = [line.row.name, number(v["parameters_millions"], 2), number(v["gflops"], 3)]
        cells += [number(v["images_per_second"], 0), _time(v["training_s"], v["resumed"])]
        cells += [v[name] or MISSING for name in ("hardware", "commit", "inputs")]
        cells.append(f"`{v['command']}`" if v["command"] else MISSING)
        table.append(_escaped(cells))
    return as_table(head, table)


def seeds_cell(line: Line) -> str:
    """Say how many seeds are done, such as 2/3, and what others ended in."""
    counts = [f"{len(line.done)}/{len(line.outcomes)}"]
    for state in (COLLAPSED, FAILED):
        count = sum(one.state == state for one in line.outcomes)
        counts += [f"{count} {state}"] if count else []
    return ", ".join(counts)


def mean_cell(line: Line, name: str) -> str:
    """Write a mean and its deviation, such as 8.612 ± 0.041, or why there is none."""
    one = line.means.get(name)
    if one is None:
        return MISSING if line.done else line.state
    return number(one.value, 3) + ("" if one.sd is None else f" ± {number(one.sd, 3)}")


def difference_cell(line: Line) -> str:
    """Write the difference to the first row, such as -0.120 (within noise)."""
    if line.difference is None:
        return MISSING
    return f"{line.difference:+.3f}" + ("" if line.noise is False else f" ({NOISE[line.noise]})")


def number(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _time(seconds: float | None, resumed: int) -> str:
    if seconds is None:
        return MISSING
    text = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
    return text + (" (resumed: of the last parts alone)" if resumed else "")


def _several(values: Any) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


def _escaped(cells: Sequence[str]) -> list[str]:
    return [" ".join(cell.split()).replace("|", r"\|") for cell in cells]
