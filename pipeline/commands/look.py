"""Look at what the loaders yield."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from garment_keypoints.pipeline import views
from garment_keypoints.pipeline.contract.boxes import read_matched
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import sample_rows
from garment_keypoints.pipeline.reporting.pictures import save_png
from garment_keypoints.pipeline.settings import Settings

LOOKED_AT = 24


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
        sheets["detector_inputs"] = views.look_at_detector(rows, schema, settings, LOOKED_AT)
    file = run / "boxes.csv"
    if file.exists():
        chosen, margin = read_matched(file, rows, schema), read_margin(file)
        if stage == "detector":
            sheets["boxes"] = views.look_at_boxes(rows, chosen, margin, schema, settings)
        elif stage == "network":
            drawn = views.look_at_network(rows, chosen, schema, run, name, LOOKED_AT, settings.pictures)
            sheets[f"network_{name}"] = drawn
        else:
            sheets["crops"] = views.look_at_keypoints(rows, chosen, margin, schema, settings, LOOKED_AT)
    elif stage != "detector":
        raise UserError(f"{file}: not there yet; write it with the boxes command")
    for name, sheet in sheets.items():
        save_png(out / f"{name}.png", sheet)
        print(out / f"{name}.png")
