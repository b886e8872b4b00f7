"""What the verbs of the command line do: read and check the input, call the stages, write results with their record."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import assemble, dataset, runs
from pipeline.assemble import Settings
from pipeline.contract import tables
from pipeline.contract.records import Annotation
from pipeline.contract.schema import Schema, load_schema
from pipeline.dataset import TrainingSet, load_training_set

log = logging.getLogger("pipeline")
FINAL = "final"


def train_detector(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0, only: str = "") -> None:
    """Train one detector a fold and the final one on everything; those that are there already are kept."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    folder = run / "detector"
    runs.claim(folder, _claimed(settings, training_set, schema, asdict(settings.detector)))
    names = [*(f"fold{k}" for k in range(settings.folds)), FINAL]
    if only and only not in names:
        raise ValueError(f"--only is {only!r}; expected one of {', '.join(names)}")
    for name in [only] if only else names:
        out = folder / f"{name}.pt"
        if out.exists():
            log.info("%s is there already", out)
            out.touch()
            continue
        fold = None if name == FINAL else int(name.removeprefix("fold"))
        rows = [row for row, f in zip(training_set.rows, training_set.folds, strict=True) if f != fold]
        with recorded(out.with_suffix(".json"), settings, data):
            assemble.train_detector(rows, schema, settings.detector, out, fold)


def boxes(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Predict the box of every training row by the detector of its fold: `run`/boxes.csv, and how good they are."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    rows, folds = training_set.rows, training_set.folds
    chosen: list[Any] = [None] * len(rows)
    found: list[Any] = [None] * len(rows)
    with recorded(run / "boxes.json", settings, data) as record:
        for fold in range(settings.folds):
            detector = assemble.load_detector(run / "detector" / f"fold{fold}.pt", schema, _device())
            members = np.flatnonzero(folds == fold)
            shard = run / "detector" / "boxes" / f"fold{fold}.json"
            own, everything = assemble.predict_fold(
                [rows[i] for i in members], detector, fold, schema, shard, _device(), settings.detector.workers
            )
            for i, box, one in zip(members, own, everything, strict=True):
                chosen[i], found[i] = box, one
        val = np.flatnonzero(folds == 0)
        record["figures"] = {
            "val": _detector_figures([rows[i] for i in val], [chosen[i] for i in val], [found[i] for i in val], settings),
            "out_of_fold": _detector_figures(rows, chosen, found, settings),
        }
    tables.write_boxes(run / "boxes.csv", chosen)
    _print_figures("boxes out of fold", record["figures"]["out_of_fold"])


def check(data: Sequence[Path], test: Path | None, answers: Path | None, schema: str) -> bool:
    """Describe a dataset and report all its faults; return whether it is sound."""
    lines, faults = dataset.check(data, test, answers, load_schema(schema))
    print("\n".join(lines))
    if faults:
        print(tables.DataError(faults) if len(faults) > 1 else f"1 fault: {faults[0]}")
        return False
    print("no faults")
    return True


@contextmanager
def recorded(path: Path, settings: Settings, data: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Write to `path`, when the step is done, what ran, on what, how long, and with what result."""
    record: dict[str, Any] = {
        "provenance": runs.provenance(),
        "settings": asdict(settings),
        "data": [Path(root).name for root in data],
    }
    with runs.measured(record):
        yield record
    runs.write_json(path, record)


def _claimed(settings: Settings, training_set: TrainingSet, schema: Schema, stage: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides about a stage's weights; where it runs does not."""
    where = {"accelerator", "devices", "num_nodes", "strategy", "workers", "save_every"}
    return {
        "data": training_set.fingerprint,
        "schema": schema.fingerprint,
        "folds": settings.folds,
        "config": {name: value for name, value in stage.items() if name not in where},
    }


def _detector_figures(rows: list[Annotation], chosen: list, found: list, settings: Settings) -> dict[str, float]:
    sizes = dataset.image_sizes(rows)
    report = assemble.detector_report(
        rows, sizes, chosen, found, load_schema(settings.schema), settings.detector.margin, settings.keypoints.padding
    )
    return report | {f"box_{name}": value for name, value in assemble.box_statistics(chosen, rows).items()}


def _print_figures(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
