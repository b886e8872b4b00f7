"""How many epochs fit, and which commands the steps of a kit run."""

from importlib import import_module
from pathlib import Path

import pytest
from garment_keypoints.pipeline.cli.arguments import Verb, parse_words
from garment_keypoints.pipeline.cli.verbs import find_verb
from garment_keypoints.pipeline.lab.commands.gpu_run import SCORING_S, fitting
from garment_keypoints.pipeline.lab.gpu_kit import plan
from garment_keypoints.pipeline.lab.gpu_kit.jobs import Job, JobOutcome
from garment_keypoints.pipeline.lab.gpu_kit.plan import Training
from garment_keypoints.pipeline.lab.gpu_kit.rates import Reading, epochs_that_fit, step_of, steps_per_second
from garment_keypoints.pipeline.lab.gpu_kit.settings import Kit, Place

EPOCHS = {"further": 5, "lightning": 7, "detector": 3}
BAR = "keypoints final:  10%|#         | 35/350 [00:12<01:31, 3.4it/s, loss=3]"


def test_the_last_step_on_the_bar_counts() -> None:
    assert step_of(f"{BAR}\r{BAR.replace('35/', '40/')}") == Reading(40, 350)
    assert step_of("looking at images 3/20 [\nValidation DataLoader 0:  10%|#  | 1/8 [00:01<") is None
    assert step_of(BAR.replace("35/", "0/")) is None
    assert step_of(BAR.replace("keypoints", "detector").replace("final", "fold0")) == Reading(35, 350)


def test_epochs_by_hand() -> None:
    """A tenth of the time is kept in reserve."""
    assert epochs_that_fit(rate=10, steps_an_epoch=175, seconds=100, most=32) == 5  # 900 steps
    assert epochs_that_fit(rate=10, steps_an_epoch=175, seconds=97, most=32) == 4  # 873
    assert epochs_that_fit(rate=10, steps_an_epoch=175, seconds=17, most=32) == 0
    assert epochs_that_fit(rate=100, steps_an_epoch=175, seconds=1000, most=32) == 32
    assert epochs_that_fit(rate=10, steps_an_epoch=175, seconds=-5, most=32) == 0
    assert steps_per_second([Reading(10, 100, 5.0), Reading(40, 100, 15.0)]) == 3
    assert steps_per_second([Reading(10, 100, 5.0)]) == 0


def outcome(name: str, total: int, *readings: tuple[int, float]) -> JobOutcome:
    return JobOutcome(Job(name, ()), begun=100.0, readings=[Reading(step, total, at) for step, at in readings])


def test_a_group_gets_the_epochs_of_its_slowest() -> None:
    """Starts took 20 s at most; of 200 s there are 200 - 40 - 20 left: 140."""
    made = [
        Training("a_val", "a", "keypoints", 32),
        Training("a_final", "a", "keypoints", 32),
        Training("b", "b", "detector", 6),
    ]
    probed = [
        outcome("a_val", 50_000, (10, 115), (110, 125)),  # 10 steps a second, 50 an epoch: 25 fit
        outcome("a_final", 100_000, (10, 120), (110, 130)),  # 10 a second, 100 an epoch: 12
        outcome("b", 50_000),  # never got to a step
    ]
    assert SCORING_S == 20
    assert fitting(made, probed, left=200) == ({"a": 12, "b": 0}, 20)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def kit(limit: int) -> Kit:
    return Kit("abc", 12, limit, 1, 0, ["tests/test_waiting.py"])


def test_backbones_that_this_version_does_not_know_are_left_out() -> None:
    assert plan.known_backbones(("movenet_lightning", "no_such_backbone")) == (
        ["movenet_lightning"],
        ["no_such_backbone"],
    )


def test_trainings_follow_the_preset(place: Place) -> None:
    made = plan.trainings(["movenet_lightning"])
    names = [
        "lightning_further",
        "lightning_val",
        "lightning_final",
        "detector_fold0",
        "detector_fold1",
        "detector_final",
    ]
    assert [one.name for one in made] == names
    assert [one.most for one in made] == [12, 32, 32, 6, 6, 6]
    run = place.results / "b" / "run"
    by_name = {one.name: plan.training_job(one, 7, run, place, kit(0), 6) for one in made}
    val = by_name["lightning_val"]
    assert val.command[3] == "train-keypoints"
    assert "--val" in val.command
    assert val.command[val.command.index("--keypoints.train.epochs") + 1] == "7"
    assert val.record == run / "keypoints" / "lightning_val.json"
    assert by_name["lightning_further"].command.count("--config") == 2
    assert "--keypoints.crop.size" not in val.command
    assert "--keypoints.crop.size" in plan.training_job(made[1], 7, run, place, kit(24), 6).command
    after = {one.name: one for one in plan.after_trainings(made, EPOCHS, run, place, kit(0))}
    assert list(after) == ["submit_lightning_further", "submit_lightning_final", "submit_detector", "boxes"]
    rehearsed = plan.trainings(["movenet_lightning"], rehearsed=True)
    assert [one.name for one in rehearsed] == list(plan.REHEARSED_TRAININGS)
    assert [one.name for one in plan.after_trainings(rehearsed, EPOCHS, run, place, kit(9))] == [
        "submit_lightning_final",
        "boxes",
    ]
    # Boxes are refused under other settings than the detectors were trained with.
    assert after["boxes"].command[after["boxes"].command.index("--detector.train.epochs") + 1] == "3"
    assert after["boxes"].after == ("detector_fold0", "detector_fold1")
    assert after["submit_detector"].needs == (run / "detector" / "final.safetensors",)


def test_options_of_the_commands_are_known(place: Place) -> None:
    """Every command of the plan is parsed as it would be there."""
    made, run = plan.trainings(["movenet_lightning"]), place.results / "b" / "run"
    jobs = [plan.training_job(one, 2, run, place, kit(24), 6) for one in made]
    jobs += plan.after_trainings(made, EPOCHS, run, place, kit(24))
    jobs += [*plan.checks(place, kit(24), on_gpu=True), plan.feeding(place, kit(24)), *plan.study_rows(place, kit(24))]
    for one in jobs:
        if one.command[2] == "pytest":
            continue
        laboratory = one.command[3] == "lab"
        verb, *words = one.command[4 if laboratory else 3 :]
        module, name = find_verb(verb, laboratory).split(":")
        parse_words(Verb(verb, getattr(import_module(module), name), laboratory), words)


def test_figures_of_a_record_by_their_place() -> None:
    record = {"figures": {"val": {"out_of_fold_boxes": {"ne": 8.25, "points": 9}, "images": 5}, "boxes": "detector"}}
    assert plan.figures_of(record) == {"val out_of_fold_boxes ne": 8.25, "val images": 5}
