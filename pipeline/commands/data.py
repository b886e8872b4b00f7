"""Verbs about data: draw the sample, check a dataset, look at what the loaders yield."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline import crop_boxes, views
from pipeline.assemble import Settings
from pipeline.commands.boxes import kinds_of
from pipeline.contract.faults import UserError, describe
from pipeline.contract.formats.registry import find_layout
from pipeline.contract.images import PictureOptions
from pipeline.contract.mixture import OUT_OF_FOLD
from pipeline.contract.schema import load_schema
from pipeline.data.check import check_dataset
from pipeline.data.select import sample_rows
from pipeline.reporting.pictures import save_png
from pipeline.sample.write import draw_dataset

LOOKED_AT = 24


def sample(out: Path, train: int = 400, test: int = 100, seed: int = 0, size: int = 384) -> None:
    """Draw a dataset of garments with exactly known points.

    Args:
        out: new folder; gets train/ and test/
        train: training images
        test: test images
        seed: the same seed draws the same pictures
        size: longer side of a picture in pixels
    """
    most = {"train": (train, 1_000_000), "test": (test, 1_000_000), "seed": (seed, 2**32 - 1), "size": (size, 4096)}
    for name, (value, largest) in most.items():
        if not 0 <= value <= largest:
            raise UserError(f"--{name} is {value}; expected 0 to {largest}")
    draw_dataset(out, train, test, seed, size)


def check(
    pictures: PictureOptions,
    data: Sequence[Path] = (),
    test: Path | None = None,
    answers: Path | None = None,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> bool:
    """Describe a dataset and report all its faults at once; exit with 1 when there are any.

    Args:
        pictures: what a picture may cost
        data: train roots: folders with Annotations/*.csv and Images/
        test: folder with test.csv and Images/
        answers: answer CSV of the test folder
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk, a name of pipeline.contract.formats.registry
    """
    if not data and test is None and answers is None:
        raise UserError("nothing to check; name --data, --test or --answers")
    lines, faults = check_dataset(data, test, answers, load_schema(schema), layout, pictures)
    print("\n".join(lines))
    if faults:
        print(describe(faults))
        return False
    print("no faults")
    return True


def look(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    stage: Literal["detector", "keypoints", "network"],
    out: Path,
    limit: int = 0,
    name: str = "final",
) -> None:
    """Draw what a stage's loader really yields, the boxes out of fold, or what a network says, as contact sheets.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        stage: which loader, or the network RUN/keypoints/NAME, also one that is being trained or has collapsed
        out: folder for the contact sheets
        limit: rehearse on so many images (0: all)
        name: name of the network
    """
    schema = load_schema(settings.schema)
    rows = sample_rows(find_layout(settings.layout).read_annotations(data, schema), limit)
    sheets = {}
    if stage == "detector":
        sheets["detector_inputs"] = views.look_at_detector(rows, schema, settings.detector, LOOKED_AT)
    file = run / "boxes.csv"
    if file.exists():
        kinds = kinds_of(file, settings.keypoints.crop) if stage == "keypoints" else {OUT_OF_FOLD: file}
        predicted = {kind: crop_boxes.read_matched(own, rows, schema) for kind, own in kinds.items()}
        chosen = predicted[OUT_OF_FOLD]
        if stage == "detector":
            sheets["boxes"] = views.look_at_boxes(rows, chosen, schema, settings)
        elif stage == "network":
            sheets[f"network_{name}"] = views.look_at_network(rows, chosen, schema, run, name, LOOKED_AT)
        else:
            sheets["crops"] = views.look_at_keypoints(rows, predicted, schema, settings, LOOKED_AT)
    elif stage != "detector":
        raise UserError(f"{file}: not there yet; write it with the boxes command")
    for name, sheet in sheets.items():
        save_png(out / f"{name}.png", sheet)
        print(out / f"{name}.png")
