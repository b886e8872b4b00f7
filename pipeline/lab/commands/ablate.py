"""The verb that compares settings: every row of an ablation, with every seed, is a run of the other commands."""

import gc
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from garment_keypoints.keypoints.collapse import CollapseError
from garment_keypoints.pipeline import train
from garment_keypoints.pipeline.contract.faults import BusyError, UserError
from garment_keypoints.pipeline.contract.files import alone, when_free, write_text
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import load_training_set
from garment_keypoints.pipeline.lab.ablation.bench import BENCHES, Bench, note, outcome_of
from garment_keypoints.pipeline.lab.ablation.chart import draw_chart
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, check_seeds, raise_all, read_ablation
from garment_keypoints.pipeline.lab.ablation.known import as_known, read_known
from garment_keypoints.pipeline.lab.ablation.runs import COLLAPSED, DONE, FAILED, Run, planned, share
from garment_keypoints.pipeline.lab.ablation.settings import flat_rows
from garment_keypoints.pipeline.lab.ablation.sweep import draw_sweep, swept
from garment_keypoints.pipeline.lab.ablation.table import as_csv, as_markdown, lines_of
from garment_keypoints.pipeline.reporting.pictures import save_png
from garment_keypoints.pipeline.runs.json_files import write_json
from garment_keypoints.pipeline.settings import Settings

log = logging.getLogger("garment_keypoints")


def ablate(
    ablation: Path,
    data: Sequence[Path],
    run: Path,
    only: str = "",
    seeds: int = 0,
    limit: int = 0,
    base: Path | None = None,
    schema: str = "",
    known: Sequence[Path] = (),
    boxes: Path | None = None,
    layout: str = "",
) -> bool:
    """Compare settings: train every row of an ablation with every seed, and write one table of them.

    Beside the table, NAME.json holds every run's figures: a later run folder, or another machine, goes on from it.

    Args:
        ablation: YAML file of the ablation, such as pipeline/lab/configs/ablations/keypoints.yaml
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained, and the table NAME.csv, NAME.md, NAME.png, NAME.json
        only: make only share I/N of the runs, such as 2/4, on one of N machines, or the runs of some rows: A,B
        seeds: so many seeds, 0, 1 ...; without it as many as the ablation says (0)
        limit: rehearse on so many images (0: all)
        base: the preset to start from; without it the one that the ablation names
        schema: packaged schema, or a YAML file; without it that of the preset
        known: results of runs that were made elsewhere, the NAME.json of other run folders: they stand in the table, and
            are not made again
        boxes: boxes out of fold for all rows of an ablation of stage 2, such as weights/cpu/boxes.csv; no detector is trained
        layout: how the data lie on disk, as for `check`; without it that of the preset
    """
    bench, runs = opened(ablation, data, run, seeds, limit, base, schema, known, boxes, layout)
    own = share(runs, only)
    failed = make_runs(bench, runs, own)
    name = bench.ablation.name
    print((run / f"{name}.md").read_text(encoding="utf-8"))
    print("\n".join(str(run / f"{name}{suffix}") for suffix in (".csv", ".md", ".png", ".json")))
    return not failed


def opened(
    ablation: Path,
    data: Sequence[Path],
    run: Path,
    seeds: int,
    limit: int,
    base: Path | None,
    schema: str,
    known: Sequence[Path],
    boxes: Path | None,
    layout: str,
) -> tuple[Bench, list[Run]]:
    """Read an ablation, check every row, and return where it runs and all of its runs; the options are those of `ablate`."""
    if seeds:
        check_seeds(seeds, "--seeds")
    named = {name: value for name, value in (("schema", schema), ("layout", layout)) if value}
    read = read_ablation(ablation, Settings, base, named or None)
    _check_rows(ablation, read)
    runs = planned(read, seeds or read.seeds)
    whole = read.base
    rows = load_training_set(data, load_schema(whole.schema), whole.folds, run, limit, whole.layout, whole.pictures)
    made = read_known(known, rows.fingerprint, *flat_rows(read, Settings()))
    return BENCHES[read.stage](read, tuple(data), run, limit, rows.fingerprint, made, boxes), runs


