"""What the three steps of a kit run: their commands, for the machine as it is and for a rehearsal on few images."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.lab.gpu_kit.jobs import Job
from garment_keypoints.pipeline.lab.gpu_kit.settings import Kit, Place, cores, verb
from garment_keypoints.pipeline.learning.backbones import backbone_levels

BACKBONES = ("movenet_lightning", "movenet_thunder", "blazepose_heavy")
"""Features to train keypoint networks on, in this order; one that this version does not know is left out, with a word."""
STUDY = "pipeline/lab/configs/ablations/keypoints.yaml"
ROWS = (
    *("deeppose_vgg16", "cpm_vgg16_softmax32", "deeppose_vgg19", "cpm_vgg19_softmax32"),
    *("cpm_densenet169_softmax32", "cpm_densenet201_softmax32"),
    *("cpm_densenet169_softmax64", "cpm_densenet169_sigmoid32"),
)
"""Rows of that study that docs/results has as pending."""
TORCH = ("--runtime", "torch")
"""The graphs of ONNX, which a CPU would take, stay behind."""
FINAL_DETECTOR = "detector_final"
REHEARSED_ROWS = ("deeppose_conv4",)
REHEARSED_TRAININGS = ("lightning_val", "lightning_final", "detector_fold0", "detector_fold1")
"""Those that a rehearsal makes: one of each kind, and what the boxes need."""
PRESET, FURTHER = "configs/gpu.yaml", "configs/further/gpu.yaml"
PROBE_EPOCHS = 1000
"""Of a training whose rate is read off, and which is then ended."""
REHEARSED = {
    "keypoints": ("--keypoints.crop.size", 96, "--keypoints.train.batch_size", 4),
    "detector": ("--detector.network.size", 128, "--detector.train.batch_size", 4),
}


@dataclass(frozen=True)
class Training:
    """A training of step b. Those of a group get the same number of epochs, at most `most`, the preset's.

    The test set is predicted by one that is `final`, one that has left nothing out.
    """

    name: str
    group: str
    stage: str
    most: int
    options: tuple[object, ...] = ()
    configs: tuple[str, ...] = (PRESET,)
    final: bool = False


def known_backbones(names: Sequence[str] = BACKBONES) -> tuple[list[str], list[str]]:
    """Return which of these backbones this version knows, and which not."""
    known, unknown = [], []
    for name in names:
        try:
            backbone_levels(name)
            known.append(name)
        except UserError:
            unknown.append(name)
    return known, unknown


def trainings(backbones: Sequence[str], rehearsed: bool = False) -> list[Training]:
    """Return the trainings of step b, the most wanted first: one that goes on from the shipped network, and for each backbone
    one on all images and one without fold 0; the detectors. Some of them are rehearsed.
    """
    preset, further = read_yaml(Path(PRESET)), read_yaml(Path(FURTHER))
    most, longer = preset["keypoints"]["train"]["epochs"], further["keypoints"]["train"]["epochs"]
    shipped, both = ("--start", "cpu"), (PRESET, FURTHER)
    made = [Training("lightning_further", "further", "keypoints", longer, shipped, both, final=True)]
    for backbone in backbones:
        named, short = ("--keypoints.network.backbone", backbone), backbone.split("_")[-1]
        made.append(Training(f"{short}_val", short, "keypoints", most, (*named, "--val")))
        made.append(Training(f"{short}_final", short, "keypoints", most, named, final=True))
    most = preset["detector"]["train"]["epochs"]
    names = [*(f"fold{fold}" for fold in range(preset["folds"])), "final"]
    made += [Training(f"detector_{name}", "detector", "detector", most, ("--only", name)) for name in names]
    return [one for one in made if one.name in REHEARSED_TRAININGS] if rehearsed else made


def training_job(one: Training, epochs: int, run: Path, place: Place, kit: Kit, beside: int) -> Job:
    """Return the command of a training, one of so many beside one another."""
    stage, name = one.stage, one.name.removeprefix("detector_")
    boxes = () if stage == "detector" else ("--boxes", place.boxes, "--name", name)
    configs = [part for file in one.configs for part in ("--config", file)]
    settings = (f"--{stage}.train.epochs", epochs, f"--{stage}.train.workers", max(1, cores() // beside))
    small = REHEARSED[stage] if kit.limit else ()
    where = ("--data", place.train, "--run", run)
    command = verb(f"train-{stage}", *configs, *where, *boxes, *one.options, *settings, *small)
    return Job(one.name, command, record=run / stage / f"{name}.json")


def after_trainings(
    made: Sequence[Training], epochs: Mapping[str, int], run: Path, place: Place, kit: Kit
) -> list[Job]:
    """Return what follows on the trainings: the test set by each final network, and the boxes by the detectors.

    `epochs` are those of each group: detectors predict boxes under the settings that they were trained with.
    """
    jobs = []
    for one in made:
        if one.final:
            network = run / "keypoints" / f"{one.name}.safetensors"
            jobs.append(_submit(place, f"submit_{one.name}", run, (one.name,), "--keypoints", network))
        if one.name == FINAL_DETECTOR:
            network = run / "detector" / "final.safetensors"
            jobs.append(_submit(place, "submit_detector", run, (one.name,), "--detector", network))
    folds = [one.name for one in made if one.stage == "detector" and one.name != FINAL_DETECTOR]
    files = tuple(run / "detector" / f"{name.removeprefix('detector_')}.safetensors" for name in folds)
    small = REHEARSED["detector"] if kit.limit else ()
    trained = ("--detector.train.epochs", epochs.get("detector", 0))
    command = verb("boxes", "--config", PRESET, "--data", place.train, "--run", run, *trained, *small)
    return [*jobs, *([Job("boxes", command, tuple(folds), files, run / "boxes.json")] if folds else [])]


def _submit(place: Place, name: str, run: Path, after: tuple[str, ...], option: str, network: Path) -> Job:
    out = run / name / "points.csv"
    tested = tests_of(place)
    return Job(
        name, verb("submit", *tested, "--out", out, option, network), after, (network,), out.with_suffix(".json")
    )


def tests_of(place: Place) -> tuple[object, ...]:
    """Return the options that name the test set, and what runs the networks."""
    return ("--test", place.test, "--answers", place.test / "answer.csv", *TORCH)


def checks(place: Place, kit: Kit, on_gpu: bool) -> list[Job]:
    """Return the jobs of step a; what is measured runs alone, before the others."""
    folder = place.results / "a"
    tested = tests_of(place)
    count, seconds = (2, 0.5) if kit.limit else (64, 6)
    photos, measured = place.test / "Images", folder / "measure.json"
    measure = ("--photos", photos, "--out", measured, "--count", count, "--seconds", seconds)
    after = ("measure",)

    def submit(name: str, *options: object) -> Job:
        out = folder / name / "points.csv"
        command = verb("submit", *tested, "--out", out, "--workers", cores(), *options)
        return Job(name, command, after, record=out.with_suffix(".json"))

    there = [submit("submit_cpu", "--accelerator", "cpu", "--precision", "32-true")] if on_gpu else []
    return [
        Job("measure", verb("lab", "gpu-measure", *measure), record=measured),
        submit("submit_float32", "--precision", "32-true"),
        submit("submit_bfloat16", "--precision", "bf16-mixed", *(("--limit", 2) if kit.limit else ())),
        *there,
        Job("predict", verb("predict", photos, "--out", folder / "predict", "--overlays", "false", *TORCH), after),
        Job(
            "tests",
            (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *kit.gpu_tests),
            after,
        ),
    ]


def feeding(place: Place, kit: Kit) -> Job:
    """Return the job that measures how many pictures a second the card could be fed."""
    out, seconds = place.results / "b" / "feed.json", 2 if kit.limit else 5
    return Job("feed", verb("lab", "gpu-feed", "--data", place.train, "--out", out, "--seconds", seconds), record=out)


def study_rows(place: Place, kit: Kit) -> list[Job]:
    """Return the jobs of step c: each row of the study in a run folder of its own."""
    jobs = []
    for row in REHEARSED_ROWS if kit.limit else ROWS:
        run = place.results / "c" / row
        command = verb(
            "ablate", "--study", STUDY, "--data", place.train, "--run", run, "--only", row, "--boxes", place.boxes
        )
        jobs.append(Job(row, command, record=run / "keypoints" / f"{row}-seed0.json"))
    return jobs


def figures_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a record that a page shows, by their place in it."""
    wanted = ("ne", "recall50", "iou", "images")
    found: dict[str, float] = {}

    def look(value: Any, path: str) -> None:
        for name, inner in value.items() if isinstance(value, Mapping) else ():
            if name in wanted and isinstance(inner, int | float):
                found[f"{path} {name}".strip()] = inner
            look(inner, f"{path} {name}".strip())

    look(record.get("figures", {}), "")
    return found
