"""What became of an ablation's runs, in a file that outlives the run folder and travels between machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object
from garment_keypoints.pipeline.lab.ablation.costs import MeasuredCosts
from garment_keypoints.pipeline.lab.ablation.overrides import FlatSettings, flat_of, nest
from garment_keypoints.pipeline.lab.ablation.runs import COLLAPSED, DONE, Outcome, Run
from garment_keypoints.pipeline.learning.configs import renamed
from garment_keypoints.pipeline.settings import Settings

FORMAT = 1
MISSING = object()


@dataclass(frozen=True)
class Known:
    """Outcomes by row and seed, and costs by row, of runs that were made elsewhere."""

    outcomes: Mapping[tuple[str, int], Outcome] = field(default_factory=dict)
    costs: Mapping[str, MeasuredCosts] = field(default_factory=dict)


def as_known(
    annotations: str,
    base: FlatSettings,
    rows: Mapping[str, FlatSettings],
    outcomes: Sequence[tuple[Run, Outcome]],
    costs: Mapping[str, MeasuredCosts | None],
) -> dict[str, Any]:
    """Return the content of the file; only runs that ended, since others are tried again.

    Args:
        annotations: fingerprint of the training rows
        base: settings of the ablation's base; those of `rows` are written as what differs from it
        rows: settings by name of the row
        outcomes: every run of the ablation, and what became of it
        costs: what was measured of a row
    """
    content: dict[str, Any] = {}
    for run, outcome in outcomes:
        if outcome.state not in (DONE, COLLAPSED):
            continue
        own = {name: value for name, value in rows[run.row.name].items() if base.get(name, MISSING) != value}
        measured = costs.get(run.row.name)
        new = {"settings": own, "costs": asdict(measured) if measured else None, "runs": {}}
        content.setdefault(run.row.name, new)["runs"][str(run.seed)] = asdict(outcome)
    return {"format": FORMAT, "annotations": annotations, "base": dict(base), "rows": content}


def read_known(
    files: Sequence[Path], annotations: str, defaults: FlatSettings, rows: Mapping[str, FlatSettings]
) -> Known:
    """Read such files; of a run that two of them have, the first counts. Rows that the ablation does not have are passed over.

    `defaults` stand for settings that are newer than a file. Raises UserError for a file of other pictures, for a row with
    other settings than those of `rows`, and for what is no such file.
    """
    outcomes: dict[tuple[str, int], Outcome] = {}
    costs: dict[str, MeasuredCosts] = {}
    for file in files:
        content = _read(file)
        if content.get("annotations") != annotations:
            raise UserError(
                f"{file} is of other training images than those of --data; expected results of the same ones: leave it out"
            )
        try:
            for name, row in content["rows"].items():
                if name in rows:
                    _refuse_others(
                        f"{file}: row {name}", defaults | present(content["base"] | row["settings"]), rows[name]
                    )
                    for seed, outcome in row["runs"].items():
                        outcomes.setdefault((name, int(seed)), Outcome(**outcome))
                    if row["costs"]:
                        costs.setdefault(name, MeasuredCosts(**row["costs"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{file}: not the results of an ablation's runs ({error!r}); expected NAME.json of a run"
            ) from None
    return Known(outcomes, costs)


def _read(file: Path) -> dict[str, Any]:
    content = json_object(file) if file.is_file() else None
    if content is None or content.get("format") != FORMAT:
        raise UserError(f"--known {file}: expected the results of an ablation's runs, NAME.json of its run folder")
    return content


def present(flat: FlatSettings) -> FlatSettings:
    """Return what an older version decided of a row, by dotted name, under the present names."""
    return flat_of(renamed(Settings, nest(flat)))


def _refuse_others(where: str, made: FlatSettings, settings: FlatSettings) -> None:
    names = sorted(made.keys() | settings.keys())
    differing = [
        f"{name} was {made.get(name, 'not there')!r}, now {settings.get(name, 'not there')!r}"
        for name in names
        if made.get(name, MISSING) != settings.get(name, MISSING)
    ]
    if differing:
        raise UserError(
            f"{where} was made with other settings than the ablation's ({'; '.join(differing[:5])}); "
            "leave the file out (--known), or rename the row"
        )