def make_runs(bench: Bench, runs: Sequence[Run], own: Sequence[Run]) -> bool:
    """Make these of all runs, and write the tables after each; tell whether any has failed."""
    write_tables(bench, runs)
    for one in own:
        log.info("run %d of %d: %s, seed %d", one.number, len(runs), one.row.name, one.seed)
        _make(bench, one)
        write_tables(bench, runs)
    failed = [one.name for one in own if outcome_of(bench, one).state == FAILED]
    if failed:
        log.warning("failed: %s; the same command tries them again", ", ".join(failed))
    return bool(failed)


def _check_rows(file: Path, ablation: Ablation) -> None:
    """Raise UserError, naming every row, for settings that a training would refuse; after this all rows can run."""
    faults, schema = [], load_schema(ablation.base.schema)
    detectors: list[Any] = []
    for name, settings in (
        ("base and common", ablation.base),
        *((f"row {row.name}", row.settings) for row in ablation.rows),
    ):
        try:
            _check_device(settings)
            if settings.detector not in detectors:  # most rows of stage 2 share it, and building takes time
                train.check_detector(schema, settings.detector)
                detectors.append(settings.detector)
            train.check_keypoints(schema, settings.keypoints)
        except UserError as error:
            faults.append(f"{file}: {name}: {error}")
    raise_all(faults)


def _check_device(settings: Settings) -> None:
    for stage in ("detector", "keypoints"):
        train = getattr(settings, stage).train
        if train.devices not in ("auto", "1") or train.num_nodes != 1:
            raise UserError(
                f"{stage}.train.devices is {train.devices!r} and .num_nodes {train.num_nodes}; an ablation trains on one "
                "device: leave them out, and divide its runs with --only"
            )


def _make(bench: Bench, run: Run) -> None:
    """Make a run unless it is done; one that collapses is noted, and is not tried again."""
    before = outcome_of(bench, run)
    if before.state in (DONE, COLLAPSED):
        log.info("%s is %s already", run.name, before.state)
        return
    try:
        bench.make(run)
    except BusyError as error:
        log.info("%s: left to the process that is at it (%s)", run.name, error)
    except UserError as error:
        state = COLLAPSED if isinstance(error, CollapseError) else FAILED
        log.warning("%s has %s: %s", run.name, state, error)
        note(bench, run, state, str(error))
    gc.collect()  # a training that ended in an error holds its loader's processes in a circle of references
    if outcome_of(bench, run).state in (DONE, COLLAPSED):
        bench.measure(run)


def write_tables(bench: Bench, runs: Sequence[Run]) -> None:
    """Write the table, the chart and the file of runs from what is there, one process at a time."""
    ablation, stem = bench.ablation, bench.run / bench.ablation.name

    def write() -> None:
        with alone(stem.with_suffix(".md")):
            every = [(one, outcome_of(bench, one)) for one in runs]
            outcomes = {row.name: [outcome for one, outcome in every if one.row is row] for row in ablation.rows}
            costs = {row.name: bench.costs(row) for row in ablation.rows}
            lines = lines_of(ablation, outcomes, costs)
            write_json(
                stem.with_suffix(".json"),
                as_known(bench.annotations, *flat_rows(ablation, ablation.base), every, costs),
            )
            write_text(stem.with_suffix(".csv"), as_csv(lines))
            write_text(stem.with_suffix(".md"), as_markdown(ablation, lines))
            save_png(stem.with_suffix(".png"), draw_chart(ablation.name, lines))
            one = swept(ablation)
            curves = draw_sweep(*one, lines) if one else None
            if curves is not None:
                save_png(stem.with_name(f"{ablation.name}_sweep.png"), curves)

    when_free(write)
