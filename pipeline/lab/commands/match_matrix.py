"""The verb that trains on every kind of boxes and tests on every kind of boxes: the matrix that says which should meet which."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.contract.box_kinds import IMAGE, TRUTH, true_boxes
from garment_keypoints.pipeline.contract.boxes import read_matched
from garment_keypoints.pipeline.contract.crops import whole_images
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, write_text
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet, load_training_set
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.validation import VAL_FOLD, errors_of, score_in_boxes
from garment_keypoints.pipeline.lab.ablation.bench import Bench, KeypointsBench, outcome_of
from garment_keypoints.pipeline.lab.ablation.boxes import in_sample
from garment_keypoints.pipeline.lab.ablation.definition import IN_SAMPLE
from garment_keypoints.pipeline.lab.ablation.runs import DONE, Run, share
from garment_keypoints.pipeline.lab.ablation.settings import on_one_device
from garment_keypoints.pipeline.lab.commands.ablate import make_runs, opened
from garment_keypoints.pipeline.lab.commands.match import BOXES, TEST_BOXES, boxes_of_test
from garment_keypoints.pipeline.lab.match.chart import draw_matrix
from garment_keypoints.pipeline.lab.match.distributions import jittered
from garment_keypoints.pipeline.lab.match.errors import SUFFIX, Sums, errors_beside, write_errors
from garment_keypoints.pipeline.lab.match.matrix import Matrix, as_markdown
from garment_keypoints.pipeline.reporting.pictures import save_png
from garment_keypoints.pipeline.runs.json_files import write_json
from garment_keypoints.pipeline.runs.provenance import measured, provenance
from garment_keypoints.pipeline.settings import Settings

log = logging.getLogger("garment_keypoints")
DETECTOR, JITTER, TWO_PASS = "detector", "jitter", "two_pass"
COLUMNS = {
    DETECTOR: "detector's boxes",
    TRUTH: "true boxes",
    JITTER: "true, jitter {jitter:g}",
    IN_SAMPLE: "boxes in sample",
    TWO_PASS: "two passes, averaged",
    IMAGE: "whole images",
}
"""What networks are shown; of images that their detector had not seen, except in sample."""


@dataclass(frozen=True)
class _Scene:
    """Images that no network has seen, their boxes (N, 4) by what is shown, and the margin of true ones."""

    name: str
    title: str
    rows: RowSet
    boxes: dict[str, np.ndarray]
    margin: float

    def fingerprints(self) -> dict[str, str]:
        """Return those of the images and, by what is shown, of the boxes to a hundredth of a pixel."""
        shown = {}
        for what, boxes in self.boxes.items():
            rounded = boxes.astype(float).round(2) + 0.0  # no negative zeros
            shown[f"{self.name}/{what}"] = hashlib.sha256(rounded.tobytes()).hexdigest()[:12]
        return {self.name: self.rows.fingerprint} | shown


def match_matrix(
    ablation: Path,
    data: Sequence[Path],
    run: Path,
    device: Device,
    show: Sequence[str] = (),
    test: Path | None = None,
    answers: Path | None = None,
    detector: Path | None = None,
    jitter: float = 0.15,
    only: str = "",
    seeds: int = 0,
    limit: int = 0,
    base: Path | None = None,
    schema: str = "",
    known: Sequence[Path] = (),
    boxes: Path | None = None,
    layout: str = "",
) -> bool:
    """Train on every kind of boxes, test on every kind of boxes, and write the matrix of NE with its differences.

    NAME.json and NAME_matrix.npz hold every run's figures and errors: a later run folder, or another machine, goes on from them.

    Args:
        ablation: YAML file of an ablation whose rows train on different boxes, such as pipeline/lab/configs/match/matrix.yaml
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained, and the matrix NAME_matrix.md, .png and .json
        device: where the detector predicts the boxes of a test folder
        show: what the networks are shown: detector, truth, jitter, in_sample, two_pass, image; without it all that there is
        test: folder with test.csv and Images/, for a second matrix
        answers: its answers
        detector: detector checkpoint for its boxes, which are kept as RUN/test_boxes.csv; or that file of another run
        jitter: where true boxes with jitter are shown, each side moves by up to this fraction
        only: train just share I/N of the runs, such as 2/4, on one of N machines, or the runs of some rows: A,B
        seeds: so many seeds, 0, 1 ...; without it as many as the ablation says (0)
        limit: rehearse on so many images (0: all)
        base: the preset to start from; without it the one that the ablation names
        schema: packaged schema, or a YAML file; without it that of the preset
        known: results of runs that were made elsewhere, the NAME.json of other run folders, with NAME_matrix.npz beside: they
            stand in the matrix, and are not made again
        boxes: boxes out of fold that are there, such as weights/cpu/boxes.csv, with boxes_in_sample.csv and the like beside; no
            detector is trained
        layout: how the data lie on disk, as for `check`; without it that of the preset
    """
    unknown = [name for name in show if name not in COLUMNS]
    if unknown:
        raise UserError(f"--show has {unknown[0]!r}; expected {', '.join(COLUMNS)}")
    if len({test is None, answers is None, detector is None}) > 1:
        raise UserError("--test, --answers and --detector belong together: a second matrix, of a test folder")
    bench, runs = opened(ablation, data, run, seeds, limit, base, schema, known, boxes, layout)
    if not isinstance(bench, KeypointsBench):
        raise UserError(f"{ablation}: stage is {bench.ablation.stage!r}; expected an ablation of stage keypoints")
    failed = make_runs(bench, runs, share(runs, only))
    settings, loaded = bench.ablation.base, load_schema(bench.ablation.base.schema)
    content: dict[str, Any] = {"provenance": provenance(), "ablation": bench.ablation.name}
    with measured(content):
        scenes = [_val(bench, settings, loaded, jitter)]
        if test is not None and answers is not None and detector is not None:
            place, pictures, layout = run / f"{TEST_BOXES}.csv", settings.pictures, settings.layout
            rows, found = boxes_of_test(test, answers, detector, loaded, device, place, pictures, layout, limit)
            margin = read_margin(detector if detector.suffix == BOXES else place)
            given = _true_and_whole(rows, found.boxes, margin, jitter)
            scenes.append(_Scene("test", f"test folder, {len(rows.rows)} images", rows, given, margin))
        fingerprints = {name: value for scene in scenes for name, value in scene.fingerprints().items()}
        sums = errors_beside(known, fingerprints, show)
        matrices = {scene.title: _matrix(bench, runs, scene, loaded, show, sums) for scene in scenes}
        content["matrices"] = {title: _plain(matrix) for title, matrix in matrices.items()}
    titles = {name: title.format(jitter=jitter) for name, title in COLUMNS.items()}
    text = _text(bench, content, [as_markdown(title, one, titles) for title, one in matrices.items()])
    stem = run / f"{bench.ablation.name}_matrix"
    write_text(stem.with_suffix(".md"), text)
    save_png(stem.with_suffix(".png"), draw_matrix(matrices, titles))
    write_json(stem.with_suffix(".json"), content)
    write_errors(run / (bench.ablation.name + SUFFIX), fingerprints, sums)
    print(text)
    return not failed


def _val(bench: Bench, settings: Settings, schema: Schema, jitter: float) -> _Scene:
    """Return the images of fold 0, which no network of the ablation has seen."""
    whole = load_training_set(
        bench.data, schema, settings.folds, bench.run, bench.limit, settings.layout, settings.pictures
    )
    members = np.flatnonzero(whole.folds == VAL_FOLD)
    chosen = whole.take(members)
    first = bench.boxes or bench.run / "boxes.csv"

    def boxes_of(file: Path) -> np.ndarray:
        return read_matched(file, whole.rows, schema).boxes[members]

    margin = read_margin(first)
    given = _true_and_whole(chosen, boxes_of(first), margin, jitter)
    if in_sample(first).exists():
        given[IN_SAMPLE] = boxes_of(in_sample(first))
    return _Scene("val", f"fold 0, {len(chosen.rows)} images", chosen, given, margin)


def _true_and_whole(rows: RowSet, found: np.ndarray, margin: float, jitter: float) -> dict[str, np.ndarray]:
    true = true_boxes(rows.rows, torch.tensor(rows.sizes_wh), margin).double().numpy()
    whole = whole_images(torch.tensor(rows.sizes_wh)).double().numpy()
    return {DETECTOR: found, TRUTH: true, JITTER: jittered(true, jitter), TWO_PASS: found, IMAGE: whole}


def _matrix(
    bench: Bench, runs: Sequence[Run], scene: _Scene, schema: Schema, show: Sequence[str], sums: Sums
) -> Matrix:
    """Score every network that is there in every kind of boxes that there is; `sums` holds what is known, and then all."""
    columns = [name for name in COLUMNS if name in scene.boxes and (not show or name in show)]
    rows = scene.rows.rows
    nowhere = np.zeros((len(rows), len(schema.keypoints), 2))
    counted = np.isfinite(normalized_error(rows, nowhere, nowhere[..., 0] == 0, schema).errors).sum(1)
    matrix = Matrix([row.name for row in bench.ablation.rows], columns, counted)
    done = [one for one in runs if outcome_of(bench, one).state == DONE]
    for number, one in enumerate(done, start=1):
        log.info("%s, %d of %d: %s", scene.title, number, len(done), one.name)
        checkpoint = bench.run / "keypoints" / f"{one.name}.safetensors"
        for column in columns:
            key = scene.name, column, one.name
            if checkpoint.exists():
                sums[key] = np.nansum(_errors(bench, one, scene, column, checkpoint, schema), axis=1)
            if key in sums:
                matrix.add((one.row.name, column), sums[key])
            else:
                log.warning("%s: its errors in %s are not known, and it is not here", one.name, column)
    return matrix


def _errors(bench: Bench, one: Run, scene: _Scene, column: str, checkpoint: Path, schema: Schema) -> np.ndarray:
    """Return the errors (N, K) of a network on a scene; its predictions are kept beside it."""
    out = checkpoint.with_suffix("") / f"matrix_{scene.name}_{column}.csv"
    given = torch.tensor(scene.boxes[column], dtype=torch.float32)
    digest = hashlib.sha256(json.dumps([given.tolist(), column == TWO_PASS]).encode()).hexdigest()
    inputs = {"keypoints": file_hash(checkpoint), "rows": scene.rows.fingerprint, "boxes": digest}
    settings = on_one_device(one.settings)
    refine = int(column == TWO_PASS)

    def make() -> dict[str, Any]:
        return score_in_boxes(scene.rows, given, scene.margin, schema, settings, checkpoint, out, refine, scene.title)

    return errors_of(out, scene.rows, schema, settings, bench.data, inputs, make)


def _plain(matrix: Matrix) -> dict[str, Any]:
    """Return NE by seed, and the differences to the first row with their intervals."""
    first, content = matrix.rows[0], {}
    for row in matrix.rows:
        content[row] = {column: {"ne": matrix.by_seed((row, column))} for column in matrix.columns}
        for column in matrix.columns if row != first else ():
            one = matrix.difference((row, column), (first, column))
            if one is not None:
                content[row][column] |= {f"above {first}": one.value, "interval": [one.low, one.high]}
    return content


def _text(bench: Bench, content: dict[str, Any], parts: Sequence[str]) -> str:
    made = content["provenance"]
    about = [f"- {row.name}: {row.overrides or 'the base'}" for row in bench.ablation.rows]
    return "\n".join(
        [
            "<!-- written by `python -m pipeline lab match-matrix`; do not edit -->\n",
            f"# {bench.ablation.name}\n",
            "NE in percent: mean over seeds ± standard deviation. Rows are what a network was trained on, columns what it is "
            "shown of images that it has not seen.\n",
            *parts,
            "Rows:\n",
            *about,
            f"\n`{made['command']}`, commit {made['commit']}, {made['machine']}\n",
        ]
    )
