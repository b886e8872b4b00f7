"""What the verbs of the command line do: read and check the input, call the stages, write results with their record."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import assemble, dataset, predicting, runs
from pipeline.assemble import Settings
from pipeline.contract import tables
from pipeline.contract.checkpoints import export_checkpoint, file_hash
from pipeline.contract.faults import report as report_faults
from pipeline.contract.records import Annotation
from pipeline.contract.schema import Schema, load_schema
from pipeline.dataset import TrainingSet, load_training_set
from pipeline.pictures import prediction_sheet, save_png
from pipeline.predictions import open_shards, remove_shards
from pipeline.report import gather, write_report
from pipeline.sample.write import draw_dataset

log = logging.getLogger("pipeline")
FINAL = "final"
LOOKED_AT = 24


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
        with recorded(out.with_suffix(".json"), settings, data, assemble.interrupted(out)):
            assemble.train_detector(rows, schema, settings.detector, out, fold)


def boxes(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Predict the box of every training row by the detector of its fold: `run`/boxes.csv, and how good they are."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    rows, folds = training_set.rows, training_set.folds
    chosen: list[Any] = [None] * len(rows)
    found: list[Any] = [None] * len(rows)
    shards = run / "detector" / "boxes"
    with recorded(run / "boxes.json", settings, data, any(shards.glob("*.json"))) as record:
        for fold in range(settings.folds):
            detector = assemble.load_detector(run / "detector" / f"fold{fold}.pt", schema, _device())
            members = np.flatnonzero(folds == fold)
            own, everything = assemble.predict_fold(
                [rows[i] for i in members],
                detector,
                fold,
                schema,
                shards / f"fold{fold}.json",
                _device(),
                settings.detector.workers,
            )
            for i, box, one in zip(members, own, everything, strict=True):
                chosen[i], found[i] = box, one
        val = np.flatnonzero(folds == 0)
        record["figures"] = {
            "val": _detector_figures(
                [rows[i] for i in val], [chosen[i] for i in val], [found[i] for i in val], settings
            ),
            "out_of_fold": _detector_figures(rows, chosen, found, settings),
        }
    tables.write_boxes(run / "boxes.csv", chosen)
    _print_figures("boxes out of fold", record["figures"]["out_of_fold"])


def train_keypoints(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Train the keypoint network on the boxes that `boxes` wrote."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    folder, out = run / "keypoints", run / "keypoints" / f"{FINAL}.pt"
    runs.claim(folder, _claimed(settings, training_set, schema, asdict(settings.keypoints)))
    if out.exists():
        log.info("%s is there already", out)
        out.touch()
        return
    chosen = tables.read_boxes(run / "boxes.csv", schema)
    with recorded(out.with_suffix(".json"), settings, data, assemble.interrupted(out)):
        assemble.train_keypoints(training_set.rows, chosen, schema, settings.keypoints, out)


def look(settings: Settings, data: Sequence[Path], run: Path, stage: str, out: Path, limit: int = 0) -> None:
    """Draw what a stage's loader really yields, and for the second stage the boxes that it trains on."""
    schema = load_schema(settings.schema)
    rows = dataset.sample_rows(tables.read_annotations(data, schema), limit)
    sheets = {}
    if stage == "detector":
        sheets["detector_inputs"] = assemble.look_at_detector(rows, schema, settings.detector, LOOKED_AT)
    file = run / "boxes.csv"
    if file.exists():
        chosen = tables.read_boxes(file, schema)
        if stage == "detector":
            sheets["boxes"] = assemble.look_at_boxes(rows, chosen, schema, settings)
        else:
            sheets["crops"] = assemble.look_at_keypoints(rows, chosen, schema, settings.keypoints, LOOKED_AT)
    elif stage == "keypoints":
        raise ValueError(f"{file}: not there yet; write it with the boxes command")
    for name, sheet in sheets.items():
        save_png(out / f"{name}.png", sheet)
        print(out / f"{name}.png")


