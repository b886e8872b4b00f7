"""The verb that plans a catalogue: how long it takes on many machines, against the size of its shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contract.faults import UserError
from pipeline.contract.files import refuse_foreign, write_text
from pipeline.reporting.pictures import save_png
from pipeline.reporting.plots import Panel, draw_panels
from pipeline.reporting.records import alone_at_out, holds, provenance, write_json
from pipeline.reporting.tables import as_table
from pipeline.studies.fleet import Dealing, Fleet, simulate, suggested

HEAD = "<!-- written by `python -m pipeline plan-catalogue`; do not edit -->\n\n# Plan of a catalogue\n"
DEALINGS: dict[Dealing, str] = {"taken": "taken by who is free", "dealt": "dealt beforehand"}


@alone_at_out
def plan_catalogue(
    out: Path,
    fleet: Fleet,
    photos: int = 100_000_000,
    shard_sizes: Sequence[int] = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
    repeats: int = 5,
    seed: int = 0,
) -> None:
    """Simulate `predict --manifest` on many processes that differ, die and start again: hours against the size of shards.

    Args:
        out: folder for plan.md, plan.png and plan.json
        fleet: the processes, and what happens to them
        photos: photos of the catalogue
        shard_sizes: photos a shard
        repeats: simulated runs of each
        seed: of the first one
    """
    fleet.check()
    if repeats < 1 or not shard_sizes:
        raise UserError(f"--repeats is {repeats}, and --shard_sizes has {len(shard_sizes)}; expected 1 or more of each")
    record = out / "plan.json"
    refuse_foreign(record, lambda file: holds(file, "provenance", "plan"), "what this command wrote", "another --out")
    made = provenance()  # of the checkout as it is before anything is written
    rows = [_row(photos, size, fleet, repeats, seed) for size in sorted(set(shard_sizes))]
    best = suggested({row["shard_size"]: row["taken"]["ratio"] for row in rows})
    out.mkdir(parents=True, exist_ok=True)
    settings = {"photos": photos, "repeats": repeats, "seed": seed} | vars(fleet)
    write_text(out / "plan.md", _markdown(rows, best, settings))
    save_png(out / "plan.png", _drawn(rows))
    write_json(record, {"provenance": made, "settings": settings, "plan": rows, "suggested": best})
    print(f"{out / 'plan.md'}: shards of {best} photos")


def _row(photos: int, size: int, fleet: Fleet, repeats: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {"shard_size": size}
    for dealing in DEALINGS:
        runs = [simulate(photos, size, fleet, dealing, seed + i) for i in range(repeats)]
        row["shards"] = -(-photos // size)
        row[dealing] = {
            "hours": float(np.mean([run.hours for run in runs])),
            "hours_sd": float(np.std([run.hours for run in runs])),
            "ratio": float(np.mean([run.ratio for run in runs])),
        }
        row["deaths"] = float(np.mean([run.deaths for run in runs]))
        row["ideal_hours"] = float(np.mean([run.ideal_hours for run in runs]))
    return row


def _markdown(rows: Sequence[dict[str, Any]], best: int, settings: dict[str, Any]) -> str:
    head = ["photos a shard", "shards", "deaths"]
    for name in DEALINGS.values():
        head += [f"hours, {name}", "to the ideal"]
    cells = []
    for row in rows:
        cells.append([row["shard_size"], row["shards"], f"{row['deaths']:.0f}"])
        for dealing in DEALINGS:
            of = row[dealing]
            cells[-1] += [f"{of['hours']:.2f} ± {of['hours_sd']:.2f}", f"{of['ratio']:.3f}"]
    said = ", ".join(f"{name} {value:g}" for name, value in settings.items())
    return "\n".join(
        [
            HEAD,
            f"Simulated, {settings['repeats']} runs each, means ± standard deviation: {said}. The ideal, "
            f"{rows[0]['ideal_hours']:.2f} hours, is the same processes without start, losses and waiting.\n",
            as_table(head, cells),
            f"\nThe largest shards within a hundredth of the best: **{best} photos**.\n\n![hours](plan.png)\n",
        ]
    )


def _drawn(rows: Sequence[dict[str, Any]]) -> Any:
    at = np.log10([row["shard_size"] for row in rows])
    series = {name: (at, np.array([row[dealing]["ratio"] for row in rows])) for dealing, name in DEALINGS.items()}
    return draw_panels([Panel("time, as a multiple of the ideal", "photos a shard, power of ten", series, marks=True)])
