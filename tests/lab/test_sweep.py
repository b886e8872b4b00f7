"""Curves for ablations whose rows differ in one number."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, Row
from garment_keypoints.pipeline.lab.ablation.runs import DONE, Outcome
from garment_keypoints.pipeline.lab.ablation.sweep import draw_sweep, swept
from garment_keypoints.pipeline.lab.ablation.table import Line
from garment_keypoints.pipeline.lab.noise import mean


@dataclass
class Crop:
    padding: float = 0.1
    flip: bool = True


@dataclass
class Settings:
    crop: Crop = field(default_factory=Crop)
    name: str = "a"


def ablation(*settings: Settings) -> Ablation:
    return Ablation("s", "keypoints", Settings(), tuple(Row(str(i), "", one) for i, one in enumerate(settings)), 1)


def test_a_sweep_is_of_one_number() -> None:
    three = [Settings(Crop(value)) for value in (0.3, 0.1, 0.2)]
    assert swept(ablation(*three)) == ("crop.padding", [0.3, 0.1, 0.2])


@pytest.mark.parametrize(
    "rows",
    [
        [Settings(Crop(0.1)), Settings(Crop(0.2))],
        [Settings(Crop(0.1)), Settings(Crop(0.2)), Settings(Crop(0.2))],
        [Settings(Crop(0.1)), Settings(Crop(0.2)), Settings(Crop(0.3, flip=False))],
        [Settings(name=name) for name in "abc"],
        [Settings()] * 3,
    ],
)
def test_what_is_none(rows: list[Settings]) -> None:
    assert swept(ablation(*rows)) is None


def line(ne: float | None, **further: float) -> Line:
    figures = {} if ne is None else {"ne": ne, "ne_true_boxes": ne - 1, **further}
    outcomes = [Outcome(DONE, figures)] if figures else []
    return Line(Row("r", "", None), "none", outcomes, {name: mean([value]) for name, value in figures.items()})


def test_curves_appear_with_the_second_row() -> None:
    shown = {"contained_in_square": 0.9, "zoom": 0.8}
    assert draw_sweep("crop.padding", [0.1, 0.2, 0.3], [line(9.0, **shown), line(None), line(None)]) is None
    two = draw_sweep("crop.padding", [0.3, 0.2, 0.1], [line(9.0), line(None), line(8.0)])
    four = draw_sweep("crop.padding", [0.3, 0.2, 0.1], [line(9.0, **shown), line(None), line(8.0, **shown)])
    assert len(np.unique(np.array(two).reshape(-1, 3), axis=0)) > 4
    assert four.size[0] > two.size[0]