def submit(
    test: Path,
    detector: Path,
    keypoints: Path,
    out: Path,
    answers: Path | None,
    boxes: str,
    flip_test: bool,
    limit: int,
    schema: str,
    **device: Any,
) -> None:
    """Predict a test folder with both stages; with answers, score it and draw the best, median and worst."""
    loaded = load_schema(schema)
    rows = dataset.load_test_rows(test, loaded, limit)
    truth = predicting.answers_of(rows, answers, loaded) if answers else None
    locator = assemble.load_locator(keypoints, loaded, flip_test=flip_test)
    network = assemble.load_detector(detector, loaded)
    where = predicting.Device(**device)
    files = {"detector": file_hash(detector), "keypoints": file_hash(keypoints)}
    job = {**files, "rows": dataset.fingerprint(rows), "boxes": boxes, "flip_test": flip_test}
    if boxes == "truth" and truth is not None:
        job["truth"] = dataset.fingerprint(truth)
    shards = out.with_suffix(".parts")
    resumed = bool(open_shards(shards, job))
    record: dict[str, Any] = {"provenance": runs.provenance(), "job": job, "test": test.name, "resumed": resumed}
    with runs.measured(record):
        source = assemble.box_source(boxes, network, rows, truth)
        result = predicting.predict(rows, source, locator, loaded, where, shards, job)
    if result is None:
        return
    predictions, sizes = result
    tables.write_submission(out, rows, np.stack([p.xy for p in predictions]), sizes, loaded)
    record["figures"] = {"boxes": boxes, "images": len(rows), "fallback": sum(p.fallback for p in predictions)}
    if truth is not None:
        scored = predicting.score(out, truth, loaded)
        record["figures"] |= predicting.score_figures(scored, "default")
        if boxes == "detector":
            record["figures"]["detector"] = _test_boxes(truth, network, locator.padding, loaded, shards, where)
        save_png(out.with_suffix(".png"), prediction_sheet(rows, truth, predictions, scored, loaded, locator.padding))
        print("\n".join(predicting.score_lines(scored, "default")))
    runs.write_json(out.with_suffix(".json"), record)
    remove_shards(shards)


def evaluate(
    submission: Path, answers: Path, variant: str, json: Path | None, at_most: float | None, schema: str
) -> bool:
    """Print a submission's score; False when it is above `at_most` percent."""
    loaded = load_schema(schema)
    scored = predicting.score(submission, tables.read_answers(answers, loaded), loaded, variant)
    print("\n".join(predicting.score_lines(scored, variant)))
    if json is not None:
        runs.write_json(json, predicting.score_figures(scored, variant))
    return at_most is None or 100 * scored.value <= at_most


def export(checkpoint: Path, out: Path) -> None:
    """Copy a checkpoint with float16 weights."""
    export_checkpoint(checkpoint, out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def report(run: Path | None, name: str, results: Path, out: Path) -> None:
    """Add a run to the results files, and write the tables of all of them."""
    if run is not None:
        if not name:
            raise ValueError("--run needs --name, what the run is called in the tables")
        runs.write_json(results / f"{name}.json", gather(run, name))
    write_report(results, out)
    print(out)


def sample(out: Path, train: int, test: int, seed: int, size: int) -> None:
    """Draw the sample dataset."""
    draw_dataset(out, train, test, seed, size)


def check(data: Sequence[Path], test: Path | None, answers: Path | None, schema: str) -> bool:
    """Describe a dataset and report all its faults; return whether it is sound."""
    if not data and test is None and answers is None:
        raise ValueError("nothing to check; name --data, --test or --answers")
    lines, faults = dataset.check(data, test, answers, load_schema(schema))
    print("\n".join(lines))
    if faults:
        print(report_faults(faults))
        return False
    print("no faults")
    return True


@contextmanager
def recorded(path: Path, settings: Settings, data: Sequence[Path], resumed: bool = False) -> Iterator[dict[str, Any]]:
    """Write to `path`, when the step is done, what ran, on what, how long, and with what result.

    The time of a resumed step is that of its last part alone; the record says so.
    """
    record: dict[str, Any] = {
        "provenance": runs.provenance(),
        "settings": asdict(settings),
        "data": [Path(root).name for root in data],
        "resumed": resumed,
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


def _test_boxes(
    truth: list[Annotation], network: Any, padding: float, schema: Schema, shards: Path, where: predicting.Device
) -> dict[str, float]:
    """Measure the detector on test images (the answers' rows, with the paths of the images)."""
    shard = shards / "boxes.json"
    chosen, found = assemble.predict_fold(truth, network, -1, schema, shard, _device(), where.workers, where.batch_size)
    sizes = dataset.image_sizes(truth)
    report = assemble.detector_report(truth, sizes, chosen, found, schema, network.margin, padding)
    return report | {f"box_{name}": value for name, value in assemble.box_statistics(chosen, truth).items()}


def _print_figures(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
